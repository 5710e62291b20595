"""When audio goes to a PBX, and what becomes of audio that does not come: in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.carriers.audiosocket.arrivals import AHEAD_S, CUSHION_S, Arrivals
from telephony.carriers.audiosocket.pacing import FRAME_S, Next, Pacer

FRAME = 160


# --- out --------------------------------------------------------------------------------------------------


class Sender:
    """Drives a pacer as a leg does: at its deadlines, or later by ``late_s``."""

    def __init__(self, lead_ms: int = 60) -> None:
        self.pacer = Pacer(lead_ms, 0.0)
        self.now = 0.0
        self.audio = 0
        self.sent: list[tuple[float, Next]] = []

    def pump(self, now: float) -> None:
        self.now = now
        while (what := self.pacer.next(now, audio=self.audio > 0)) is not None:
            self.pacer.sent(what, now)
            self.sent.append((now, what))
            if what is Next.AUDIO:
                self.audio -= 1

    def until(self, end: float, late_s: float = 0.0) -> None:
        while (due := self.pacer.deadline(audio=self.audio > 0) + late_s) < end:
            self.pump(max(due, self.now))


def test_silence_goes_all_the_time_and_never_ahead() -> None:
    sender = Sender()
    sender.until(2.0)
    assert len(sender.sent) == 100
    assert {what for _, what in sender.sent} == {Next.SILENCE}
    assert all(at == pytest.approx(number * FRAME_S) for number, (at, _) in enumerate(sender.sent))


def test_silence_that_is_sent_late_is_made_up_for() -> None:
    sender = Sender()
    sender.until(10.0, late_s=0.004)
    assert len(sender.sent) == pytest.approx(500, abs=1)


def test_audio_goes_ahead_by_the_lead_and_then_at_its_own_pace() -> None:
    sender = Sender(60)
    sender.until(1.0)
    sender.audio = 100
    sender.pump(1.01)
    begun = [at for at, what in sender.sent if what is Next.AUDIO]
    assert len(begun) == 3
    assert sender.pacer.heard_until - 1.01 <= 0.06 + 1e-9
    sender.until(2.0)
    times = [at for at, what in sender.sent if what is Next.AUDIO]
    assert times[10] - times[9] == pytest.approx(FRAME_S)
    assert sender.pacer.slips == 0


def test_audio_after_a_stall_is_heard_from_when_it_goes() -> None:
    sender = Sender(60)
    sender.audio = 100
    sender.pump(0.0)
    sender.pump(0.5)
    assert sender.pacer.slips == 1
    assert sender.pacer.heard_until == pytest.approx(0.56)


def test_after_a_stall_the_silence_that_nobody_missed_is_not_sent() -> None:
    sender = Sender()
    sender.pump(0.0)
    sender.pump(30.0)
    assert len(sender.sent) == 2
    assert sender.pacer.heard_until == pytest.approx(30.0 + FRAME_S)


@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 30)), min_size=1, max_size=60),
    st.integers(40, 300),
)
def test_no_more_than_the_lead_is_ever_out(steps: list[tuple[float, int]], lead_ms: int) -> None:
    sender, now = Sender(lead_ms), 0.0
    for step, frames in steps:
        now += step
        sender.audio += frames
        before = sender.pacer.heard_until
        sender.pump(now)
        assert sender.pacer.heard_until <= max(now + max(lead_ms / 1000, FRAME_S) + 1e-6, before)
        assert sender.pacer.heard_until >= now - 1e-6


# --- in ---------------------------------------------------------------------------------------------------


class Caller:
    def __init__(self) -> None:
        self.arrivals = Arrivals(8000)
        self.now = 100.0
        self.position = 0
        self.filled: list[int] = []

    def come(self, frames: int = 1, late_s: float = 0.0) -> None:
        """Frames come, each in its time and later by so much."""
        for _ in range(frames):
            self.now += FRAME_S
            silence = self.arrivals.tick(self.now)
            self.filled.append(silence)
            self.position += silence
            self.take(self.now + late_s)

    def take(self, now: float) -> None:
        silence = self.arrivals.received(FRAME, now)
        if silence is not None:
            self.filled.append(silence)
            self.position += silence + FRAME

    def wait(self, seconds: float) -> None:
        """Nothing comes; the leg looks every 20 ms."""
        end = self.now + seconds
        while self.now + FRAME_S <= end + 1e-9:
            self.now += FRAME_S
            silence = self.arrivals.tick(self.now)
            self.filled.append(silence)
            self.position += silence

    @property
    def behind_s(self) -> float:
        return self.now - 100.0 - self.position / 8000


def test_audio_in_time_passes_as_it_comes() -> None:
    caller = Caller()
    caller.come(500)
    assert caller.position == 500 * FRAME
    assert caller.arrivals.missing == 0


def test_jitter_is_no_hole() -> None:
    caller = Caller()
    for late_ms in (0, 15, 3, 35, 0, 20, 40, 1) * 50:
        caller.come(late_s=late_ms / 1000)
    assert caller.arrivals.missing == 0


def test_before_the_first_audio_there_is_no_time() -> None:
    assert Arrivals(8000).tick(1000.0) == 0


def test_a_telephone_that_sends_no_silence_leaves_none_out() -> None:
    caller = Caller()
    caller.come(50)
    caller.wait(5.0)
    assert 0 <= caller.behind_s <= CUSHION_S + FRAME_S
    caller.come(50)
    assert caller.behind_s == pytest.approx(0.0, abs=FRAME_S)
    assert caller.filled[-49:] == [0] * 49, "what is missing lies before the first frame, not within"


def test_single_packets_that_were_lost_are_filled_in() -> None:
    caller = Caller()
    for _ in range(20):
        caller.come(49)
        caller.now += FRAME_S  # Lost, and the next one comes in its time.
    caller.come(100)
    assert caller.arrivals.missing == 20 * FRAME
    assert caller.behind_s == pytest.approx(0.0, abs=FRAME_S)


def test_what_was_held_up_is_heard_and_made_up_for_later() -> None:
    caller = Caller()
    caller.come(50)
    caller.wait(0.5)
    held_until = caller.now
    for _ in range(25):
        caller.take(held_until)
    assert caller.position == 50 * FRAME + 25 * FRAME + caller.arrivals.missing
    assert caller.behind_s < -0.3
    caller.come(100)
    assert caller.arrivals.missing <= 25 * FRAME
    caller.wait(1.0)
    assert -2 * FRAME_S <= caller.behind_s <= CUSHION_S + FRAME_S, "the next pause takes it back"


def test_what_came_before_the_call_was_taken_is_no_lead() -> None:
    caller = Caller()
    for _ in range(30):
        caller.take(caller.now)  # 600 ms of it.
    caller.come(20)
    before = caller.position
    caller.wait(1.0)
    assert caller.position - before == pytest.approx(8000 * (1.0 - CUSHION_S), abs=2 * FRAME)


def test_where_we_were_held_up_nothing_is_missing() -> None:
    caller = Caller()
    caller.come(50)
    for _ in range(10):
        caller.arrivals.tick(caller.now)
    assert caller.arrivals.tick(caller.now + 0.5) == 0, "what came in that time has not been read yet"
    for _ in range(25):
        caller.take(caller.now + 0.5)
    assert caller.arrivals.tick(caller.now + 0.52) == 0
    assert caller.arrivals.missing == 0


def test_a_flood_is_dropped() -> None:
    caller = Caller()
    caller.come(10)
    for _ in range(10_000):
        caller.take(caller.now)
    assert caller.position / 8000 < AHEAD_S * 2.5
    assert caller.arrivals.dropped > 9_000 * FRAME


def test_a_clock_that_is_a_little_faster_or_slower_is_followed() -> None:
    for rate in (0.9998, 1.0002):
        caller = Caller()
        for _ in range(50 * 600):
            caller.now += FRAME_S * rate
            caller.take(caller.now)
        assert abs(caller.behind_s) < 0.2
        assert caller.arrivals.dropped == 0


@given(
    st.lists(st.tuples(st.sampled_from(["come", "lose", "wait", "late"]), st.integers(1, 40)), max_size=40)
)
def test_the_clock_of_the_caller_never_falls_behind_for_long(steps: list[tuple[str, int]]) -> None:
    caller = Caller()
    caller.come(5)
    for what, count in steps:
        if what == "come":
            caller.come(count)
        elif what == "lose":
            caller.wait(count * FRAME_S)
        elif what == "wait":
            caller.wait(count * 10 * FRAME_S)
        else:
            caller.come(count, late_s=0.03)
    caller.come(150)
    assert caller.behind_s <= 2 * FRAME_S
    assert all(filled % FRAME == 0 for filled in caller.filled)
