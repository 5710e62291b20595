"""Whoever reads a call's log, from any place, from any instant on and cut off at any other, ends with exactly the log."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from pipeline.events import BotWord
from server.past import StoreUnavailable
from server.ring import Entry, Ring
from server.store import writer
from tests.server.store.home import Home, home, migrated

CALL = "CA1"


@dataclass
class Follower:
    """As a client of the door is one: it comes back with the last ``seq`` that it has."""

    made: Home
    after: int
    got: list[Entry] = field(default_factory=list)
    over: bool = False
    task: asyncio.Task[None] | None = None

    async def read(self) -> None:
        while not self.over:
            after = self.got[-1].seq if self.got else self.after
            try:
                with self.made.book.reading(CALL, after) as reader:
                    while not self.over:
                        page = await reader.read()
                        assert page is not None
                        assert not page.lost
                        self.got += page.entries
                        self.over = page.over and not page.entries
                        if not page.entries and not self.over:
                            await reader.wait(1.0)
            except StoreUnavailable:
                await asyncio.sleep(0.005)


STEPS = st.one_of(
    st.tuples(st.just("tell"), st.integers(1, 12)),
    st.tuples(st.just("attach"), st.integers(0, 60)),
    st.tuples(st.just("drop"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
    st.tuples(st.just("flush"), st.just(0)),
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "calls.db"
    asyncio.run(migrated(f"sqlite:///{path}"))
    return path


@given(steps=st.lists(STEPS, max_size=25), room=st.integers(2, 40), restart=st.booleans())
@example(
    steps=[("tell", 12), ("flush", 0), ("attach", 1), ("tell", 12), ("attach", 14)], room=4, restart=True
)
@settings(
    max_examples=30,
    # What goes on at instants of its own shrinks badly.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_reader_ends_with_exactly_the_log(
    empty: Path, steps: list[tuple[str, int]], room: int, restart: bool
) -> None:
    async def main(folder: Path) -> None:
        url = f"sqlite:///{folder / 'calls.db'}"
        followers: list[Follower] = []
        async with home(url, folder) as made, asyncio.TaskGroup() as tasks:
            call = made.begin(CALL)
            told = list(call.events.since(0))
            call.events = Ring(max_events=room)
            call.events.append(told[0])

            def follow(follower: Follower) -> None:
                follower.task = tasks.create_task(follower.read())

            for what, count in steps:
                match what:
                    case "tell":
                        for _ in range(count):
                            made.tell(call, BotWord(None, "m1", "word", 0, 0.0, 0.1))
                            told += call.events.since(told[-1].seq)
                    case "attach":
                        followers.append(Follower(made, count % (len(told) + 1)))
                        follow(followers[-1])
                    case "drop" if followers:
                        dropped = followers[count % len(followers)]
                        assert dropped.task is not None
                        dropped.task.cancel()
                        follow(dropped)
                    case "wait":
                        await asyncio.sleep(count / 1000)
                    case "flush":
                        await made.flush()
            made.end(call)
            told += call.events.since(told[-1].seq)
        assert all(follower.over for follower in followers)
        for follower in followers:
            assert [e.seq for e in follower.got] == [e.seq for e in told[follower.after :]]
            assert [e.data for e in follower.got] == [e.data for e in told[follower.after :]]
        if restart:
            async with home(url, folder) as made:
                late = Follower(made, 0)
                await late.read()
                assert [e.data for e in late.got] == [e.data for e in told]

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "GATHER_S", 0.005)
        shutil.copy(empty, folder)
        asyncio.run(main(Path(folder)))
