"""A caller in a browser: WebRTC. aiortc carries the connection, packets and codec are handled here.

``inbound`` and ``sendclock`` decide (pure), ``peer`` is the connection, ``leg`` joins all of it to a conversation.
"""
