"""A browser's packets, put in order: in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.rtc.inbound import (
    HELD_UP_S,
    PAUSES_S,
    STEP,
    Conceal,
    Decode,
    Inbound,
    Output,
    Packet,
    Silence,
)

BASE = 4_294_966_000
"""Just before the timestamps begin anew."""


def packet(n: int, *, sequence: int | None = None, ssrc: int = 1) -> Packet:
    timestamp = (BASE + n * STEP) % (1 << 32)
    return Packet(
        ssrc, (65_530 + (n if sequence is None else sequence)) % 65_536, timestamp, STEP, bytes([n % 256])
    )


def payloads(outputs: list[Output]) -> list[int]:
    return [output.payload[0] for output in outputs if isinstance(output, Decode)]


def ticks(outputs: list[Output]) -> int:
    return sum(STEP if isinstance(output, Decode) else output.ticks for output in outputs)


def test_packets_in_their_turn_are_handed_on_at_once_across_the_end_of_the_numbers() -> None:
    inbound = Inbound()
    for n in range(20):
        assert payloads(inbound.receive(packet(n), n * 0.02)) == [n]
    assert inbound.lost == inbound.late == 0


def test_packets_that_overtake_each_other_are_put_in_order() -> None:
    inbound = Inbound()
    inbound.receive(packet(0), 0.0)
    assert inbound.receive(packet(2), 0.03) == []
    assert payloads(inbound.receive(packet(1), 0.04)) == [1, 2]
    assert inbound.receive(packet(1), 0.05) == [], "repeated"
    assert (inbound.lost, inbound.late) == (0, 1)


def test_a_lost_packet_is_made_up_from_the_one_behind_it_after_the_cushion() -> None:
    inbound = Inbound(cushion_ms=60)
    inbound.receive(packet(0), 0.0)
    inbound.receive(packet(2), 0.04)
    assert inbound.tick(0.0799) == []
    assert inbound.deadline() == pytest.approx(0.02 + 0.06)
    assert inbound.tick(0.0801) == [Conceal(STEP, bytes([2])), Decode(bytes([2]))]
    assert inbound.lost == STEP


def test_silence_of_the_sender_is_filled_by_time_and_its_clock_goes_on() -> None:
    inbound = Inbound(cushion_ms=60)
    inbound.receive(packet(0), 0.0)
    outputs: list[Output] = []
    now = 0.0
    while now < 0.405:
        now += 0.01
        outputs += inbound.tick(now)
    assert [type(output) for output in outputs[:4]] == [Conceal, Conceal, Conceal, Silence]
    assert ticks(outputs) == 7 * STEP, "what is due, but for the time that all packets may be held up"
    # The next one, numbered on: it was sent behind the pause, and nothing is missing.
    outputs += inbound.receive(packet(30, sequence=1), 0.6)
    assert payloads(outputs) == [30]
    assert ticks(outputs) == 30 * STEP


def test_what_is_made_up_begins_anew_with_each_hole() -> None:
    inbound = Inbound(cushion_ms=60)
    kinds: list[str] = []
    for n in range(0, 60, 6):
        outputs = [*inbound.tick(n * 0.02), *inbound.receive(packet(n, sequence=n // 6), n * 0.02)]
        kinds.extend(type(output).__name__ for output in outputs)
    assert kinds.count("Decode") == 10
    assert kinds[:4] == ["Decode", "Silence", "Decode", "Conceal"], "the first pause is seen when it is over"
    assert kinds.count("Conceal") == 8 * 3, "60 ms of each 100; the rest is silence"


def test_packets_that_are_held_up_together_are_all_heard() -> None:
    inbound = Inbound(cushion_ms=60)
    outputs = [*inbound.receive(packet(0), 0.0)]
    for n in range(1, 11):
        outputs += inbound.receive(packet(n), 0.02 * n)
    outputs += inbound.tick(0.44)
    for n in range(11, 23):
        outputs += inbound.receive(packet(n), 0.45)
    assert payloads(outputs) == list(range(23))
    assert (inbound.lost, inbound.late) == (0, 0)
    assert inbound.tick(0.7) == []
    assert inbound.tick(0.72) != [], "by then it is silence"


def test_a_sender_that_left_out_silence_is_not_waited_for_so_long() -> None:
    inbound = Inbound(cushion_ms=60)
    inbound.receive(packet(0), 0.0)
    inbound.receive(packet(10, sequence=1), 0.2)
    assert inbound.deadline() == pytest.approx(0.22 + 0.06)
    n = 11
    while n * 0.02 < PAUSES_S + 0.4:
        inbound.receive(packet(n, sequence=n - 9), 0.02 * n)
        n += 1
    assert inbound.deadline() == pytest.approx(0.02 * n + HELD_UP_S), "it does not do so any more"


def test_a_late_packet_widens_the_cushion() -> None:
    inbound = Inbound(cushion_ms=60, widest_ms=240)
    inbound.receive(packet(0), 0.0)
    inbound.receive(packet(2), 0.04)
    assert payloads(inbound.tick(0.1)) == [2]
    assert inbound.receive(packet(1), 0.12) == []
    assert inbound.late == 1
    inbound.receive(packet(4), 0.13)
    assert inbound.tick(0.13) == [], "0.06 + 0.06 would be the plain cushion's end"
    assert payloads(inbound.tick(0.19)) == [4]


def test_another_sender_or_a_leap_of_the_clock_begins_anew() -> None:
    inbound = Inbound()
    inbound.receive(packet(0), 0.0)
    assert payloads(inbound.receive(packet(5000), 0.02)) == [136]
    assert payloads(inbound.receive(packet(7, ssrc=2), 0.04)) == [7]
    assert inbound.resets == 2


def test_a_hole_with_much_behind_it_is_given_up() -> None:
    inbound = Inbound()
    inbound.receive(packet(0), 0.0)
    outputs: list[Output] = []
    for n in range(2, 60):
        outputs += inbound.receive(packet(n), 0.001 * n)
    assert payloads(outputs) == list(range(2, 60))


@given(st.lists(st.tuples(st.integers(0, 80), st.floats(0, 0.2)), max_size=120), st.integers(0, 2**32 - 1))
def test_no_tick_is_handed_on_twice_nor_forgotten(arrivals: list[tuple[int, float]], base: int) -> None:
    inbound = Inbound()
    now, outputs = 0.0, list[Output]()
    outputs += inbound.receive(Packet(1, 0, base, STEP, b"\0"), now)
    for n, wait_s in arrivals:
        now += wait_s / 4
        outputs += inbound.tick(now)
        outputs += inbound.receive(
            Packet(1, n % 65_536, (base + n * STEP) % 2**32, STEP, bytes([n % 256])), now
        )
    outputs += inbound.tick(now + 1.0)
    heard = payloads(outputs)
    assert heard == sorted(set(heard)), "in order, each once"
    place = 0
    for output in outputs:
        if isinstance(output, Decode) and output.payload[0]:
            assert output.payload[0] == place // STEP
        place += STEP if isinstance(output, Decode) else output.ticks
