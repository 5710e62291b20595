"""The leg on a socket that is a list: what it reads, what it writes, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from media.frames import AudioFrame
from media.g711 import ulaw_encode
from telephony.carriers.twilio import wire
from telephony.carriers.twilio.leg import MAX_FAULTS, OUTBOX, StreamRefused, TwilioLeg, accept
from tests.fakes.loop import run_virtual

START: dict[str, object] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
}
CONNECTED: dict[str, object] = {"event": "connected", "protocol": "Call", "version": "1.0.0"}


class FakeSocket:
    def __init__(self, *messages: dict[str, object] | str | None) -> None:
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        for message in messages:
            self.push(message)
        self.sent: list[dict[str, object]] = []
        self.closed: tuple[int, str] | None = None
        self.blocked = False

    def push(self, message: dict[str, object] | str | None) -> None:
        self.incoming.put_nowait(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self) -> str | None:
        return await self.incoming.get()

    async def send(self, text: str) -> None:
        if self.blocked:
            await asyncio.sleep(3600)
        if self.closed:
            raise ConnectionError("closed")
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.push(None)


@dataclass
class Listener:
    frames: list[AudioFrame] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    ends: list[tuple[str, str]] = field(default_factory=list)

    def on_audio(self, frame: AudioFrame) -> None:
        self.frames.append(frame)

    def on_mark(self, name: str, at: float | None = None) -> None:
        self.marks.append(name)

    def on_dtmf(self, digit: str) -> None:
        self.digits.append(digit)

    def on_lost(self) -> None: ...

    def on_back(self) -> None: ...

    def on_way(self, way_s: float, clear_s: float) -> None: ...

    def on_closed(self, reason: str, detail: str) -> None:
        self.ends.append((reason, detail))


def media(chunk: int, level: int = 1000) -> dict[str, object]:
    payload = base64.b64encode(ulaw_encode(np.full(160, level, dtype=np.int16))).decode()
    return {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": payload},
    }


STOP: dict[str, object] = {
    "event": "stop",
    "streamSid": "MZ1",
    "stop": {"accountSid": "AC1", "callSid": "CA1"},
}


def streamed(
    *messages: dict[str, object] | str | None,
    script: Callable[[TwilioLeg, FakeSocket], Awaitable[None]] | None = None,
) -> tuple[Listener, FakeSocket, TwilioLeg]:
    """Run a leg over these messages, and a script beside it."""

    async def main() -> tuple[Listener, FakeSocket, TwilioLeg]:
        socket, listener = FakeSocket(CONNECTED, START), Listener()
        leg = TwilioLeg(socket, await accept(socket, "CA1"), lead_ms=300)
        for message in messages:
            socket.push(message)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leg.run(listener))
            if script is not None:
                await script(leg, socket)
        return listener, socket, leg

    return run_virtual(main())


def test_audio_marks_and_keys_reach_the_listener() -> None:
    mark: dict[str, object] = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "1600"}}
    key: dict[str, object] = {
        "event": "dtmf",
        "streamSid": "MZ1",
        "dtmf": {"track": "inbound_track", "digit": "5"},
    }
    listener, _, leg = streamed(media(1), media(2), mark, key, STOP)
    assert [frame.start for frame in listener.frames] == [0, 160]
    assert abs(int(listener.frames[0].pcm[0]) - 1000) < 40
    assert listener.marks == ["1600"]
    assert listener.digits == ["5"]
    assert listener.ends == [("hangup", "the caller hung up")]
    assert leg.format.sample_rate_hz == 8000


def test_missing_frames_are_filled_and_repeated_ones_dropped() -> None:
    listener, _, _ = streamed(media(1), media(4), media(4), media(2), media(5), STOP)
    assert [(frame.start, len(frame.pcm)) for frame in listener.frames] == [
        (0, 160), (160, 320), (480, 160), (640, 160),
    ]  # fmt: skip
    assert not listener.frames[1].pcm.any()


def test_the_bots_own_track_is_not_the_caller() -> None:
    outbound = media(1)
    outbound["media"]["track"] = "outbound"  # type: ignore[index]
    listener, _, _ = streamed(outbound, STOP)
    assert listener.frames == []


def test_a_close_without_a_stop_is_a_failure() -> None:
    listener, _, _ = streamed(media(1), None)
    assert listener.ends[0][0] == "failed"


def test_malformed_messages_are_counted_and_then_end_the_stream() -> None:
    listener, socket, leg = streamed(*["garbage"] * 3, STOP)
    assert leg.counters.faults == 3
    assert listener.ends == [("hangup", "the caller hung up")]
    listener, socket, _ = streamed(*["garbage"] * MAX_FAULTS)
    assert listener.ends[0][0] == "failed"
    assert socket.closed is not None
    assert socket.closed[0] == 1002


def test_audio_and_marks_go_out_in_order_and_clear_overtakes_what_waits() -> None:
    async def script(leg: TwilioLeg, socket: FakeSocket) -> None:
        leg.send(np.zeros(160, dtype=np.int16))
        leg.mark("160")
        await asyncio.sleep(0.01)
        leg.send(np.zeros(160, dtype=np.int16))
        leg.clear()
        await asyncio.sleep(0.01)
        await leg.hang_up("done")
        await leg.hang_up("twice")

    listener, socket, _ = streamed(script=script)
    assert [message["event"] for message in socket.sent] == ["media", "mark", "clear"]
    assert all(message["streamSid"] == "MZ1" for message in socket.sent)
    assert socket.closed == (1000, "done")
    assert len(listener.ends) == 1


def test_a_socket_that_takes_nothing_is_given_up() -> None:
    async def script(leg: TwilioLeg, socket: FakeSocket) -> None:
        socket.blocked = True
        for _ in range(OUTBOX + 10):
            leg.send(np.zeros(160, dtype=np.int16))
        await asyncio.sleep(0.01)
        socket.push(media(1))

    listener, socket, _ = streamed(script=script)
    assert listener.ends == [("failed", "the carrier did not take the audio")]
    assert socket.closed == (1008, "the stream does not take its audio")


def refused(*messages: dict[str, object] | str | None, call_id: str = "CA1") -> StreamRefused:
    async def main() -> StreamRefused:
        with pytest.raises(StreamRefused) as caught:
            await accept(FakeSocket(*messages), call_id)
        return caught.value

    return run_virtual(main())


def test_a_stream_that_cannot_be_taken_says_why() -> None:
    other = json.loads(json.dumps(START))
    other["start"]["mediaFormat"] = {"encoding": "audio/x-l16", "sampleRate": 16000, "channels": 2}
    assert refused(CONNECTED, other).code == 1003
    assert "audio/x-l16 16000 Hz x2" in str(refused(CONNECTED, other))
    assert refused(CONNECTED, START, call_id="CA2").code == 1008
    assert "another call" in str(refused(CONNECTED, START, call_id="CA2"))
    assert refused(CONNECTED).code == 1008
    assert "5 s" in str(refused(CONNECTED))
    assert refused(CONNECTED, None).code == 1002
    assert refused(CONNECTED, "garbage").code == 1002
    assert "media" in str(refused(CONNECTED, media(1)))


def test_the_wire_and_the_leg_agree_on_the_frame() -> None:
    assert wire.FRAME_BYTES == 160


# --- one call over several streams ------------------------------------------------------------------------


class Watching(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def on_lost(self) -> None:
        self.seen.append("lost")

    def on_back(self) -> None:
        self.seen.append("back")

    def on_closed(self, reason: str, detail: str) -> None:
        self.seen.append(reason)
        super().on_closed(reason, detail)


def over_streams(
    script: Callable[[TwilioLeg, FakeSocket, Watching, asyncio.TaskGroup], Awaitable[None]],
    resume_s: float = 10.0,
    ends: list[float] | None = None,
) -> Watching:
    """A leg on its first stream, and a script beside it."""

    async def end_call() -> None:
        if ends is not None:
            ends.append(asyncio.get_running_loop().time())

    async def main() -> Watching:
        socket, listener = FakeSocket(CONNECTED, START), Watching()
        start = await accept(socket, "CA1")
        leg = TwilioLeg(socket, start, lead_ms=300, resume_s=resume_s, end_call=end_call)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leg.run(listener))
            await asyncio.sleep(0.01)
            await script(leg, socket, listener, tasks)
        return listener

    return run_virtual(main())


async def another(leg: TwilioLeg, sid: str = "MZ2") -> FakeSocket:
    start = {**START, "streamSid": sid, "start": {**START["start"], "streamSid": sid}}  # type: ignore[dict-item]
    socket = FakeSocket(CONNECTED, start)
    leg.attach(socket, await accept(socket, "CA1"))
    return socket


def test_a_stream_that_comes_back_goes_on_where_time_is_by_now() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        first.push(media(1))
        first.push(None)
        await asyncio.sleep(2.0)
        leg.send(np.zeros(160, dtype=np.int16))  # nobody hears it
        second = await another(leg)
        tasks.create_task(leg.run(listener))
        second.push(media(1))
        await asyncio.sleep(0.1)
        leg.mark("m1")
        await asyncio.sleep(0.1)
        assert [message["streamSid"] for message in second.sent] == ["MZ2"]
        second.push(STOP)

    listener = over_streams(script)
    assert listener.seen == ["lost", "back", "hangup"]
    assert [frame.start for frame in listener.frames] == [0, 160, 16_000]
    # Two seconds lie between the ends of the two frames that came.
    assert len(listener.frames[1].pcm) == 16_000 - 160


def test_a_stream_that_is_opened_again_and_again_does_not_lose_time() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        stream = first
        stream.push(media(1))
        for _ in range(20):
            stream.push(None)
            await asyncio.sleep(0.119)
            stream = await another(leg)
            tasks.create_task(leg.run(listener))
            await asyncio.sleep(0.012)
            stream.push(media(1))
            await asyncio.sleep(0.002)
        stream.push(STOP)

    frames = over_streams(script).frames
    assert frames[-1].end == pytest.approx(160 + 20 * 0.133 * 8000, abs=0.002 * 8000 + 2)


def test_a_stream_that_does_not_come_back_ends_the_call_once() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        first.push(None)
        await asyncio.sleep(9.9)
        assert listener.seen == ["lost"]
        assert not leg.over
        await asyncio.sleep(0.2)
        assert leg.over

    assert over_streams(script).seen == ["lost", "failed"]


def test_a_stop_ends_the_call_but_where_another_stream_was_asked_for() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        leg.reopening(10.0)
        first.push(STOP)
        await asyncio.sleep(1.0)
        second = await another(leg)
        tasks.create_task(leg.run(listener))
        second.push(STOP)

    assert over_streams(script).seen == ["lost", "back", "hangup"]


def test_the_newest_stream_counts_and_the_old_one_is_not_listened_to() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        second = await another(leg)
        tasks.create_task(leg.run(listener))
        first.push(media(1))
        first.push(STOP)
        await asyncio.sleep(0.1)
        assert listener.seen == []
        assert listener.frames == []
        second.push(STOP)

    assert over_streams(script).seen == ["hangup"]


def test_hanging_up_asks_the_carrier_once_and_closes_the_stream() -> None:
    ends: list[float] = []

    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        await leg.hang_up("bye")
        await leg.hang_up("bye")
        assert first.closed == (1000, "bye")

    over_streams(script, ends=ends)
    assert len(ends) == 1


def test_a_call_that_the_caller_has_ended_is_not_ended_again() -> None:
    ends: list[float] = []

    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        first.push(STOP)
        await asyncio.sleep(0.1)
        await leg.hang_up("bye")

    over_streams(script, ends=ends)
    assert ends == []


def test_streams_are_asked_for_again_three_times_a_minute() -> None:
    async def script(leg: TwilioLeg, first: FakeSocket, listener: Watching, tasks: asyncio.TaskGroup) -> None:
        assert [leg.may_resume() for _ in range(4)] == [True, True, True, False]
        leg.reopening(10.0)
        assert leg.may_resume()
        await another(leg)
        await asyncio.sleep(61.0)
        assert leg.may_resume()
        first.push(None)
        await leg.hang_up("bye")

    over_streams(script)


# --- a stream that the carrier opens again ----------------------------------------------------------------


def test_a_stop_that_was_expected_is_not_the_end_and_another_stream_goes_on() -> None:
    async def main() -> tuple[Listener, bool, list[bool]]:
        leg, listener, first = await _leg(resume_s=0.0)
        leg.reopening(10.0)
        open_ = [leg.open]
        first.push(STOP)
        await leg.run(listener)
        open_.append(leg.open)
        waiting = asyncio.get_running_loop().create_task(leg.reopened())
        await asyncio.sleep(5)
        assert (listener.ends, waiting.done(), leg.may_resume()) == ([], False, True)
        second = FakeSocket(media(1), STOP)
        leg.attach(second, await accept(FakeSocket(CONNECTED, START), "CA1"))
        open_.append(leg.open)
        back = await waiting
        await leg.run(listener)
        return listener, back, open_

    listener, back, open_ = run_virtual(main())
    assert (back, open_) == (True, [True, False, True])
    assert listener.ends == [("hangup", "the caller hung up")]
    assert sum(len(frame.pcm) for frame in listener.frames) == 5 * 8000


def test_a_stream_that_does_not_come_back_in_time_is_a_failure() -> None:
    async def main() -> tuple[Listener, bool, float]:
        leg, listener, first = await _leg(resume_s=15.0)
        leg.reopening(10.0)
        first.push(STOP)
        began = asyncio.get_running_loop().time()
        await leg.run(listener)
        back = await leg.reopened()
        return listener, back, asyncio.get_running_loop().time() - began

    listener, back, took_s = run_virtual(main())
    assert not back
    assert took_s == pytest.approx(10.0)
    assert listener.ends == [("failed", "the carrier did not open the media stream again")]


def test_it_is_waited_for_as_long_as_it_takes_where_that_is_said() -> None:
    async def main() -> Listener:
        leg, listener, first = await _leg(resume_s=15.0)
        leg.reopening(10.0)
        first.push(STOP)
        await leg.run(listener)
        leg.reopening(None)
        await asyncio.sleep(3600)
        assert not listener.ends
        leg.reopening(10.0)
        await asyncio.sleep(9)
        assert not listener.ends
        assert await leg.reopened() is False
        return listener

    assert run_virtual(main()).ends == [("failed", "the carrier did not open the media stream again")]


def test_who_waits_for_a_stream_is_woken_by_the_end_of_the_call() -> None:
    async def main() -> bool:
        leg, listener, first = await _leg(resume_s=15.0)
        leg.reopening(None)
        first.push(STOP)
        await leg.run(listener)
        waiting = asyncio.get_running_loop().create_task(leg.reopened())
        await leg.hang_up("over")
        return await waiting

    assert run_virtual(main()) is False


def test_a_stream_that_stays_ends_with_its_call() -> None:
    async def main() -> Listener:
        leg, listener, first = await _leg(resume_s=15.0)
        leg.reopening(10.0)
        leg.stays()
        assert await leg.reopened() is True
        first.push(STOP)
        await leg.run(listener)
        return listener

    assert run_virtual(main()).ends == [("hangup", "the caller hung up")]


async def _leg(resume_s: float) -> tuple[TwilioLeg, Listener, FakeSocket]:
    socket = FakeSocket(CONNECTED, START)
    leg = TwilioLeg(socket, await accept(socket, "CA1"), lead_ms=300, resume_s=resume_s)
    return leg, Listener(), socket
