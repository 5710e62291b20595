"""The live calls: who owns them, who is told, and what becomes of them when a leg or an agent goes away.

A call belongs to this registry. Legs and agents attach to it, go, and may come back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, Protocol

import structlog
from structlog.contextvars import bind_contextvars

from media.ports import AudioLeg, LegListener
from media.recorder import Recorder
from pipeline.config import SessionConfig
from pipeline.events import CallEnded, EndReason, EngineFault, Event, Routed
from pipeline.monitor import Listener
from pipeline.session import Session
from pipeline.succession import Manner
from server.agents import Agent, Owner
from server.call import Call, CallState, Tap
from server.catching_up import Archive, catch_up, guarded, missed
from server.clock import Clock
from server.engines import EnginesFor
from server.extension import ExtensionWindow
from server.part import Part
from server.pauses import Pauses
from server.protocol import AgentResumed, ResumedCall, to_json
from server.recordings import CLOSE_S, LATE_S, Recordings
from server.resolve import CallConfig
from server.resolve_mind import without_page
from server.ring import Entry
from server.wire import CallFacts

log = structlog.get_logger(__name__)

OVER_S = 5.0
"""How long the audio of a call goes on, at most, after its carrier has said that it is over."""
ASK_AGAIN_S = 2.0
"""How long an agent that is back may take to give the results that it owed, until it is asked for them again."""
KEPT_CALLS = 100
KEPT_BYTES = 16 << 20
KEPT_S = 300.0
"""How long, how many, and how much of them, ended calls are kept for agents that were not told of their end."""
MAX_PAUSED_AGENTS = 1000
"""Also those that are away, whose pauses wait for them."""


Full = Literal["capacity", "lag", "draining"]
_FULL: Final[dict[Full, str]] = {
    "capacity": "as many calls as TALKWIRE_MAX_CALLS allows are live",
    "lag": "the server is busier than its live calls can bear (TALKWIRE_MAX_LAG_MS)",
    "draining": "the server stops",
}


class Observer(Protocol):
    """Whoever looks at all calls. It is told before anything happens in one."""

    def rang(self, call: Call) -> None: ...

    def listener(self, call: Call, sample_rate_hz: int) -> Listener | None:
        """Its audio begins: whoever wants it, placed as for a recording."""

    def over(self, call: Call, *, recorded: bool = False) -> None:
        """All was told of it; ``recorded``: there is a file."""


class AtCapacity(Exception):
    """No further call is taken; ``why`` says by which limit."""

    def __init__(self, why: Full) -> None:
        super().__init__(_FULL[why])
        self.why = why


class CallIsOver(Exception):
    """It ended before its media came."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    max_calls: int = 40
    agent_grace_s: float = 15.0
    """How long a call waits for its agent to come back."""
    no_media_s: float = 15.0
    """How long an answered call may take to open its media stream."""


