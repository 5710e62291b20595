"""What becomes of recordings: told and handed out, made whole after a crash, deleted in time; and their faults."""

from __future__ import annotations

import asyncio
import base64
import os
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import structlog

from media.recordfile import WavFile, part_of
from server.agents import Agent, AgentRegistry
from server.call import Call
from server.calls import CallLimits, CallRegistry
from server.clock import Clock
from server.engines import EnginePool
from server.protocol import AgentCreate, parse_command
from server.recordings import Keep, Recordings
from server.resolve import resolve
from server.ring import Entry
from server.wire import CallFacts
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts
from tests.fakes.vad import FakeVad
from tests.fakes.writer import Writer
from tests.server.site import KEY, site
from tests.server.test_calls import DEFAULTS

pytestmark = pytest.mark.inline_io

DAY_S = 86_400.0


@dataclass
class Owner:
    """A connection that keeps what it is told."""

    modern: bool = True
    resume: dict[str, int] | None = None
    last_heard: float = 0.0
    elsewhere: tuple[str, ...] = ()
    room: int = 1 << 30
    frames: list[dict[str, Any]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def has_room(self, size: int) -> bool:
        return size <= self.room

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        self.frames.append(orjson.loads(data))
        if entry is not None:
            self.entries.append(entry)
        return True

    def displace(self, agent_id: str, reason: str) -> None: ...

    def names(self) -> list[str]:
        return [frame["event"] for frame in self.frames]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["event"] == event]


class Tap:
    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        self.frames.append(orjson.loads(data))
        return True


def agent_of(owner: Owner, **config: Any) -> Agent:
    command = parse_command(orjson.dumps({"event": "agent.create", "agent_id": "x", **config}).decode())
    assert isinstance(command, AgentCreate)
    return AgentRegistry().create("x", owner, command, 0.0)


@dataclass
class House:
    calls: CallRegistry
    recordings: Recordings
    folder: Path

    def begin(self, owner: Owner, call_id: str = "CA1", **config: Any) -> tuple[Call, FakeLeg]:
        agent = agent_of(owner, **config)
        call = self.calls.ring(
            CallFacts(call_id, "x", "+1", "+2"), agent, resolve([agent.configuration], DEFAULTS)
        )
        self.calls.connecting(call)
        leg = FakeLeg()
        leg.listener = self.calls.start(call, leg)
        return call, leg

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


async def hang_up(leg: FakeLeg) -> None:
    assert leg.listener is not None
    leg.listener.on_closed("hangup", "the caller hung up")
    for _ in range(40):
        await asyncio.sleep(0)


def link(call_id: str) -> str:
    return f"https://voice.example.org/v1/calls/{call_id}/recording?token=t"


@asynccontextmanager
async def house(tmp_path: Path, writer: Writer | None = None, **how: Any) -> AsyncIterator[House]:
    voice = FakeTts()
    await voice.start()
    folder = tmp_path / "recordings"
    recordings = Recordings(folder, writer=writer or Writer(), **{"link": link, **how})
    async with asyncio.TaskGroup() as tasks:
        engines = EnginePool(FakeVad(), (), (voice,)).for_call
        clock = Clock(asyncio.get_running_loop())
        made = CallRegistry(engines, CallLimits(), clock, recordings, tasks)
        yield House(made, recordings, folder)
        await made.drain(0.0)


def run(main: Callable[[], Any]) -> None:
    run_virtual(main())


def samples(audio: str) -> int:
    with wave.open(BytesIO(base64.b64decode(audio))) as file:
        return int(file.getnframes())


# --- what is told -----------------------------------------------------------------------------------------


