"""When packets go to a browser: in virtual time."""

from __future__ import annotations

from media.rtc.sendclock import PACKET_S, TAIL, TICKS, Next, SendClock


def pump(clock: SendClock, now: float, waiting: int) -> list[tuple[Next, int]]:
    """All that goes now."""
    out: list[tuple[Next, int]] = []
    while (what := clock.next(now, audio=waiting > 0)) is not None:
        out.append((what, clock.sent(what)))
        waiting -= what is Next.AUDIO
    return out


def test_a_run_begins_at_once_and_goes_ahead_by_its_lead() -> None:
    clock = SendClock(lead_ms=60)
    assert clock.idle
    assert clock.deadline(audio=False) is None
    first = pump(clock, 10.0, 100)
    assert [what for what, _ in first] == [Next.AUDIO] * 4
    assert [at - first[0][1] for _, at in first] == [0, TICKS, 2 * TICKS, 3 * TICKS]
    assert pump(clock, 10.0199, 96) == []
    assert len(pump(clock, 10.0201, 96)) == 1
    assert clock.slips == 0


def test_packets_keep_absolute_deadlines() -> None:
    clock = SendClock(lead_ms=60)
    sent = len(pump(clock, 0.0, 1000))
    for n in range(1, 500):
        # Each look is late by a little: that does not add up.
        sent += len(pump(clock, n * PACKET_S + 0.007, 1000 - sent))
    assert sent == 503
    assert clock.slips == 0


def test_a_stall_within_the_lead_is_made_good_at_once() -> None:
    clock = SendClock(lead_ms=80)
    pump(clock, 0.0, 100)
    before = clock.heard_until
    assert len(pump(clock, 0.08, 95)) == 4
    assert clock.heard_until == before + 4 * PACKET_S
    assert clock.slips == 0


def test_a_longer_stall_shifts_what_follows_and_loses_nothing() -> None:
    clock = SendClock(lead_ms=80)
    first = pump(clock, 0.0, 100)
    rest = pump(clock, 0.3, 95)
    assert clock.slips == 1
    assert rest[0][1] == first[-1][1] + TICKS, "the far end plays on where it was"
    assert clock.heard_until >= 0.3 + 0.08


def test_a_run_ends_in_silence_and_the_next_one_leaps() -> None:
    clock = SendClock(lead_ms=0)
    (run,) = pump(clock, 0.0, 1)
    silent = [got for n in range(1, 40) for got in pump(clock, n * PACKET_S + 1e-6, 0)]
    assert [what for what, _ in silent] == [Next.SILENCE] * TAIL
    assert clock.idle
    assert clock.deadline(audio=False) is None
    ((_, at),) = pump(clock, 2.0, 1)
    assert at - run[1] == 100 * TICKS, "2 s of 20 ms"


def test_audio_that_comes_in_the_tail_does_not_wait_for_it() -> None:
    clock = SendClock(lead_ms=0)
    pump(clock, 0.0, 1)
    pump(clock, 0.0201, 0)
    assert clock.deadline(audio=True) == float("-inf")
    assert len(pump(clock, 0.025, 1)) == 1
    assert clock.heard_until == 0.025 + PACKET_S
