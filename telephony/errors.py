"""The faults of telephony.

::

    TelephonyError              code, blame
     +- CarrierProtocolError    the carrier (or who poses as one) sent what its protocol does not allow
     +- InvalidInstruction      ours: what we were about to tell the carrier is not allowed there
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