def test_the_agent_gets_the_file_and_what_is_kept_has_its_address_alone(tmp_path: Path) -> None:
    async def main() -> None:
        owner, tap = Owner(), Tap()
        async with house(tmp_path) as home:
            call, leg = home.begin(owner, recording=True)
            call.watch(tap)
            await leg.speak(1.0)
            await hang_up(leg)
            assert owner.names()[-2:] == ["call.ended", "call.recording"]
            assert owner.names().index("recording.started") == owner.names().index("agent.state") + 1
            (told,) = owner.of("call.recording")
            assert samples(told["audio"]) == 8000
            assert (told["duration_ms"], told["format"], told["channels"]) == (1000, "wav", "stereo")
            assert (told["sample_rate"], told["url"]) == (8000, link("CA1"))
            ended = owner.of("call.ended")[0]
            assert told["started_at"] == pytest.approx(ended["started_at"], abs=0.01)
            # Nowhere else is any audio: not in what is kept, and not with those who look on.
            kept = [orjson.loads(entry.data) for entry in call.events.since(0)]
            assert kept[-1] == {key: value for key, value in told.items() if key != "audio"}
            assert tap.frames[-1]["event"] == "call.recording"
            assert "audio" not in tap.frames[-1]
            assert [entry.data for entry in owner.entries][-1] == list(call.events.since(0))[-1].data

    run(main)


