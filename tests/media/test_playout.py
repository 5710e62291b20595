from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.playout import Mark, Playout, Send

RATE = 8000


def audio(ms: int) -> np.ndarray:
    return np.full(RATE * ms // 1000, 1000, dtype=np.int16)


def idle(playout: Playout) -> bool:
    return playout.idle


class FarEnd:
    """A listener that plays what it gets, and returns marks after ``delay_s``."""

    def __init__(self, playout: Playout, delay_s: float = 0.0) -> None:
        self.playout = playout
        self.delay_s = delay_s
        self.ends = 0.0
        self.marks: list[tuple[float, str]] = []
        self.played = 0
        self.gaps: list[float] = []
        self.sends: list[tuple[float, int]] = []

    def run(self, start: float, stop: float, step: float = 0.005) -> None:
        now = start
        while now <= stop:
            self.step(now)
            now = round(now + step, 6)

    def step(self, now: float) -> None:
        for due, name in [m for m in self.marks if m[0] <= now]:
            self.marks.remove((due, name))
            self.playout.acknowledge(name, now)
        for order in self.playout.pull(now):
            if isinstance(order, Send):
                if self.ends and now > self.ends:
                    self.gaps.append(now - self.ends)
                self.ends = max(self.ends, now) + len(order.pcm) / RATE
                self.played += len(order.pcm)
                self.sends.append((now, len(order.pcm)))
            else:
                assert isinstance(order, Mark)
                self.marks.append((self.ends + self.delay_s, order.name))


def test_sends_the_lead_at_once_and_then_at_the_pace_of_the_ear() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(2000))
    first = sum(len(o.pcm) for o in playout.pull(10.0) if isinstance(o, Send))
    assert first == RATE * 300 // 1000
    assert playout.pull(10.05) == []
    later = sum(len(o.pcm) for o in playout.pull(10.1) if isinstance(o, Send))
    assert later == RATE * 100 // 1000


def test_every_send_is_whole_frames() -> None:
    playout = Playout(RATE, lead_ms=300)
    for size in (7, 333, 161, 900, 2000, 1):
        playout.write(np.ones(size, dtype=np.int16))
    playout.end_message()
    far = FarEnd(playout)
    far.run(0.0, 2.0)
    assert all(size % 160 == 0 for _, size in far.sends)
    assert far.played == 3520  # 3402 samples, the last frame filled up


def test_a_stall_shorter_than_the_lead_is_not_heard() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(3000))
    far = FarEnd(playout)
    far.run(0.0, 1.0)
    far.run(1.19, 4.0)  # the loop stood still for 190 ms
    assert far.gaps == []
    assert far.played == RATE * 3


def test_ten_minutes_without_drift() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(np.zeros(RATE * 600, dtype=np.int16))
    far = FarEnd(playout)
    far.run(0.0, 599.0, step=0.013)
    assert far.gaps == []
    # What was sent is what was played plus at most the lead.
    assert 0 <= far.played / RATE - 599.0 <= 0.301


def test_a_dry_spell_begins_a_new_run() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(200))
    far = FarEnd(playout)
    far.run(0.0, 1.0)
    assert idle(playout)
    assert playout.heard(1.0) == 1600
    playout.write(audio(400))
    far.step(5.0)
    assert playout.heard(5.0) == 1600
    assert playout.heard(5.1) == 2400
    far.run(5.005, 6.0)
    assert playout.heard(6.0) == 4800


def test_heard_never_passes_the_next_mark_that_is_out() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(1000))
    playout.pull(0.0)
    assert playout.heard(0.1) == 800
    # The mark at 200 ms does not come back: the network, or a far end that has not begun.
    assert playout.heard(0.9) == 1600


def test_a_mark_that_took_40_ms_says_what_was_heard_20_ms_ago() -> None:
    playout = Playout(RATE, lead_ms=500)
    playout.write(audio(1000))
    playout.pull(0.0)
    playout.acknowledge("1600", 0.24)
    assert playout.heard(0.24) == 1600 + 160
    # The next one is out; it could have come back by now if it had been passed 20 ms ago.
    assert playout.heard(5.0) == 3200 + 160
    # What is cleared now is cleared there 20 ms later.
    assert playout.heard_at_clear(0.24) == 1600 + 320
    assert playout.clear(0.24) == 1600 + 320


