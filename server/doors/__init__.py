"""One module per kind of connection that reaches the server."""
