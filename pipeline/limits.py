"""How long a call may last, and how long its caller may say nothing.

The idle time counts only while nothing is going on: while the bot is heard, a tool runs or the caller speaks it
stands still, and only the caller sets it back. At the end of either time the agent is told first, and what it says
in answer is heard, within a bound; then the call ends.

Pure: time is an argument, in seconds of any monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.events import EndReason, LimitReason, SessionIdleWarning, SessionTimeout

ANSWER_S = 1.0
"""How long the agent may take to begin its farewell."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Seconds; 0 switches each off."""

    max_duration_s: float = 600.0
    idle_timeout_s: float = 60.0
    idle_warning_s: float = 15.0
    """Before the idle timeout."""
    idle_grace_s: float = 10.0
    """After it."""
    farewell_s: float = 8.0
    """What is said in answer to a timeout is heard for at most so long."""


@dataclass(frozen=True, slots=True)
class End:
    """The call is to end now."""

    reason: EndReason
    detail: str


Output = SessionIdleWarning | SessionTimeout | End


class Limits:
    """Of one call, from its begin."""

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self._limits = limits
        self._began = now
        self._idle_s = 0.0
        """Counted until ``_since``."""
        self._since: float | None = now
        """None: it stands still."""
        self._told_s = 0.0
        """The idle time up to which warnings were given since the caller was last heard of."""
        self._timed_out: LimitReason | None = None
        self._timed_out_at = 0.0
        self._speaks = False
        self._over = False

    @property
    def ending(self) -> bool:
        """A limit is reached: whatever comes now, the call ends."""
        return self._timed_out is not None

    def change(self, limits: SessionLimits) -> None:
        """Other limits hold from now on, for the time that has passed already, too. Where one is reached it stays as
        it was told."""
        if self._timed_out is None:
            self._limits = limits

    def activity(self, now: float) -> None:
        """The caller gave a sign of life."""
        self._idle_s = self._told_s = 0.0
        if self._since is not None:
            self._since = now

    def note(self, *, busy: bool, speaks: bool, now: float) -> None:
        """Whether something is going on that is no idleness of the caller; whether the bot has something to say,
        and is heard."""
        self._speaks = speaks
        if busy and self._since is not None:
            self._idle_s, self._since = self._idle(now), None
        elif not busy and self._since is None:
            self._since = now

    @property
    def deadline(self) -> float | None:
        """When ``tick`` next has something to do; None where that waits for what ``note`` is told."""
        if self._over:
            return None
        if self._timed_out is not None:
            last = self._timed_out_at + self._limits.farewell_s
            return last if self._speaks else min(last, self._timed_out_at + ANSWER_S)
        times = []
        if self._limits.max_duration_s:
            times.append(self._began + self._limits.max_duration_s)
        rungs = self._rungs()
        if self._since is not None and rungs:
            idle_s = next((at for at, _ in rungs if at > self._told_s), rungs[-1][0])
            times.append(self._since + max(0.0, idle_s - self._idle_s))
        return min(times, default=None)

    def tick(self, now: float) -> list[Output]:
        """What is due."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        if self._timed_out is not None:
            self._over = True
            return [self._end(self._timed_out)]
        limit_s = self._limits.max_duration_s
        if limit_s and now >= self._began + limit_s:
            return [self._time_out("max_duration", now)]
        # Half a microsecond: a deadline that was computed in seconds must be seen as reached.
        idle_s = self._idle(now) + 5e-7
        self._told_s, remaining_s = max(rung for rung in self._rungs() if rung[0] <= idle_s)
        if remaining_s is None:
            return [self._time_out("idle_timeout", now)]
        return [SessionIdleWarning(remaining_s, self._limits.idle_timeout_s)]

    def _idle(self, now: float) -> float:
        return self._idle_s + (max(0.0, now - self._since) if self._since is not None else 0.0)

    def _rungs(self) -> list[tuple[float, float | None]]:
        """The ladder: at which idle time what is told to remain; None: nothing, it is the end. A warning that
        would come as soon as the caller is silent is none."""
        limits = self._limits
        if not limits.idle_timeout_s:
            return []
        rungs: list[tuple[float, float | None]] = []
        if 0 < limits.idle_warning_s < limits.idle_timeout_s:
            rungs.append((limits.idle_timeout_s - limits.idle_warning_s, limits.idle_warning_s))
        if limits.idle_warning_s and limits.idle_grace_s:
            rungs.append((limits.idle_timeout_s, 0.0))
        return [*rungs, (limits.idle_timeout_s + limits.idle_grace_s, None)]

    def _time_out(self, reason: LimitReason, now: float) -> SessionTimeout:
        self._timed_out, self._timed_out_at = reason, now
        return SessionTimeout(reason, self._limits.farewell_s)

    def _end(self, reason: LimitReason) -> End:
        if reason == "max_duration":
            return End(EndReason.MAX_DURATION, f"the call reached {self._limits.max_duration_s:g} s")
        silent_s = self._limits.idle_timeout_s + self._limits.idle_grace_s
        return End(EndReason.IDLE_TIMEOUT, f"the caller said nothing for {silent_s:g} s")
