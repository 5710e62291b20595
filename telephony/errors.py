"""The faults of telephony.

::

    TelephonyError              code, blame
     +- CarrierProtocolError    the carrier (or who poses as one) sent what its protocol does not allow
     +- InvalidInstruction      ours: what we were about to tell the carrier is not allowed there
     +- CarrierError            the carrier did not do what it was asked to
         +- Unsupported         this carrier never does
         +- CarrierRefused      it said no, and why
         |   +- NoSuchCall      the call is over, or never was
         +- CarrierUnreachable  it gave no answer: nobody knows whether it did it
"""

from __future__ import annotations

from typing import Literal

Blame = Literal["ours", "carrier", "client"]


class TelephonyError(Exception):
    """Base of all faults that this package raises on purpose."""

    code = "TELEPHONY_ERROR"
    blame: Blame = "ours"


class CarrierProtocolError(TelephonyError):
    """A message from the carrier's side that its protocol does not allow. Safe to count and to ignore."""

    code = "CARRIER_PROTOCOL_ERROR"
    blame: Blame = "carrier"


class InvalidInstruction(TelephonyError):
    """The carrier would refuse, or silently drop, what we were about to tell it."""

    code = "INVALID_INSTRUCTION"
    blame: Blame = "ours"


class CarrierError(TelephonyError):
    """What was asked of the carrier was not done. ``str()`` says why and what to do."""

    code = "CARRIER_ERROR"
    blame: Blame = "carrier"
    retryable = False


class Unsupported(CarrierError):
    """The carrier cannot do this at all: its ``Capabilities`` say so."""

    code = "CARRIER_UNSUPPORTED"
    blame: Blame = "client"

    def __init__(self, carrier: str, what: str) -> None:
        super().__init__(f"{carrier} cannot {what}")


class CarrierRefused(CarrierError):
    """The carrier said no."""

    def __init__(self, message: str, *, status: int, number: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP."""
        self.number = number
        """The carrier's own code of the error, where it has one."""
        self.retryable = status == 429 or status >= 500


class NoSuchCall(CarrierRefused):
    """It is over already, or never was."""


class CarrierUnreachable(CarrierError):
    """No answer came in time, or none at all. It may have been done all the same."""

    retryable = True
