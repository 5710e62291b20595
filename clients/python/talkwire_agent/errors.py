"""What can go wrong, as exceptions."""

from __future__ import annotations

from talkwire_agent.base import Event


class TalkwireError(Exception):
    """Any error of this package."""


class MissingKey(TalkwireError):
    """No API key was given, and none stands in the environment."""


class Unauthorized(TalkwireError):
    """The server refused the API key. Trying again does not help."""


class Displaced(TalkwireError):
    """Another connection has taken over all agents of this one, or they were deleted."""


class ConnectionLost(TalkwireError):
    """The connection went away before the answer came, or could not be made."""

    def __init__(self, message: str, close_code: int | None = None) -> None:
        super().__init__(message)
        self.close_code = close_code
        """The code of the close frame (RFC 6455, section 7.4); None: there was none."""


class Refused(TalkwireError):
    """The server refused a command. ``code`` is for programs, the text for humans."""

    def __init__(
        self, message: str, code: str = "", key: str | None = None, event: Event | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        """As in the ``error`` event, for example ``REGISTRATION_ERROR``; empty: the server said nothing."""
        self.key = key
        """Path of the field at fault, for example ``vad.threshold``."""
        self.event = event
        """The ``error`` event."""


class DialFailed(TalkwireError):
    """Nobody was reached by a call that was placed."""

    def __init__(self, reason: str, detail: str = "", code: str = "", event: Event | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """``no_answer``, ``busy``, ``failed``, or ``client_hangup`` where it was given up."""
        self.detail = detail
        """Why, in words."""
        self.code = code
        """Of the ``error`` that came before, for example ``CARRIER_ERROR``; empty: there was none."""
        self.event = event
        """The ``call.ended`` event."""


class RouteFailed(TalkwireError):
    """A call was not handed over: it stays where it is."""

    def __init__(self, reason: str, detail: str = "", event: Event | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """``offline``, ``unknown``, ``no_phone_config``, ``capacity`` or ``swap_failed``."""
        self.detail = detail
        """Why, in words."""
        self.event = event
        """The ``call.route_failed`` event."""


class RequestTimeout(TalkwireError, TimeoutError):
    """The server did not answer a question in time."""


class TooLarge(TalkwireError, ValueError):
    """A message is larger than a server takes (1 MiB); it was not sent."""


class ReplyAborted(TalkwireError):
    """Something was written to a reply stream that is void. Within ``async with`` it does not get out."""


class ToolError(TalkwireError):
    """Raised by a tool: it gives no result, and the model is told this text. That is no fault of the program,
    and is not logged as one."""