def test_an_agent_that_comes_later_is_told_the_address(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = Owner(), Owner(resume={"CA1": 1})
        async with house(tmp_path) as home:
            call, leg = home.begin(first, recording=True)
            await leg.speak(1.0)
            home.calls.owners.left(first, [], lambda _: None)
            await hang_up(leg)
            assert not first.of("call.recording")
            home.calls.owners.came(agent_of(second))
            (told,) = second.of("call.recording")
            assert "audio" not in told
            assert told["url"] == link("CA1")
            assert call.is_over

    run(main)


def test_audio_that_could_not_be_sent_is_not_sent_again(tmp_path: Path) -> None:
    async def main() -> None:
        first, second = Owner(), Owner(resume={})
        async with house(tmp_path) as home:
            _, leg = home.begin(first, recording=True)
            await leg.speak(1.0)
            await hang_up(leg)
            assert "audio" in first.of("call.recording")[0]
            home.calls.owners.left(first, first.entries[-1:], lambda _: None)
            home.calls.owners.came(agent_of(second))
            (told,) = second.of("call.recording")
            assert "audio" not in told
            assert told["url"] == link("CA1")

    run(main)


@pytest.mark.parametrize(("inline_bytes", "room"), [(100, 1 << 30), (8 << 20, 1000), (0, 1 << 30)])
def test_what_is_too_large_has_its_address_alone(tmp_path: Path, inline_bytes: int, room: int) -> None:
    async def main() -> None:
        owner = Owner(room=room)
        async with house(tmp_path, inline_bytes=inline_bytes) as home:
            _, leg = home.begin(owner, recording=True)
            await leg.speak(1.0)
            await hang_up(leg)
        (told,) = owner.of("call.recording")
        assert "audio" not in told
        assert told["url"] == link("CA1")

    run(main)


def test_an_older_client_gets_it_just_before_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        owner = Owner(modern=False)
        async with house(tmp_path) as home:
            _, leg = home.begin(owner, media={"recording": True})
            await leg.speak(1.0)
            await hang_up(leg)
        assert owner.names()[-2:] == ["call.recording", "call.ended"]
        assert samples(owner.of("call.recording")[0]["audio"]) == 8000

    run(main)


@pytest.mark.parametrize(("modern", "waited_s"), [(True, 0.0), (False, 1.0)])
def test_the_end_waits_for_a_slow_disk_for_a_second_at_most(
    tmp_path: Path, modern: bool, waited_s: float
) -> None:
    async def main() -> None:
        owner, writer = Owner(modern=modern), Writer()
        loop = asyncio.get_running_loop()
        async with house(tmp_path, writer) as home:
            call, leg = home.begin(owner, recording=True)
            await leg.speak(1.0)
            writer.at_once = False
            began = loop.time()
            await hang_up(leg)
            while "call.ended" not in owner.names():
                await asyncio.sleep(0.01)
            assert loop.time() - began == pytest.approx(waited_s, abs=0.02)
            assert not owner.of("call.recording")
            assert len(home.calls) == 0, "it counts no more"
            await asyncio.sleep(2.0)
            while not owner.of("call.recording"):
                writer.work()
                await asyncio.sleep(0.01)
            assert samples(owner.of("call.recording")[0]["audio"]) == 8000
            assert owner.names()[-1] == "call.recording"
            assert call.recorder is not None

    run(main)


def test_a_disk_that_never_answers_keeps_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        owner, writer = Owner(), Writer()
        async with house(tmp_path, writer) as home:
            call, leg = home.begin(owner, recording=True)
            await leg.speak(1.0)
            writer.at_once = False
            await hang_up(leg)
            await home.calls.drain(0.0)
            assert owner.names()[-1] == "call.ended"
            writer.at_once = True
            writer.work()
            assert call.recorder is not None
            await call.recorder.aclose()

    run(main)


def test_a_call_without_audio_has_no_recording(tmp_path: Path) -> None:
    async def main() -> None:
        owner = Owner()
        async with house(tmp_path) as home:
            _, leg = home.begin(owner, recording=True)
            await asyncio.sleep(0.1)
            await hang_up(leg)
            assert owner.names()[-1] == "call.ended"
            assert not home.folder.exists()

    run(main)


@pytest.mark.parametrize("channels", ["stereo", "mono", "user", "bot"])
@pytest.mark.parametrize("format", ["wav", "opus"])
def test_the_agent_says_how(tmp_path: Path, format: str, channels: str) -> None:
    async def main() -> None:
        owner = Owner()
        async with house(tmp_path) as home:
            _, leg = home.begin(owner, recording={"format": format, "channels": channels})
            await leg.speak(1.0)
            await hang_up(leg)
            (started,), (told,) = owner.of("recording.started"), owner.of("call.recording")
            for event in (started, told):
                assert (event["format"], event["channels"]) == (format, channels)
            assert told["duration_ms"] == 1000
            assert base64.b64decode(told["audio"])[:4] == (b"RIFF" if format == "wav" else b"OggS")
            assert home.files()[0].endswith(f".{format}")

    run(main)


def test_a_recording_may_be_begun_later_and_only_once(tmp_path: Path) -> None:
    async def main() -> None:
        owner = Owner()
        async with house(tmp_path) as home:
            call, leg = home.begin(owner, recording={"enabled": False, "channels": "user"})
            await leg.speak(1.0)
            assert call.recorder is None
            assert home.calls.record(call)
            assert home.calls.record(call)
            await leg.speak(1.0)
            await hang_up(leg)
            assert not home.calls.record(call)
            assert [event["at_ms"] for event in owner.of("recording.started")] == [1000]
            (told,) = owner.of("call.recording")
            assert (told["duration_ms"], told["channels"]) == (2000, "user")
            with wave.open(BytesIO(base64.b64decode(told["audio"]))) as file:
                pcm = np.frombuffer(file.readframes(16_000), "<i2")
            assert not pcm[:8000].any()
            assert pcm[8000:].all()

    run(main)


# --- faults -----------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_told_once_and_the_call_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "recordings").write_text("in the way")
        owner = Owner()
        with structlog.testing.capture_logs() as logs:
            async with house(tmp_path) as home:
                _, leg = home.begin(owner, recording=True, greeting="Hello there.")
                await leg.silence(5.0)
                await hang_up(leg)
        (told,) = owner.of("server.warning")
        assert told["code"] == "RECORDING_FAILED"
        assert "ends after 0 s" in told["warning"]
        assert "the call goes on" in told["warning"]
        assert str(tmp_path) not in told["warning"], "where its files lie is the operator's business"
        assert owner.of("message.confirmed")
        assert owner.names()[-1] == "call.ended"
        (logged,) = [entry for entry in logs if entry["event"] == "recording.failed"]
        assert logged["path"].startswith(str(tmp_path))

    run(main)


def test_what_was_written_before_the_disk_was_full_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = WavFile.write

    def full(self: WavFile, at: int, interleaved: Any) -> None:
        if at >= 16_000:
            raise OSError(28, "No space left on device")
        write(self, at, interleaved)

    monkeypatch.setattr(WavFile, "write", full)

    async def main() -> None:
        owner = Owner()
        async with house(tmp_path) as home:
            _, leg = home.begin(owner, recording=True)
            for _ in range(10):
                await leg.speak(0.5)
            await hang_up(leg)
        (warned,) = owner.of("server.warning")
        assert "No space left on device" in warned["warning"]
        (told,) = owner.of("call.recording")
        assert 1900 <= told["duration_ms"] <= 2500
        assert samples(told["audio"]) == told["duration_ms"] * 8

    run(main)


def test_nothing_is_told_behind_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = WavFile.close

    def broken(self: WavFile) -> None:
        close(self)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(WavFile, "close", broken)

    async def main() -> None:
        owner = Owner()
        async with house(tmp_path) as home:
            _, leg = home.begin(owner, recording=True)
            await leg.speak(1.0)
            await hang_up(leg)
        assert owner.names()[-2:] == ["call.ended", "call.recording"]
        assert not owner.of("server.warning")

    run(main)


# --- files ------------------------------------------------------------------------------------------------


def recording(folder: Path, name: str, *, days: float = 0.0, size: int = 1000, now: float = 1e9) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (now - days * DAY_S, now - days * DAY_S))
    return path


