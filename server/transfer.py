"""What becomes of one warm transfer: decided once, from what the carrier tells in any order, late and twice.

It waits for nobody and asks nobody: ``server.transfers`` acts upon ``Transfer.decided``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import structlog

from pipeline.events import EndReason, TransferFailure
from server.agents import Agent
from server.control import REOPEN_S, Line
from server.protocol import CallDial
from telephony.ports import AnsweredBy, DialProgress, DialState, TransferOrder

log = structlog.get_logger(__name__)

JOIN_S: Final = 90.0
"""From picking up until he is sent in: what is announced, and what a machine detection takes."""
SENT_S: Final = 10.0
"""So long it is waited for the news that he is in. Where the caller is, and neither has left, it was lost."""
VERDICT_ASKS: Final = 35
"""So often who picked up is asked to wait a second, while it is found out whether that is a machine."""
GONE_S: Final = 3.0
"""So long after a caller has left his conference it is waited for that the carrier asks what comes next."""

Step = Literal["announce", "wait", "join", "hang_up"]
"""What becomes of who has picked up."""
_NOBODY: Final[dict[DialState, TransferFailure]] = {
    "busy": "busy",
    "no_answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
    "completed": "declined",
}


@dataclass(slots=True, eq=False)
class Transfer:
    """One of them, from the command to its end. ``line``: the caller's."""

    line: Line
    order: TransferOrder
    agent: Agent
    consult: CallDial | None = None
    """How the agent calls the human to speak with him first; None: it does not, or has done so."""
    decided: asyncio.Future[tuple[TransferFailure, str] | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """Why they were not joined; None: they hear one another."""
    invited: str = ""
    """The human's call at the carrier, once it is known."""
    invited_over: bool = False
    comes_back: bool = False
    """The caller's audio path is being opened already."""
    _inside: set[str] = field(default_factory=set)
    _gone: set[str] = field(default_factory=set)
    """Calls that are, or were, in the conference."""
    _judged: bool = False
    """It was found out who picked up."""
    _asked: int = 0
    _sent_in: bool = False
    _timer: asyncio.TimerHandle | None = None

    @property
    def reference(self) -> str:
        return self.order.reference

    @property
    def caller(self) -> str:
        """His call."""
        return self.line.call.call_id

    @property
    def joined(self) -> bool:
        return self.decided.done() and self.decided.result() is None

    @property
    def failed(self) -> bool:
        return self.decided.done() and self.decided.result() is not None

    # --- decided ------------------------------------------------------------------------------------------

    def fail(self, reason: TransferFailure, detail: str) -> None:
        """They are not joined. What was decided before stays."""
        self._decide((reason, detail))

    def _decide(self, outcome: tuple[TransferFailure, str] | None) -> None:
        if not self.decided.done():
            self._stop_waiting()
            self.decided.set_result(outcome)

    def within(self, seconds: float) -> None:
        """Something must be told by then."""
        self._stop_waiting()
        if not self.decided.done():
            self._timer = asyncio.get_running_loop().call_later(seconds, self._nothing_told)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _nothing_told(self) -> None:
        if self._sent_in and self.caller in self._inside and not self._gone:
            log.warning("transfer.news_lost", call_id=self.caller)
            self._decide(None)
        else:
            self.fail("failed", "the carrier told nothing more of it")

    def _end(self, detail: str) -> None:
        """It is over for the caller, and so is his call."""
        session = self.line.session
        session.guarded(partial(session.end, EndReason.HANGUP, detail))

    def _finished(self) -> None:
        """One of them has hung up. Who it was is told by who left first, as far as that is known."""
        by_caller = self.caller in self._gone and self.invited not in self._gone
        over = f"the conversation with {self.order.to} is over"
        self._end("the caller hung up" if by_caller else over)

    # --- the human ----------------------------------------------------------------------------------------

    def is_his(self, call_id: str) -> bool:
        """His call is this one: told by the carrier's answer and by its webhooks, whichever comes first."""
        self.invited = self.invited or call_id
        return self.invited == call_id

    def answered(self) -> Step:
        """He has picked up."""
        if self.decided.done():
            return "hang_up"
        self.within(JOIN_S)
        return "announce" if self.order.announcement else self.ready()

    def ready(self) -> Step:
        """He has heard what was announced."""
        if self.failed:
            return "hang_up"
        if self.order.detect_machine != "no" and not self._judged and self._asked < VERDICT_ASKS:
            self._asked += 1
            return "wait"
        self.sent_in()
        return "join"

    def sent_in(self) -> None:
        """He was told to come into the conference."""
        self._sent_in = True
        self.within(SENT_S)

    def judged(self, answered_by: AnsweredBy, detail: str) -> None:
        """It was found out who picked up."""
        self._judged = True
        if answered_by in ("machine", "fax"):
            self.fail("machine", detail)

    def progress(self, told: DialProgress) -> None:
        """How the call to him goes on."""
        if told.state not in _NOBODY:
            return
        self.invited_over = True
        if self.joined:
            self._finished()
        else:
            self.fail(_NOBODY[told.state], told.detail)

    # --- the conference -----------------------------------------------------------------------------------

    def came(self, call_id: str) -> None:
        """Somebody is in it."""
        if call_id in self._gone:
            return
        self._inside.add(call_id)
        if self.invited and {self.caller, self.invited} <= self._inside:
            self._decide(None)

    def went(self, call_id: str) -> None:
        """Somebody has left it. Of the caller ``left`` is asked besides."""
        self._gone.add(call_id)
        if call_id == self.caller:
            asyncio.get_running_loop().call_later(GONE_S, self._caller_went)
        elif call_id == self.invited and self.joined:
            self._finished()
        elif call_id == self.invited:
            self.fail("declined", "he left before they were joined")

    def _caller_went(self) -> None:
        """Nobody has asked what comes next: he has hung up, unless it was us who took him out."""
        if not self.comes_back and not self.failed and not self.line.session.ended:
            self._end("the caller hung up")

    def left(self, *, hung_up: bool) -> bool:
        """It is over for the caller. True: his audio path is to be opened again."""
        if self.line.session.ended:
            return False
        if hung_up:
            self._end("the caller hung up")
            return False
        if self.joined:
            self._finished()
            return False
        self.fail("failed", "the conference was over before they were joined")
        if not self.comes_back:
            self.comes_back = True
            self.line.leg.reopening(REOPEN_S)
        return True
