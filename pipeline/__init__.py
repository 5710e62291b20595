"""The conversation: whose turn it is, what was said, what was heard. Knows ``media`` only."""
