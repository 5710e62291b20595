"""An agent that was away for longer than memory reaches is told what it missed out of the store, in order and once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

from pipeline.events import CallEnded, EndReason
from server.call import Call
from server.past import Page, StoreUnavailable
from server.ring import Entry, Ring
from tests.fakes.loop import run_virtual
from tests.server.test_resume import House, Owner, happen, house

PAGES = 3
"""Events that are read at once here."""


class Kept:
    """Keeps all events of all calls. ``away``: so often it is not there."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Entry]] = {}
        self.over: set[str] = set()
        self.away = 0
        self.reads = 0

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        if entry is not None:
            # As a database has it: who it was for is not known.
            self.logs.setdefault(entry.call_id, []).append(replace(entry, key=""))
        return True

    def keeps(self, call: Call) -> None:
        call.watch(self)

    async def page(self, call_id: str, after: int, limit: int) -> Page | None:
        self.reads += 1
        await asyncio.sleep(0.01)
        if self.away:
            self.away -= 1
            raise StoreUnavailable("it is slow")
        log = self.logs.get(call_id)
        if log is None:
            return None
        behind = [entry for entry in log if entry.seq > after]
        return Page(behind[:PAGES], log[-1].seq, 0, call_id in self.over)

    async def told(self, call_id: str, names: tuple[str, ...]) -> list[Entry]:
        return [entry for entry in self.logs.get(call_id, ()) if entry.event in names]


def test_what_has_gone_out_of_memory_is_read_and_what_comes_meanwhile_waits(tmp_path: Path) -> None:
    async def main(seed: int) -> None:
        rng = random.Random(seed)
        async with house(tmp_path) as at:
            at.calls.owners.archive = kept = Kept()
            first = Owner({})
            call = at.call(at.comes(first))
            call.events = Ring(max_events=5)
            kept.keeps(call)
            happen(call, 4)
            at.goes(first)
            happen(call, 8 + rng.randrange(20))
            kept.away = rng.randrange(3)
            second = Owner({"CA1": 4})
            at.comes(second)
            for _ in range(rng.randrange(40)):
                happen(call)
                await asyncio.sleep(rng.random() * 0.01)
            await asyncio.sleep(8)
            happen(call)
            assert second.seqs() == list(range(5, call.events.last_seq + 1)), seed
            assert not second.warned()

    for seed in range(20):
        run_virtual(main(seed))


def test_nothing_is_read_where_memory_has_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.calls.owners.archive = kept = Kept()
            first = Owner({})
            call = at.call(at.comes(first))
            kept.keeps(call)
            happen(call, 4)
            at.goes(first)
            happen(call, 4)
            second = Owner({"CA1": 4})
            at.comes(second)
            assert second.seqs() == [5, 6, 7, 8]
            assert not kept.reads

    run_virtual(main())


def test_a_connection_that_breaks_off_in_the_middle_of_it_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.calls.owners.archive = kept = Kept()
            first = Owner({})
            call = at.call(at.comes(first))
            call.events = Ring(max_events=5)
            kept.keeps(call)
            happen(call, 4)
            at.goes(first)
            happen(call, 20)
            second = Owner({"CA1": 4})
            at.comes(second)
            await asyncio.sleep(0.025)
            assert second.seqs() == [5, 6, 7, 8, 9, 10]
            at.goes(second)
            third = Owner({"CA1": 9})
            at.comes(third)
            await asyncio.sleep(5)
            assert third.seqs() == list(range(10, 25))
            assert second.seqs() == [5, 6, 7, 8, 9, 10]

    run_virtual(main())


def test_where_the_store_stays_away_the_hole_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            at.calls.owners.archive = kept = Kept()
            first = Owner({})
            call = at.call(at.comes(first))
            call.events = Ring(max_events=5)
            kept.keeps(call)
            happen(call, 4)
            at.goes(first)
            happen(call, 8)
            kept.away = 1000
            second = Owner({"CA1": 4})
            at.comes(second)
            await asyncio.sleep(5)
            assert second.seqs() == []
            happen(call)
            await asyncio.sleep(4)
            assert second.seqs() == [9, 10, 11, 12, 13]
            (warning,) = [frame for frame in second.told if frame["event"] == "server.warning"]
            assert warning["code"] == "EVENTS_LOST"
            assert "cannot be read at the moment (it is slow)" in warning["warning"]

    run_virtual(main())


def over_and_forgotten(at: House, reason: EndReason) -> None:
    """A call of ten events, that is only in the archive any more."""
    at.calls.owners.archive = kept = Kept()
    first = Owner({})
    call = at.call(at.comes(first))
    kept.keeps(call)
    happen(call, 9)
    at.goes(first)
    at.calls._finish(call, CallEnded(reason, "", asyncio.get_running_loop().time(), 1.0, ()))
    at.calls.owners.drop(["CA1"])
    kept.over.add("CA1")


def test_of_a_call_that_is_over_and_forgotten_the_rest_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            over_and_forgotten(at, EndReason.HANGUP)
            second = Owner({"CA1": 2, "CA-unknown": 5})
            at.comes(second)
            await asyncio.sleep(1)
            assert second.seqs() == list(range(3, 11))
            assert second.told[-2]["event"] == "call.ended"
            assert second.back() == [({}, []), ({"CA1": False}, []), ({}, ["CA-unknown"])]
            at.goes(second)
            third = Owner({"CA1": 10})
            at.comes(third)
            await asyncio.sleep(1)
            assert third.seqs() == [], "it has all of it"
            at.goes(third)
            other = Owner({"CA1": 2})
            at.comes(other, "somebody-else")
            await asyncio.sleep(1)
            assert other.seqs() == [], "it is not his"
            assert other.back() == [({}, [])]

    run_virtual(main())


def test_whoever_knows_more_than_a_killed_server_wrote_is_told_that_the_call_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path) as at:
            over_and_forgotten(at, EndReason.FAILED)
            knows = Owner({"CA1": 10})
            at.comes(knows)
            await asyncio.sleep(1)
            assert (knows.seqs(), knows.back()) == ([], [({}, []), ({}, ["CA1"])])

    run_virtual(main())