@pytest.mark.parametrize(
    "call_id", ["CA1", "a b/../c", "sip:anna@example.org", "x" * 200, "ünicode", "-", "a.part", "."]
)
def test_a_recording_is_found_by_its_call_alone(tmp_path: Path, call_id: str) -> None:
    async def main() -> None:
        async with house(tmp_path) as home:
            for one in (call_id, f"{call_id}x", f"{call_id}-00000000", call_id[:-1] or "y"):
                _, leg = home.begin(Owner(), one[:200], recording=True)
                await leg.speak(0.2 + len(one) / 1000)
                await hang_up(leg)
            path = home.recordings.find(call_id)
            assert path is not None
            assert path.parent == home.folder
            with wave.open(str(path)) as file:
                assert file.getnframes() == pytest.approx((0.2 + len(call_id) / 1000) * 8000, abs=161)
            assert home.recordings.find("unknown") is None

    run(main)


def test_of_several_the_latest_is_found(tmp_path: Path) -> None:
    old = recording(tmp_path, "CA1-00000001.wav", days=2)
    new = recording(tmp_path, "CA1-00000000.opus", days=1)
    recording(tmp_path, "CA1-00000002.part.wav")
    assert Recordings(tmp_path).find("CA1") == new
    new.unlink()
    assert Recordings(tmp_path).find("CA1") == old


def test_what_a_killed_process_left_is_made_whole_and_told(tmp_path: Path) -> None:
    for name, call_id in (("CA1-0000000a", "CA1"), ("sip%3Aanna-0000000b", "sip:anna")):
        file = WavFile(tmp_path / f"{name}.wav", 8000)
        file.write(0, np.ones(16_000, np.int16))
        assert file._file._file is not None
        file._file._file.close()  # As a kill does.
        assert call_id
    recording(tmp_path, "CA3-0000000c.part.wav", size=10)
    live = WavFile(tmp_path / "CA4-0000000d.wav", 8000)
    live.write(0, np.ones(16_000, np.int16))
    recording(tmp_path, "CA5-0000000e.part.opus", size=500)
    recording(tmp_path, "notes.txt")
    with structlog.testing.capture_logs() as logs:
        found = Recordings(tmp_path).repair()
    assert sorted((one.call_id, one.duration_ms, one.path.name) for one in found) == [
        ("CA1", 1000, "CA1-0000000a.wav"),
        ("sip:anna", 1000, "sip%3Aanna-0000000b.wav"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CA1-0000000a.wav",
        "CA4-0000000d.part.wav",  # Another server's, that lives.
        "CA5-0000000e.part.opus",  # None of ours.
        "notes.txt",
        "sip%3Aanna-0000000b.wav",
    ]
    assert [entry["call_id"] for entry in logs if entry["event"] == "recording.recovered"]
    (unreadable,) = [entry["path"] for entry in logs if entry["event"] == "recording.unreadable"]
    assert unreadable.endswith("CA5-0000000e.part.opus")
    live.close()
    assert Recordings(tmp_path).repair() == []


def test_a_folder_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "none", keep=Keep(days=1))
    assert recordings.repair() == []
    assert recordings.sweep(0.0) == 0
    assert recordings.find("CA1") is None


