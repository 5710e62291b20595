"""What pydantic found wrong with a message."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def faults_of(error: ValidationError) -> list[ErrorDetails]:
    """All of it, in order; the exceptions of our own validators have lost their tracebacks.

    Pydantic keeps such an exception where the garbage collector does not see it. Its traceback leads over the frame that
    caught ``error`` back to ``error``, so that all of them stayed for ever, down to the socket of the message.
    """
    found = error.errors(include_url=False)
    for fault in found:
        raised = fault.get("ctx", {}).get("error")
        if isinstance(raised, BaseException):
            raised.__traceback__ = None
    return found
