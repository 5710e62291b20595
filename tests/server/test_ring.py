"""What is kept of a call, and what goes first."""

from __future__ import annotations

import random

import pytest

from server.ring import LAST, METRICS, Entry, Ring


def entry(seq: int, event: str = "bot.word", size: int = 10) -> Entry:
    return Entry("CA1", seq, float(seq), event, b"x" * size)


def seqs(ring: Ring, cursor: int = 0) -> list[int]:
    return [kept.seq for kept in ring.since(cursor)]


def test_each_cursor_has_what_came_after_it_in_order() -> None:
    ring = Ring()
    for seq in range(1, 8):
        ring.append(entry(seq, METRICS if seq % 3 == 0 else "bot.word"))
    assert seqs(ring) == [1, 2, 3, 4, 5, 6, 7]
    assert seqs(ring, 4) == [5, 6, 7]
    assert seqs(ring, 7) == []
    assert (ring.last_seq, ring.lost_since(0), ring.size) == (7, 0, 70)


def test_measurements_go_before_facts() -> None:
    ring = Ring(max_events=5, max_metrics=3)
    for seq, event in enumerate(["a", METRICS, "b", METRICS, METRICS, METRICS], 1):
        ring.append(entry(seq, event))
    assert seqs(ring) == [1, 3, 4, 5, 6]
    ring.append(entry(7))
    assert seqs(ring) == [1, 3, 5, 6, 7]
    assert ring.lost_since(0) == 0
    for seq in range(8, 11):
        ring.append(entry(seq))
    assert seqs(ring) == [3, 7, 8, 9, 10]
    assert (ring.lost_since(0), ring.lost_since(1)) == (1, 0)


@pytest.mark.parametrize("last", LAST)
def test_the_end_of_a_call_pushes_nothing_out_and_the_newest_always_stays(last: str) -> None:
    ring = Ring(max_bytes=100)
    for seq in range(1, 5):
        ring.append(entry(seq))
    ring.append(entry(5, last, 1000))
    assert seqs(ring) == [1, 2, 3, 4, 5]
    assert ring.size == 1040
    ring.append(entry(6, size=500))
    assert seqs(ring) == [6]
    assert ring.lost_since(2) == 3


def test_the_bounds_hold_and_nothing_goes_unsaid() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        ring = Ring(max_events=20, max_bytes=600, max_metrics=8)
        made: list[Entry] = []
        for seq in range(1, 200):
            made.append(entry(seq, rng.choice((METRICS, "bot.word")), rng.choice((5, 30, 90))))
            ring.append(made[-1])
            cursor = rng.randrange(seq + 1)
            kept = list(ring.since(cursor))
            assert [e.seq for e in kept] == sorted(e.seq for e in kept)
            assert len(kept) <= 20
            assert ring.size <= 600
            lost_to = cursor + ring.lost_since(cursor)
            facts = [e for e in made if e.event != METRICS]
            assert [e for e in kept if e.event != METRICS] == [e for e in facts if e.seq > lost_to]
