"""Asterisk, or any PBX that speaks AudioSocket: a call's audio on a TCP connection."""
