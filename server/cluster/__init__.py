"""Several servers that act as one: nodes, which know each other by a Redis (``docs/scaling.md``).

A call lives on the node that its carrier or browser reached first; an agent's socket on the node that it was connected
to. ``port.py`` is what the rest of the server knows of that.
"""