def test_the_ways_are_those_of_the_quickest_mark_of_a_run_and_of_a_usual_run() -> None:
    playout = Playout(RATE, lead_ms=300)
    for number, trips in enumerate([(0.5, 0.04), (0.04, 0.3), (0.9, 0.8)]):
        start = number * 5.0
        base = playout.written
        playout.write(audio(400))
        playout.end_message()
        for mark, trip in zip((1600, 3200), trips, strict=True):
            playout.pull(start + mark / RATE - 0.2)
            playout.acknowledge(str(base + mark), start + mark / RATE + trip)
        assert playout.idle
    playout.write(audio(400))
    playout.pull(20.0)
    # A way of 20 ms: the stalls of the third run, and of the first mark, say nothing of it.
    assert playout.heard(20.02) == playout.sent - 2400
    assert playout.heard(20.12) == playout.sent - 2400 + 800


def test_no_way_is_longer_than_a_stall() -> None:
    playout = Playout(RATE, lead_ms=900)
    playout.write(audio(1000))
    playout.pull(0.0)
    playout.acknowledge("1600", 3.0)
    assert playout.heard(3.0) == 1600 + 1200


def test_time_of_a_position_is_known_up_to_the_next_mark() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(1000))
    playout.pull(0.0)
    assert playout.time_of(800) == pytest.approx(0.1)
    assert playout.time_of(1601) is None
    playout.acknowledge("1600", 0.25)
    assert playout.time_of(1800) == pytest.approx(0.225 + 0.025)


def test_what_begins_behind_a_dry_spell_begins_with_its_run() -> None:
    """Also while the mark in front of it is still out: it may be lost."""
    playout = Playout(RATE)
    far = FarEnd(playout, delay_s=0.02)
    for at in (0.0, 1.0):
        playout.write(audio(200))
        playout.end_message()
        far.run(at, at + 0.9)
    playout.keep_heard()
    playout.write(audio(200))
    playout.end_message()
    playout.pull(3.0)
    playout.write(audio(200))
    playout.pull(4.0)  # No mark came.
    assert playout.time_of(600 * 8) == pytest.approx(3.21)
    assert playout.time_of(599 * 8) == pytest.approx(3.209)
    playout.acknowledge("4800", 4.02)
    heard = {one.position: one for one in playout.take_heard(4.1)}
    assert heard[400 * 8].at == pytest.approx(3.01)
    assert heard[600 * 8].at == pytest.approx(4.01)
    assert all(one.timed for one in heard.values())


def test_a_clear_leaves_what_was_heard_its_time() -> None:
    """Also what will have been heard only when the clear has come to the far end."""
    playout = Playout(RATE)
    far = FarEnd(playout, delay_s=0.02)
    playout.write(audio(200))
    playout.end_message()
    far.run(0.0, 0.9)
    playout.keep_heard()
    playout.write(audio(1000))
    far.run(1.0, 1.1)
    cut = playout.clear(1.1)
    assert cut == pytest.approx(200 * 8 + 100 * 8, abs=160)
    playout.write(audio(200))
    playout.pull(5.0)
    heard = playout.take_heard(5.1)
    assert heard[0].position == 200 * 8
    for one in heard:
        if one.position < cut:
            assert one.at == pytest.approx(1.01 + (one.position - 200 * 8) / RATE, abs=0.002)
    assert heard[-1].at == pytest.approx(5.01)


def test_clear_drops_what_was_not_heard_and_voids_its_marks() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(2000))
    far = FarEnd(playout)
    far.run(0.0, 0.5)
    cut = playout.clear(0.5)
    assert cut == pytest.approx(4000, abs=40)
    assert playout.queued_ms == 0
    assert playout.pull(0.6) == []
    # The carrier returns the marks of what was thrown away.
    at = playout.heard(0.6)
    for _, name in far.marks:
        playout.acknowledge(name, 0.6)
    assert playout.heard(0.6) == at == playout.sent
    # What is written afterwards is heard from its own beginning.
    playout.write(audio(100))
    start = playout.written - 800
    playout.pull(1.0)
    assert playout.heard(1.05) == start + 400


def test_a_lost_mark_is_taken_as_played_after_the_safety_time() -> None:
    playout = Playout(RATE, lead_ms=300, safety_ms=2000)
    playout.write(audio(100))
    playout.end_message()
    playout.pull(0.0)
    assert not idle(playout)
    deadline = playout.deadline()
    assert deadline == pytest.approx(2.1)
    playout.pull(2.1)
    assert idle(playout)
    assert playout.marks_lost == 1
    assert playout.heard(2.1) == 800


