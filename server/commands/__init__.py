"""What the ``talkwire`` command can do, one module for each."""
