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

from pipeline.events import BotWord, CallMuted
from server.envelopes import LogEntry, Wanted, in_call
from server.following import following_call
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


@dataclass
class LogFollower:
    """The same of the call log: it has the last ``seq`` of an entry, which may be behind other events."""

    made: Home
    after: int
    got: list[LogEntry] = field(default_factory=list)
    caught_up: int = 0
    over: bool = False
    task: asyncio.Task[None] | None = None

    async def read(self) -> None:
        while not self.over:
            after = self.got[-1].seq if self.got else self.after
            try:
                with following_call(self.made.book, CALL, "tester", after, Wanted()) as follower:
                    while not self.over:
                        batch = await follower.read()
                        assert batch is not None
                        assert all(entry.type != "log.gap" for entry in batch.entries)
                        self.caught_up += sum(entry.type == "log.caught_up" for entry in batch.entries)
                        self.got += [entry for entry in batch.entries if not entry.type.startswith("log.")]
                        self.over = batch.over
                        if not self.over:
                            await follower.wait(1.0)
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
        readers: list[LogFollower] = []
        async with home(url, folder) as made, asyncio.TaskGroup() as tasks:
            call = made.begin(CALL)
            told = list(call.events.since(0))
            call.events = Ring(max_events=room)
            call.events.append(told[0])

            def follow(follower: Follower | LogFollower) -> None:
                follower.task = tasks.create_task(follower.read())

            for what, count in steps:
                match what:
                    case "tell":
                        for index in range(count):
                            told_of = (
                                BotWord(None, "m1", "word", 0, 0.0, 0.1) if index % 3 else CallMuted("agent")
                            )
                            made.tell(call, told_of)
                            told += call.events.since(told[-1].seq)
                    case "attach":
                        followers.append(Follower(made, count % (len(told) + 1)))
                        readers.append(LogFollower(made, count % (len(told) + 1)))
                        follow(followers[-1])
                        follow(readers[-1])
                    case "drop" if followers:
                        for dropped in (
                            followers[count % len(followers)],
                            readers[-1 - count % len(readers)],
                        ):
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
        log = [entry for each in told if (entry := in_call(each)) is not None]
        for reader in readers:
            assert (reader.over, reader.caught_up > 0) == (True, True)
            assert reader.got == [entry for entry in log if entry.seq > reader.after]
        if restart:
            async with home(url, folder) as made:
                late = Follower(made, 0)
                await late.read()
                assert [e.data for e in late.got] == [e.data for e in told]
                reader = LogFollower(made, 0)
                await reader.read()
                assert reader.got == log

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "GATHER_S", 0.005)
        shutil.copy(empty, folder)
        asyncio.run(main(Path(folder)))
