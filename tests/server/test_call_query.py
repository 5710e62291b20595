"""The list of calls over HTTP: what is chosen, where a page ends, and what is told when the store is away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from server.doors.call_query import asked
from server.past import MemoryStore, StoreUnavailable
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, PUBLIC, Site, site


class Away(MemoryStore):
    """A store that nobody can read."""

    durable = True

    def __init__(self) -> None:
        super().__init__(0, 0)

    def __getattribute__(self, name: str) -> Any:
        if name in ("newest", "find", "events", "waveform", "forget"):

            async def away(*_: Any) -> None:
                raise StoreUnavailable("it is away")

            return away
        return super().__getattribute__(name)


async def ids(made: Site, query: str = "") -> list[str]:
    reply = await made.web.get(f"/v1/calls{query}")
    assert reply.status == 200, reply.detail
    return [call["call_id"] for call in reply.json()["calls"]]


def test_pages_follow_one_another_to_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            for index in range(5):
                made.end(made.begin(f"CA{index}"))
                await asyncio.sleep(1)
            live = made.begin("CA9")
            pages, query = [], "?limit=2"
            while True:
                told = (await made.web.get(f"/v1/calls{query}")).json()
                pages.append([call["call_id"] for call in told["calls"]])
                if told["next"] is None:
                    break
                query = f"?limit=2&cursor={told['next']}"
            assert pages == [["CA9", "CA4"], ["CA3", "CA2"], ["CA1", "CA0"]]
            assert (await made.web.get("/v1/calls?state=live")).json()["next"] is None
            made.end(live)

    run_virtual(main())


def test_a_full_page_of_live_calls_hides_none_that_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.end(made.begin("CA0"))
            live = [made.begin(f"CA{index}") for index in (1, 2)]
            told = (await made.web.get("/v1/calls?limit=2")).json()
            assert [call["call_id"] for call in told["calls"]] == ["CA2", "CA1"]
            rest = await ids(made, f"?limit=2&cursor={told['next']}")
            assert rest == ["CA0"]
            for call in live:
                made.end(call)

    run_virtual(main())


def test_calls_are_chosen_by_what_they_were(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.end(made.begin("CA0"))
            await asyncio.sleep(10)
            at = made.services.clock.epoch()
            live = made.begin("CA1")
            assert await ids(made, "?from=%2B1") == ["CA1", "CA0"]
            assert await ids(made, "?from=+1") == ["CA1", "CA0"], "as a query has it that was not escaped"
            assert await ids(made, "?from=%2B2") == []
            assert await ids(made, "?to=%2B2&reason=hangup") == ["CA0"]
            assert await ids(made, f"?since={at}") == ["CA1"]
            assert await ids(made, f"?until={at}") == ["CA0"]
            made.end(live)

    run_virtual(main())


@pytest.mark.parametrize(
    "query",
    ["cursor=x", "cursor=%00", "cursor=WzEsMl0", "since=soon", "until=-1", "since=nan", "from=" + "1" * 400],
)
def test_what_is_asked_wrongly_is_told(tmp_path: Path, query: str) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            reply = await made.web.get(f"/v1/calls?{query}")
            assert reply.status == 400
            assert query.partition("=")[0] in reply.detail

    run_virtual(main())


def test_a_number_is_read_however_it_is_written() -> None:
    assert asked({"from": " 15550001111"}).query.from_ == "+15550001111"
    assert asked({}).query.from_ is None


def test_a_store_that_is_away_is_told_and_live_calls_are_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin("CA1")
            made.book.store = Away()
            for path in ("/v1/calls", "/v1/calls/CA2", "/v1/calls/CA2/events?format=wire"):
                reply = await made.web.get(path)
                assert reply.status == 503, path
                assert "at the moment: it is away" in reply.detail
                assert int(reply.headers["retry-after"]) >= 1
            assert await ids(made, "?state=live") == ["CA1"]
            assert (await made.web.get("/v1/calls/CA1/events?format=wire")).json()["last_seq"] == 1
            async with made.web.stream("/v1/calls") as stream:
                while not stream.reply.complete:
                    await asyncio.sleep(0.01)
                assert stream.reply.events() == [("closed", {"reason": "unavailable"}, None)]
            made.book.store = MemoryStore(10, 1 << 20)
            made.end(call)

    run_virtual(main())


def test_a_caller_is_forgotten_by_his_number(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            for index in range(3):
                made.end(made.begin(f"CA{index}"))
            folder = tmp_path / "recordings"
            folder.mkdir()
            (folder / "CA1-0badcafe.wav").write_bytes(bytes(10))
            live = made.begin("CA9")
            reply = await made.web.ask("/v1/callers/+1", "DELETE")
            assert reply.status == 200
            assert reply.json() == {
                "caller": "+1",
                "calls": 3,
                "events": 9,
                "recordings": 1,
                "bytes": 10,
                "live": 1,
            }
            assert await ids(made) == ["CA9"]
            assert not list(folder.iterdir())
            assert [call.call_id for _, call in made.calls.owners._ended.values()] == []
            assert (await made.web.ask("/v1/callers/" + "1" * 400, "DELETE")).status == 400
            made.end(live)

    run_virtual(main())


def test_nobody_is_forgotten_without_a_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            made.end(made.begin("CA0"))
            assert (await made.web.ask("/v1/callers/+1", "DELETE")).status == 401
            assert (await made.web.ask("/v1/callers/+1", "DELETE", b"", **BEARER)).json()["calls"] == 1

    run_virtual(main())
