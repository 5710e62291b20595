"""Engines behind the ports of ``pipeline.ports``, one folder each; none knows another."""
