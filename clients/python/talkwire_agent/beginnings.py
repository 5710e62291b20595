"""Calls that have not begun: those that ring and wait for a word, and those that the agent places."""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from talkwire_agent.base import Event
from talkwire_agent.dispatch import Lanes
from talkwire_agent.errors import ConnectionLost, DialFailed, Refused
from talkwire_agent.events import Ack, CallDialing, CallEnded, CallRejected, CallRinging, ErrorEvent
from talkwire_agent.pending import Pending

if TYPE_CHECKING:
    from talkwire_agent.agent import Agent
    from talkwire_agent.call import Call

KEPT = 100
"""Calls that rang and are over, which are remembered for what comes after."""


class RingingCall:
    """A call that came in and is not answered yet: what handlers of ``call.ringing`` are given as ``call``.

    Say ``accept`` or ``reject``; the server answers by itself after some seconds. ``call.started`` follows for one that
    is answered, with a ``Call`` of the same id.
    """

    def __init__(self, agent: Agent, ringing: CallRinging) -> None:
        self.agent = agent
        self.id = ringing.call_id
        self.from_ = ringing.from_
        """The caller: a number, ``sip:...``, or a word such as ``anonymous``."""
        self.to = ringing.to
        self.metadata: dict[str, Any] = dict(ringing.metadata or {})
        self.live = True
        """It rings still."""
        self.lanes = Lanes()

    def __repr__(self) -> str:
        return (
            f"<RingingCall {self.id} of {self.agent.id!r} from {self.from_}{'' if self.live else ', over'}>"
        )

    def accept(self) -> None:
        """Answer it now. Without effect where it does not ring any more."""
        self._say("call.accept")

    def reject(self, reason: Literal["busy", "rejected"] = "busy") -> None:
        """Refuse it, unanswered: the caller hears the busy tone, or that he is not connected."""
        self._say("call.reject", reason=reason)

    def _say(self, event: str, **fields: Any) -> None:
        if self.live:
            self.agent.send({"event": event, "agent_id": self.agent.id, "call_id": self.id, **fields})

    def handled(self, event: Event) -> None:
        """All its handlers are done with an event."""


@dataclass(eq=False)
class _Dial:
    ack: str
    started: Pending[Call] = field(default_factory=Pending)
    ids: set[str] = field(default_factory=set)
    """By which events name it: that of the dial, then that of the call."""
    fault: str = ""


class Beginnings:
    """Those of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._ringing: OrderedDict[str, RingingCall] = OrderedDict()
        self._dials: list[_Dial] = []
        self._numbers = itertools.count(1)

    def ask(self, event: str, fields: dict[str, Any]) -> Pending[Call]:
        """Ask for a call, by ``call.dial`` or ``call.bridge``. Raises ``TooLarge``."""
        dial = _Dial(f"dial_{next(self._numbers)}_{secrets.token_hex(3)}")
        self._agent.send({"event": event, "agent_id": self._agent.id, "ack": dial.ack, **fields})
        self._dials.append(dial)
        return dial.started

    def take(self, event: Event) -> RingingCall | None:
        """Note an event of a call that has not begun; returns the one that rings, where it is of one."""
        match event:
            case CallRinging():
                self._ringing[event.call_id] = RingingCall(self._agent, event)
                while len(self._ringing) > KEPT:
                    self._ringing.popitem(last=False)
            case CallRejected():
                self._stop_ringing(event.call_id)
            case CallDialing():
                for dial in self._about(event.dial_id):
                    dial.ids.add(event.call_id)
            case ErrorEvent():
                for dial in self._about(event.call_id):
                    dial.fault = event.code
            case CallEnded():
                self._stop_ringing(event.call_id)
                for dial in self._about(event.call_id):
                    self._dials.remove(dial)
                    detail = event.detail or ""
                    dial.started.fail(DialFailed(str(event.reason), detail, dial.fault, event))
            case _:
                pass
        return self._ringing.get(getattr(event, "call_id", None) or "")

    def acknowledged(self, ack: Ack) -> None:
        """The server has taken a dial, or refused it."""
        for dial in [dial for dial in self._dials if dial.ack == ack.ack]:
            extras = ack.extras or {}
            # A bridge has no id before that of its call.
            dial.ids.add(str(extras.get("dial_id") or extras.get("call_id") or ""))
            if ack.status == "error":
                self._dials.remove(dial)
                key = extras.get("key")
                dial.started.fail(
                    Refused(ack.message or "", ack.code or "", key if isinstance(key, str) else None)
                )

    def began(self, call: Call) -> None:
        self._stop_ringing(call.id)
        for dial in self._about(call.id):
            self._dials.remove(dial)
            dial.started.settle(call)

    def away(self, lost: ConnectionLost) -> None:
        """The connection is gone: what the server has not acknowledged may be lost."""
        for dial in [dial for dial in self._dials if not dial.ids]:
            self._dials.remove(dial)
            dial.started.fail(lost)

    def close(self) -> None:
        for dial in self._dials:
            dial.started.fail(ConnectionLost("the client was closed"))
        self._dials.clear()
        for ringing in self._ringing.values():
            ringing.live = False

    def _stop_ringing(self, call_id: str) -> None:
        if call_id in self._ringing:
            self._ringing[call_id].live = False

    def _about(self, call_id: str | None) -> list[_Dial]:
        return [dial for dial in self._dials if call_id and call_id in dial.ids]
