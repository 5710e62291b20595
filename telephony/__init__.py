"""Carriers: what a phone network says and wants. Knows ``media`` only."""
