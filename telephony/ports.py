"""What the server asks of a phone network: the port that every carrier implements.

A carrier has two halves. Its *door* (in ``server.doors``) takes what the network sends: it asks
``server.ringing`` what shall become of an ``Incoming`` call, and tells the network the ``Verdict`` in the
network's own words; then it joins the audio to the call as an ``AudioLeg``. Its ``Carrier`` is what the server
does of its own accord: dial, hang up, forward, and so on. ``Capabilities`` says in advance what it can do; what it
cannot is refused with ``Unsupported``, and nothing is sent.

Pure: values, and the shape of a carrier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

RefuseReason = Literal["rejected", "busy"]
DigitsOut = Literal["no", "in_stream", "reopens_stream"]
DialState = Literal[
    "queued", "initiated", "ringing", "answered", "completed", "busy", "no_answer", "failed", "canceled"
]
MachineDetection = Literal["no", "start", "end"]
"""Whether to find out who answers: a verdict as soon as there is one, or when a machine's greeting is over."""
AnsweredBy = Literal["human", "machine", "fax", "unknown"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier can do. The default is a bare audio path."""

    screens: bool = False
    """A call rings on, unanswered, while somebody decides whether to take it."""
    refuses: frozenset[RefuseReason] = frozenset()
    """How it tells a caller that he is not taken, without answering; empty: it can only hang up."""
    dials: bool = False
    hangs_up: bool = False
    """A call can be ended without its audio path, also one that still rings."""
    forwards: bool = False
    forward_returns: bool = False
    """A forward that nobody takes comes back to the agent."""
    digits_in: bool = False
    digits_out: DigitsOut = "no"
    """``reopens_stream``: its audio path is closed and opened again for them."""
    transfers: bool = False
    """Warm: through a conference, in which the caller waits with music until somebody is joined to him."""
    detects_machines: bool = False
    confirms_playout: bool = False
    """Its marks come back when the audio has been played. Else the playhead is an estimate."""
    takes_back: bool = False
    """``AudioLeg.clear`` reaches audio that was sent already."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that rings here, and is not answered yet."""

    call_id: str
    """The carrier's own."""
    from_: str
    """As the carrier has it: a number, ``sip:...``, ``client:...``, or a word for one that is withheld."""
    to: str
    carrier: str
    """``Carrier.name``."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else the carrier knows, for ``call.started.metadata``."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The trace that its request is part of: headers of W3C Trace Context."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Take the call: open its audio path."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not take it. A carrier that knows no reasons hangs up."""

    reason: RefuseReason
    text: str = ""
    """Say this to the caller, which answers the call, and hang up; empty: leave it unanswered."""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class HangUp:
    """The call is over already: a late repetition of a request."""


Verdict = Answer | Refuse | HangUp


@dataclass(frozen=True, slots=True)
class DialOrder:
    """A call to be placed."""

    reference: str
    """Ours, unique. The carrier gives it back with the answer and all progress, for these may come before the
    carrier has told its own id of the call."""
    to: str
    from_: str
    ring_timeout_s: int = 30
    detect_machine: MachineDetection = "no"


@dataclass(frozen=True, slots=True)
class DialProgress:
    """What a carrier tells of a call that was dialled. They may come twice, and in any order."""

    call_id: str
    state: DialState
    sequence: int = 0
    """Their order, from 0."""
    detail: str = ""
    """Why, in words, as far as the carrier tells: ``SIP 486``."""


@dataclass(frozen=True, slots=True)
class ForwardOrder:
    """Whom else the caller shall speak with."""

    to: str
    """E.164, or ``sip:...``."""
    caller_id: str = ""
    """Who is shown to call: a number of the operator's; empty: as the carrier does it by itself."""
    ring_timeout_s: int = 25
    announcement: str = ""
    """Is told to who picks up, before the two are joined; empty: nothing."""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """Who is to be joined to a caller in a conference."""

    reference: str
    """Ours, unique. It names the conference, and the carrier gives it back with all that it tells of it."""
    to: str
    """E.164, or ``sip:...``."""
    from_: str
    """Who is shown to call: a number of the operator's."""
    ring_timeout_s: int = 25
    announcement: str = ""
    """Is told to who picks up, before he is joined; empty: nothing."""
    language: str = "en"
    detect_machine: MachineDetection = "no"


@dataclass(frozen=True, slots=True)
class OwnNumber:
    """A number of the operator's at the carrier."""

    number: str
    """E.164."""
    sid: str = ""
    """The carrier's id of it."""
    name: str = ""
    voice_url: str = ""
    """What is asked when it is called, as the carrier has it configured; empty: nothing."""
    receives: bool = True
    """False: it may be shown as the caller, and cannot be called through this carrier."""


@runtime_checkable
class TellsBalance(Protocol):
    """A carrier that knows what is left on the operator's account."""

    async def balance(self) -> tuple[str, str]:
        """The amount as the carrier writes it, and its currency (ISO 4217). Raises ``CarrierError``."""


@runtime_checkable
class Reopens(Protocol):
    """An audio path that its carrier closes for a while, and opens again in the same call. A leg that has it is an
    ``AudioLeg`` besides."""

    @property
    def open(self) -> bool:
        """Audio flows now."""

    def reopening(self, within_s: float | None) -> None:
        """The carrier is told to close it and to open it again: its end is not that of the call, if it is back within
        this time; None: however long that takes."""

    def stays(self) -> None:
        """It is not going to be closed after all."""

    def moves_on(self, detail: str) -> None:
        """The carrier is told to close it for good, and does something else with the call: what is told of its end then
        is this. Empty: that is taken back."""

    async def reopened(self) -> bool:
        """Wait for it to be open again. False: the call is over instead."""


class Carrier(Protocol):
    """One phone network. All methods have deadlines of their own, and raise ``telephony.errors.CarrierError``:
    ``Unsupported`` where ``capabilities`` says that it cannot."""

    @property
    def name(self) -> str:
        """As it is called in settings, logs and ``Incoming.carrier``."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def dial(self, order: DialOrder) -> str:
        """Have it call somebody; returns its id of the call. It is not answered by then, nor does it ring."""

    async def hang_up(self, call_id: str) -> None:
        """End a call in whatever state it is. One that is over already is no error."""

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        """Join the caller to somebody else. Its audio path to us ends (``Reopens``); how it went is told at the
        carrier's door."""

    async def send_digits(self, call_id: str, digits: str) -> None:
        """Press keys for the other side: ``0-9 * # A-D``, ``w`` waits half a second and ``W`` a whole one."""

    async def confer(self, call_id: str, reference: str) -> None:
        """Have a caller wait in the conference of a transfer, with music. His audio path to us ends (``Reopens``); what
        becomes of it is told at the carrier's door."""

    async def invite(self, order: TransferOrder) -> str:
        """Have it call somebody into that conference; returns its id of the call. It is not answered by then."""

    async def join(self, call_id: str, reference: str) -> None:
        """Put a call whose audio path we have into that conference, for good."""

    async def bring_back(self, call_id: str) -> None:
        """Take a caller out of his conference, and open his audio path again."""

    async def owns(self, number: str) -> bool:
        """Whether the number may be shown as the caller of a dialled call: it is the operator's at this carrier."""

    async def numbers(self) -> list[OwnNumber]:
        """The operator's numbers."""

    async def aclose(self) -> None:
        """Let go of what it holds. May be called twice."""