def test_old_recordings_are_deleted_and_that_is_logged(tmp_path: Path) -> None:
    old = recording(tmp_path, "CA1-00000000.wav", days=31)
    recording(tmp_path, "CA2-00000000.opus", days=29)
    recording(tmp_path, "CA3-00000000.part.wav", days=40)
    recording(tmp_path, "readme.txt", days=400)
    with structlog.testing.capture_logs() as logs:
        assert Recordings(tmp_path, keep=Keep(days=30)).sweep(1e9) == 1
    assert not old.exists()
    assert len(list(tmp_path.iterdir())) == 3
    (told,) = logs
    assert (told["event"], told["path"], told["days"]) == ("recording.deleted", str(old), 31.0)
    assert "TALKWIRE_RECORDINGS_DAYS" in told["why"]


def test_of_too_many_the_oldest_go_and_none_that_is_being_made(tmp_path: Path) -> None:
    for day in range(5):
        recording(tmp_path, f"CA{day}-00000000.wav", days=day, size=1000)
    part = recording(tmp_path, "CA9-00000000.part.wav", days=9, size=100_000)
    assert Recordings(tmp_path, keep=Keep(max_bytes=2500)).sweep(1e9) == 3
    assert sorted(path.name[:3] for path in tmp_path.iterdir()) == ["CA0", "CA1", "CA9"]
    assert part.exists()


def test_without_a_bound_nothing_is_deleted(tmp_path: Path) -> None:
    recording(tmp_path, "CA1-00000000.wav", days=4000, size=10_000)
    assert Recordings(tmp_path).sweep(1e9) == 0


def test_they_are_looked_through_again_and_again_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []

    async def main() -> None:
        recordings = Recordings(tmp_path, keep=Keep(days=1))

        def sweep(now: float) -> int:
            times.append(now)
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(recordings, "sweep", sweep)

        async def at_once(act: Callable[..., Any], *args: Any) -> Any:
            return act(*args)

        monkeypatch.setattr(asyncio, "to_thread", at_once)
        sweeping = asyncio.create_task(recordings.keep_house(asyncio.get_running_loop().time))
        await asyncio.sleep(1300.0)
        sweeping.cancel()
        await asyncio.wait([sweeping])

    run(main)
    assert times == pytest.approx([1000.0, 1600.0, 2200.0], abs=1.0)
    assert part_of(Path("a.wav")).name == "a.part.wav"


def test_a_client_gets_no_larger_message_than_it_takes(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            for given, fits, too_much in (
                ({"protocol": "talkwire/1"}, 1_000_000, 1 << 20),
                ({"protocol": "talkwire/1", "max_message_bytes": 8 << 20}, 8_000_000, 8 << 20),
                ({"max_message_bytes": 1 << 17}, 100_000, 1 << 17),
                ({}, 20 << 20, 64 << 20),
            ):
                async with made.web.socket("/client") as socket:
                    socket.say({"event": "connect", "api_key": KEY, **given})
                    socket.say({"event": "agent.create", "agent_id": "y"})
                    await socket.until(lambda s=socket: len(s.frames) == 2)  # type: ignore[misc]
                    agent = made.services.agents.get("y")
                    assert agent is not None
                    assert agent.owner.has_room(fits), given
                    assert not agent.owner.has_room(too_much), given

    run_virtual(main())
