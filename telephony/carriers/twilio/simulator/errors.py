"""Why a simulated call did not come to be, with the code that Twilio's debugger would show."""

from __future__ import annotations

from telephony.errors import Blame, TelephonyError


class SimulatorError(TelephonyError):
    """Base of what the simulated carrier raises. The far end is always the one that is told: blame ours."""

    code = "SIMULATOR_ERROR"
    blame: Blame = "ours"
    twilio_code: int | None = None


class ServerUnreachable(SimulatorError):
    """Nobody answered the webhook."""

    code = "SERVER_UNREACHABLE"
    twilio_code = 11200


class WebhookFailed(SimulatorError):
    """The webhook was answered with another status than 2xx, too late, or with something else than TwiML."""

    code = "WEBHOOK_FAILED"

    def __init__(self, message: str, status: int | None, twilio_code: int) -> None:
        super().__init__(message)
        self.status = status
        self.twilio_code = twilio_code


class CallRejected(SimulatorError):
    """The TwiML refused the call."""

    code = "CALL_REJECTED"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the server rejected the call: {reason}")
        self.reason = reason
        """``rejected`` or ``busy``."""


class CallHungUp(SimulatorError):
    """The TwiML ended the call without ever opening a stream."""

    code = "CALL_HUNG_UP"


class StreamRefused(SimulatorError):
    """The media stream could not be opened."""

    code = "STREAM_REFUSED"

    def __init__(self, message: str, status: int | None, twilio_code: int) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the refused upgrade, where there was one."""
        self.twilio_code = twilio_code


class CallOver(SimulatorError):
    """The call ended while something of it was awaited."""

    code = "CALL_OVER"


class InvalidMessage(SimulatorError):
    """The server sent what Twilio drops: unknown event, missing or extra field, another stream's id."""

    code = "INVALID_MESSAGE"
    twilio_code = 31951