def test_marks_that_are_repeated_or_foreign_change_nothing() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(1000))
    playout.pull(0.0)
    playout.acknowledge("1600", 0.2)
    before = playout.heard(0.25)
    playout.acknowledge("1600", 0.25)
    playout.acknowledge("nonsense", 0.25)
    assert playout.heard(0.25) == before


def test_a_message_ends_with_a_mark_of_its_own() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(50))
    playout.end_message()
    playout.write(audio(50))
    orders = playout.pull(0.0)
    position = next(i for i, o in enumerate(orders) if isinstance(o, Mark))
    assert orders[position] == Mark("480")  # 50 ms, filled up to whole frames


def test_a_message_that_ends_after_all_its_audio_was_sent_still_gets_its_mark() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.write(audio(100))
    assert not [o for o in playout.pull(0.0) if isinstance(o, Mark)]
    playout.end_message()
    assert playout.pull(0.05) == [Mark("800")]
    # A message without any audio has nothing to mark.
    playout.end_message()
    assert playout.pull(0.06) == []


def test_heard_audio_is_kept_for_the_recorder_and_cut_at_a_clear() -> None:
    playout = Playout(RATE, lead_ms=300)
    playout.keep_heard()
    playout.write(np.arange(8000, dtype=np.int16))
    far = FarEnd(playout)
    far.run(0.0, 0.3)
    first = playout.take_heard(0.3)
    far.run(0.305, 0.5)
    cut = playout.clear(0.5)
    rest = playout.take_heard(0.5)
    joined = np.concatenate([one.pcm for one in first + rest])
    assert len(joined) == cut
    assert np.array_equal(joined, np.arange(cut, dtype=np.int16))
    assert [one.position for one in first + rest] == sorted(one.position for one in first + rest)
    assert [one.begins for one in first + rest] == [True] + [False] * (len(first + rest) - 1)


@given(
    writes=st.lists(st.integers(1, 4000), min_size=1, max_size=8),
    steps=st.lists(st.floats(0.001, 0.4), min_size=1, max_size=60),
    delay_s=st.sampled_from([0.0, 0.03, 0.5, 5.0]),
    clear_at=st.integers(0, 60),
)
def test_the_playhead_only_grows_and_never_passes_what_was_sent(
    writes: list[int], steps: list[float], delay_s: float, clear_at: int
) -> None:
    playout = Playout(RATE, lead_ms=300)
    far = FarEnd(playout, delay_s)
    now, last = 0.0, 0
    for number, step in enumerate(steps):
        if number < len(writes):
            playout.write(np.ones(writes[number], dtype=np.int16))
        if number == clear_at:
            playout.clear(now)
        far.step(now)
        heard = playout.heard(now)
        assert last <= heard <= playout.sent
        last = heard
        now += step


def test_what_a_clear_cannot_take_back_counts_as_heard() -> None:
    playout = Playout(RATE, lead_ms=120, mark_every_ms=100)
    playout.know_way(0.0, 0.08)
    playout.write(audio(1000))
    FarEnd(playout).run(0.0, 0.2)
    assert playout.heard(0.2) == pytest.approx(0.2 * RATE, abs=1)
    assert playout.clear(0.2) == pytest.approx(0.28 * RATE, abs=1)


def test_nothing_is_heard_before_it_was_sent_where_the_far_end_plays_ahead_of_the_pace() -> None:
    playout = Playout(RATE, lead_ms=160)
    playout.know_way(-0.065, 0.015)
    playout.write(audio(1000))
    playout.pull(20.0)
    assert playout.begin_of(0) == 20.0
    assert playout.begin_of(RATE // 10) == pytest.approx(20.035)


def test_what_the_far_end_says_of_the_way_counts_more_than_marks() -> None:
    playout = Playout(RATE, lead_ms=120, mark_every_ms=100)
    playout.know_way(0.05, 0.01)
    assert playout.way_s == 0.05
    playout.write(audio(1000))
    out = playout.pull(0.0)
    name = next(order.name for order in out if isinstance(order, Mark))
    assert playout.heard(0.1) == pytest.approx(0.05 * RATE, abs=1)
    assert playout.heard_at_clear(0.1) == pytest.approx(0.06 * RATE, abs=1)
    playout.acknowledge(name, int(name) / RATE + 0.03)
    assert playout.way_s == 0.05, "marks have nothing to tell any more"