class CallRegistry:
    """All calls of the process. ``tasks`` owns their tasks."""

    def __init__(
        self,
        engines: EnginesFor,
        limits: CallLimits,
        clock: Clock,
        recordings: Recordings,
        tasks: asyncio.TaskGroup,
        observer: Observer | None = None,
    ) -> None:
        self._engines = engines
        self._limits = limits
        self._clock = clock
        self.recordings = recordings
        self._tasks = tasks
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, Call] = {}
        self._over: deque[str] = deque(maxlen=1000)
        self._ended: OrderedDict[str, tuple[float, Call]] = OrderedDict()
        self._taps: set[tuple[Tap, Callable[[Call], bool]]] = set()
        self.pauses: dict[str, Pauses] = {}
        """By the slug of the agent, which may be away."""
        self._closing = 0
        """Calls of which something is still to be told, be it only of their recording."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.archive: Archive | None = None
        """Where events are kept that went out of memory; None: nowhere."""
        self.draining = False
        self.lagging: Callable[[], bool] = lambda: False
        """Whether those that are live have a hard enough time."""
        self.expected = 0
        """Calls that are being dialled and have no id yet: there must be room for them."""

    # --- looking ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._calls)

    def all(self) -> Iterable[Call]:
        """Those that are not over."""
        return self._calls.values()

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def is_over(self, call_id: str) -> bool:
        """It was here, and has ended not long ago."""
        return call_id in self._over

    def watch(self, tap: Tap, call_id: str | None) -> Callable[[], None]:
        """Tell a watcher of one call, or of all, also of those to come; returns what ends it."""
        entry = (tap, lambda call: call_id is None or call.call_id == call_id)
        self._taps.add(entry)
        for call in self._calls.values():
            if entry[1](call):
                call.watch(tap)

        def stop() -> None:
            self._taps.discard(entry)
            for call in self._calls.values():
                call.unwatch(tap)

        return stop

    # --- a call's life ------------------------------------------------------------------------------------

    def ring(self, facts: CallFacts, agent: Agent, config: CallConfig) -> Call:
        """Take a call on. The same call may ring twice: it stays one. Raises ``AtCapacity``."""
        known = self._calls.get(facts.call_id)
        if known is not None:
            return known
        if (why := self.full()) is not None:
            raise AtCapacity(why)
        call = self._take_on(facts, agent, config)
        self.answered(call)
        return call

    @property
    def is_full(self) -> bool:
        """No further call is taken."""
        return not self.has_room(1)

    @property
    def room(self) -> int:
        """So many further calls are taken."""
        if self.draining or self.lagging():
            return 0
        return max(0, self._limits.max_calls - len(self._calls) - self.expected)

    def has_room(self, count: int) -> bool:
        """So many further calls are taken."""
        return self.full(count) is None

    def full(self, count: int = 1) -> Full | None:
        """By which limit so many further calls are not taken."""
        if self.draining:
            return "draining"
        if len(self._calls) + self.expected + count > self._limits.max_calls:
            return "capacity"
        return "lag" if self.lagging() else None

    def dialing(self, facts: CallFacts, agent: Agent, config: CallConfig) -> Call:
        """Take on a call that the carrier was asked to place; there is room for it, for it was ``expected``."""
        call = self._take_on(facts, agent, config)
        call.state = CallState.DIALING
        return call

    def _take_on(self, facts: CallFacts, agent: Agent, config: CallConfig) -> Call:
        call = Call(facts, agent, config, self._clock)
        call.behind = self._catch_up
        self._calls[facts.call_id] = call
        self._idle.clear()
        if self._observer is not None:
            self._observer.rang(call)
        for tap, wanted in self._taps:
            if wanted(call):
                call.watch(tap)
        return call

    def answered(self, call: Call) -> None:
        """The carrier is told to open its media stream: that must come soon."""
        call.state = CallState.RINGING
        if call.no_media is not None:
            call.no_media.cancel()
        call.no_media = self._loop.call_later(self._limits.no_media_s, self._never_came, call)

    def connecting(self, call: Call) -> None:
        """The media socket is open: from here on its own deadlines hold."""
        call.state = CallState.CONNECTING
        if call.no_media is not None:
            call.no_media.cancel()

    def start(self, call: Call, leg: AudioLeg) -> LegListener:
        """The media is there: begin the conversation, or wait first for the extension that its caller may dial. It runs
        on until ``Session.end``. Raises ``CallIsOver`` where the call was given up meanwhile."""
        if call.state is not CallState.CONNECTING:
            raise CallIsOver
        call.leg = leg
        if call.extension_window_s > 0:
            call.listener = self._window(call, leg)
        else:
            call.listener = self._begin(call, leg)
        return call.listener

    def _window(self, call: Call, leg: AudioLeg) -> ExtensionWindow:
        def begin(extension: str | None) -> LegListener | None:
            call.extend(extension)
            try:
                listener = self._begin(call, leg)
            except Exception:
                # Nobody waits for this: without a word it would ring for ever.
                log.exception("call.not_begun", call_id=call.call_id)
                call.state = CallState.CONNECTING
                self.never_began(call, EndReason.FAILED, "internal error")
                return None
            call.given_up = None
            return listener

        def over(reason: str, detail: str) -> None:
            self.never_began(call, EndReason(reason), detail)

        def given_up() -> None:
            window.stop()
            self._tasks.create_task(leg.hang_up("the call never began"), name=f"hang up {call.call_id}")

        call.given_up = given_up
        window = ExtensionWindow(leg.format.sample_rate_hz, call.extension_window_s, begin, over)
        return window

    def _begin(self, call: Call, leg: AudioLeg) -> LegListener:
        call.state = CallState.LIVE
        rate_hz = leg.format.sample_rate_hz
        if call.config.recording.enabled:
            call.recorder = self._recorder(call, rate_hz)
        session = Session(
            leg,
            self._engines(call.config.picks),
            _configured(call),
            _teller(call),
            _new_id,
            call.recorder,
            self._clock.epoch,
        )
        call.session = session
        listener = self._observer.listener(call, rate_hz) if self._observer is not None else None
        if listener is not None:
            session.overheard_by(listener)
        session.pause(on=self._paused(call))
        if call.owner is None:
            session.guarded(session.presence.left)  # It went while the call rang.
        self._tasks.create_task(self._hold(call, session), name=f"call {call.call_id}")
        log.info("call.started", call_id=call.call_id, agent=call.facts.agent_id)
        return session

    def _recorder(self, call: Call, rate_hz: int) -> Recorder:
        return self.recordings.begin(call.call_id, rate_hz, call.config.recording, call.recording_failed)

    def record(self, call: Call) -> bool:
        """Record a live call from now on. Twice is once. False: it is over, perhaps for a bug that this met."""
        session = call.session
        if session is None or session.ended:
            return False
        if call.recorder is None:
            recorder = call.recorder = self._recorder(call, session.sample_rate_hz)
            session.guarded(partial(session.record, recorder))
        return not session.ended

    def configure(self, call: Call, config: CallConfig) -> bool:
        """Change how a live call behaves from now on. False: it is over, perhaps for a bug that this met."""
        session = call.session
        if session is None:
            return False
        ears = config.picks.stt != call.config.picks.stt
        call.config = config

        def reconfigure() -> None:
            session.reconfigure(self._engines(config.picks), _configured(call), other_ears=ears)

        session.guarded(reconfigure)
        return not session.ended

    def hand_over(
        self, call: Call, agent: Agent, facts: CallFacts, config: CallConfig, *, history: bool
    ) -> None:
        """Have another agent go on with a live call: for the one that has it, it ends, and all goes on. Raises what the
        engines raise; then nothing is changed. ``history``: its language model knows what was said."""
        session = call.session
        if session is None:
            raise CallIsOver
        engines = self._engines(config.picks)
        other_ears = config.picks.stt != call.config.picks.stt

        def pass_on() -> None:
            ended = session.leave(call.slug, f"{agent.agent_id} goes on with the call")
            call.journal.append(Routed(agent.agent_id))
            call.journal.append(ended)
            if call.slug in self.pauses:
                self.resume(call.slug, call.call_id, None)
            call.pass_to(agent, facts, config)
            manner = Manner(other_ears, history, facts.context or {}, self._paused(call))
            session.take_over(engines, _configured(call), manner)
            if config.recording.enabled:
                self.record(call)

        session.guarded(pass_on)
        log.info("call.routed", call_id=call.call_id, agent=agent.agent_id, origin=facts.routed_from)

    def pause(self, slug: str, call_id: str | None, contact: str | None) -> None:
        """Have the language model be silent in calls of an agent: one, those with a contact, or all. Raises
        ``ValueError`` where too many contacts are paused, or too many agents."""
        if slug not in self.pauses and len(self.pauses) >= MAX_PAUSED_AGENTS:
            raise ValueError(f"at most {MAX_PAUSED_AGENTS} agents can be paused: resume some first")
        self.pauses.setdefault(slug, Pauses()).pause(call_id, contact)
        self._apply_pauses(slug)

    def resume(self, slug: str, call_id: str | None, contact: str | None) -> None:
        """Take one of these levels back; without any of them all."""
        if slug in self.pauses:
            self.pauses[slug].resume(call_id, contact)
            self._apply_pauses(slug)

    def _apply_pauses(self, slug: str) -> None:
        for call in list(self._calls.values()):
            session = call.session
            if call.slug == slug and session is not None:
                session.guarded(partial(session.pause, on=self._paused(call)))
        if not self.pauses[slug]:
            del self.pauses[slug]

    def take_over(self, call: Call, by: str, *, interrupt: bool = False) -> None:
        """Have a person speak in the bot's place. Raises ``ValueError`` where somebody does already."""
        session = call.session
        if session is None:
            raise CallIsOver
        if session.supervised.by is not None:
            raise ValueError(f"{session.supervised.by} has taken the call over already: release it first")

        def begin() -> None:
            session.pause(on=True)
            session.supervised.take_over(by, interrupt=interrupt)

        session.guarded(begin)

    def release(self, call: Call, by: str) -> None:
        """The bot goes on. Raises ``ValueError`` where nobody has taken it over."""
        session = call.session
        if session is None:
            raise CallIsOver
        if session.supervised.by is None:
            raise ValueError("nobody has taken the call over")
        paused = self._paused_by_agent(call)

        def end() -> None:
            session.pause(on=paused)
            session.supervised.release(by)

        session.guarded(end)

    def _paused(self, call: Call) -> bool:
        session = call.session
        taken = session is not None and session.supervised.by is not None
        return taken or self._paused_by_agent(call)

    def _paused_by_agent(self, call: Call) -> bool:
        pauses = self.pauses.get(call.slug)
        return pauses is not None and pauses.holds(call.call_id, call.facts.contact)

    async def _hold(self, call: Call, session: Session) -> None:
        bind_contextvars(call_id=call.call_id)
        self._closing += 1
        try:
            await self._held(call, session)
        finally:
            recorder = call.recorder
            self._told(call, recorded=recorder is not None and recorder.duration_ms > 0)
            self._closing -= 1
            self._look_idle()

    async def _held(self, call: Call, session: Session) -> None:
        """Hold the conversation to its end, and tell what comes of it."""
        try:
            ended = await session.run()
        except asyncio.CancelledError:
            self._finish(call, session.summary())
            raise
        except Exception:
            log.exception("call.crashed", call_id=call.call_id)
            ended = session.summary()
        began_at, told = session.taping.began_at, False
        if not call.modern:
            # Older clients take nothing that comes after the end.
            told = await self.recordings.deliver(call, began_at, CLOSE_S)
        self._finish(call, ended)
        if not told:
            await self.recordings.deliver(call, began_at, LATE_S)

    def _finish(self, call: Call, ended: CallEnded) -> None:
        try:
            call.journal.append(ended)
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("call.end_not_told", call_id=call.call_id)
        self._forget(call)
        self._keep(call)
        log.info("call.ended", call_id=call.call_id, reason=ended.reason.value, detail=ended.detail)

    def _keep(self, call: Call) -> None:
        """An ended call stays at hand for a while: its agent may not know of its end. Its conversation, with the audio in
        it, does not."""
        call.session = call.listener = None
        now = self._loop.time()
        self._ended[call.call_id] = (now, call)
        size = sum(kept.events.size for _, kept in self._ended.values())
        while self._ended:
            at, oldest = next(iter(self._ended.values()))
            if len(self._ended) <= KEPT_CALLS and size <= KEPT_BYTES and now - at < KEPT_S:
                return
            size -= oldest.events.size
            if oldest.undelivered:
                log.warning("call.undelivered", call_id=oldest.call_id, events=oldest.undelivered)
            del self._ended[oldest.call_id]

    def drop_ended(self, call_ids: Iterable[str]) -> None:
        """Nobody is told of the end of these calls any more: they are to be forgotten."""
        for call_id in call_ids:
            self._ended.pop(call_id, None)

    def _never_came(self, call: Call) -> None:
        log.warning("call.no_media", call_id=call.call_id, waited_s=self._limits.no_media_s)
        self.never_began(call, EndReason.FAILED, "it was answered, and its audio never came")

    def over_at_carrier(self, call: Call) -> None:
        """The carrier says that a call which has begun is over. Its audio path says so as well, and better: it is
        waited for, but not for ever."""
        session = call.session
        if session is not None:
            end = partial(session.end, EndReason.HANGUP, "the carrier says that the call is over")
            self._loop.call_later(OVER_S, session.guarded, end)

    def forget(self, call: Call) -> None:
        """Drop a call that never began: its caller is gone, or its media was refused."""
        self.never_began(call, EndReason.FAILED, "its audio could not be taken")

    def never_began(self, call: Call, reason: EndReason, detail: str) -> None:
        """It is over before its audio came. Whoever knows of it is told of its end; of a call that nobody was told
        of nothing is said."""
        if call.state in (CallState.LIVE, CallState.ENDED):
            return
        if call.events.last_seq or call.facts.direction == "outbound":
            self._finish(call, CallEnded(reason, detail, self._loop.time(), 0.0, ()))
        else:
            log.info("call.never_began", call_id=call.call_id, reason=reason.value, detail=detail)
            self._forget(call)
        self._told(call)
        if call.given_up is not None:
            call.given_up()

    def _forget(self, call: Call) -> None:
        call.state = CallState.ENDED
        if call.slug in self.pauses:
            self.resume(call.slug, call.call_id, None)
        for handle in (call.no_media, call.grace, call.asking_again):
            if handle is not None:
                handle.cancel()
        self._calls.pop(call.call_id, None)
        self._over.append(call.call_id)
        self._look_idle()

    def _told(self, call: Call, *, recorded: bool = False) -> None:
        """Nothing more is told of it."""
        if self._observer is not None:
            self._observer.over(call, recorded=recorded)

    def _look_idle(self) -> None:
        if not self._calls and not self._closing:
            self._idle.set()

    # --- agents come and go -------------------------------------------------------------------------------

    def agent_left(
        self,
        owner: Owner,
        unsent: list[Entry],
        successor: Callable[[str], Agent | None],
        only: str | None = None,
    ) -> None:
        """An agent's connection is gone, and could not send some of what it was given. Its calls wait for it,
        unless another connection has taken it over already (``successor`` tells, by slug). ``only``: the
        connection has lost this one of its agents, by slug, and goes on."""

        def lost(part: Part) -> bool:
            return part.owner is owner and only in (None, part.key)

        for entry in unsent:
            known = self._known(entry.call_id)
            part = known.parts.get(entry.key) if known is not None else None
            if part is not None and lost(part):
                part.not_sent(entry)
        for call, part in [*self._parts()]:
            if _is_live(call, part) or not lost(part):
                continue
            part.owner = None
            if (agent := successor(part.key)) is not None and part.untold(agent.owner):
                self._give_back([(call, part)], agent)
        for call in list(self._calls.values()):
            if not lost(call.part):
                continue
            call.owner = None
            if call.session is not None:
                call.session.guarded(call.session.presence.left)
            agent = successor(call.slug)
            if agent is not None:
                self._give_back([(call, call.part)], agent)
                continue
            wanted_s = call.config.session.away.grace_s
            grace_s = self._limits.agent_grace_s if wanted_s is None else wanted_s
            call.grace = self._loop.call_later(grace_s, self._agent_stayed_away, call, grace_s)

    def agent_came(self, agent: Agent) -> None:
        """An agent is online: the calls that wait for it go on with it, and it is told how those ended that
        ended without it."""
        back = [
            (call, part)
            for call, part in self._parts()
            if part.key == agent.slug and part.owner is None
            if _is_live(call, part) or part.untold(agent.owner)
        ]
        unknown = (call_id for call_id in agent.owner.resume or {} if self._known(call_id) is None)
        elsewhere = agent.owner.elsewhere
        gone = () if elsewhere is None else tuple(call_id for call_id in unknown if call_id not in elsewhere)
        if gone and self.archive is not None:
            reading = missed(agent, gone, self.archive)
            self._tasks.create_task(guarded(reading), name=f"what {agent.agent_id} missed")
            gone = ()
        self._give_back(back, agent, gone)

    def _catch_up(self, part: Part) -> bool:
        owner, archive = part.owner, self.archive
        if owner is None or archive is None:
            return False
        reading = catch_up(part, owner, archive)
        self._tasks.create_task(guarded(reading), name=f"what was missed of {part.call_id}")
        return True

    def _parts(self) -> Iterator[tuple[Call, Part]]:
        """Of all calls that are known: of those that are over first."""
        for call in (*(call for _, call in self._ended.values()), *self._calls.values()):
            for part in call.parts.values():
                yield call, part

    def _give_back(self, parts: list[tuple[Call, Part]], agent: Agent, gone: tuple[str, ...] = ()) -> None:
        told = tuple(
            ResumedCall(call_id=call.call_id, last_seq=part.last_seq, live=_is_live(call, part))
            for call, part in parts
            if part.last_seq  # Of one that only rings nobody has heard.
        )
        owner = agent.owner
        # Of a connection at another node that node tells, unless there is something to add.
        if owner.resume is not None and owner.modern and (told or owner.elsewhere is not None):
            owner.offer(to_json(AgentResumed(agent_id=agent.agent_id, calls=told, gone=gone)))
        for call, part in parts:
            if part is not call.part:
                part.attach(agent.owner)
                part.flush()
            elif call.is_over:
                call.attach(agent.owner)
            else:
                self._attach(call, agent.owner)

    def _known(self, call_id: str) -> Call | None:
        return self._calls.get(call_id) or self._ended.get(call_id, (0.0, None))[1]

    def _attach(self, call: Call, owner: Owner) -> None:
        owed = call.attach(owner)
        session = call.session
        if session is not None:
            session.guarded(session.presence.back)
        if owed:
            if call.asking_again is not None:
                call.asking_again.cancel()
            call.asking_again = self._loop.call_later(ASK_AGAIN_S, call.ask_again, owed)

    def _agent_stayed_away(self, call: Call, grace_s: float) -> None:
        session = call.session
        if session is not None and session.supervised.by is not None:
            # A person has the conversation: it does not end for want of the bot.
            call.grace = self._loop.call_later(grace_s, self._agent_stayed_away, call, grace_s)
            return
        detail = f"the agent did not come back within {grace_s:g} s"
        if session is not None:
            session.guarded(session.presence.gone)
            session.guarded(lambda: session.presence.part(EndReason.FAILED, detail))
        else:
            self.never_began(call, EndReason.FAILED, detail)

    # --- the end ------------------------------------------------------------------------------------------

    async def drain(self, timeout_s: float) -> None:
        """Take no further calls, and wait for those that are live; end what is left after the timeout."""
        self.draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            for call in list(self._calls.values()):
                if call.session is not None:
                    call.session.end(EndReason.FAILED, "the server stopped")
                else:
                    self.never_began(call, EndReason.FAILED, "the server stopped")
            await self._idle.wait()


def _is_live(call: Call, part: Part) -> bool:
    """Whoever it is of has the call, and it is not over."""
    return part is call.part and not call.is_over


def _configured(call: Call) -> SessionConfig:
    config = call.config.session
    return config if call.facts.transport == "webrtc" else without_page(config)


def _teller(call: Call) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        call.journal.append(event)
        if call.overhears is not None:
            call.overhears(event)
        if isinstance(event, EngineFault):
            told = {"provider": event.provider, "stage": event.stage, "code": event.code}
            log.warning("provider.failed", call_id=call.call_id, **told, instead=event.fallback or "nothing")

    return tell


def _new_id() -> str:
    return secrets.token_hex(16)
