"""A real call, looked at over HTTP: while it goes on and after it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from websockets.asyncio.client import connect

from server import serve
from telephony.carriers.twilio.simulator import Clip
from tests.e2e.harness import CLIPS, KEY, TIMEOUT_S, Running, registered, running

pytestmark = [pytest.mark.e2e]

FROM, TO = "+15550001111", "+15550002222"
BEARER = {"Authorization": f"Bearer {KEY}"}
HELLO, STORY = (Clip.from_wav(CLIPS / f"{name}.wav") for name in ("hello", "story"))


@dataclass
class Feed:
    """Server-sent events, read line by line."""

    reply: httpx.Response
    events: list[tuple[str, Any, int | None]] = field(default_factory=list)
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        name, data, seq = "", "", None
        try:
            async for line in self.reply.aiter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    data = value
                elif key == "id":
                    seq = int(value)
                elif not line and name:
                    self.events.append((name, json.loads(data), seq))
                    name, data, seq = "", "", None
                    self.news.set()
        finally:
            self.ended = True
            self.news.set()

    async def wait(self, name: str, **fields: Any) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for known, data, _ in self.events:
                    if known == name and fields.items() <= data.items():
                        return dict(data)
                assert not self.ended, f"it ended while waiting for {name}: {self.names()}"
                self.news.clear()
                await self.news.wait()

    def names(self) -> list[str]:
        return [name for name, _, _ in self.events]


@asynccontextmanager
async def feed(server: Running, path: str, **headers: str) -> AsyncIterator[Feed]:
    asked = {**BEARER, "Accept": "text/event-stream", **headers}
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(5, read=TIMEOUT_S)) as http,
        http.stream("GET", server.url + path, headers=asked) as reply,
        asyncio.TaskGroup() as tasks,
    ):
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        made = Feed(reply)
        reading = tasks.create_task(made.read())
        yield made
        reading.cancel()


async def get(server: Running, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(server.url + path, headers={**BEARER, **headers})


async def test_the_log_over_http_is_what_its_agent_is_told(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting="Hello and welcome.") as agent,
        server.carrier() as carrier,
        feed(server, "/v1/calls") as calls,
    ):
        assert (await calls.wait("calls")) == {"calls": [], "next": None}
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        shown = await calls.wait("call", state="live")
        assert (shown["call_id"], shown["from"], shown["to"]) == (call_id, FROM, TO)
        async with (
            feed(server, f"/v1/calls/{call_id}/events?format=wire") as log,
            feed(server, "/v1/agents/tester/stream") as page_feed,
            connect(f"{server.ws.removesuffix('/client')}/v1/attach?call={call_id}&token={KEY}") as attached,
        ):
            await agent.wait("bot.finished")
            half = (await log.wait("bot.finished"))["seq"]
            await call.say(HELLO).finished()
            await agent.wait("speech.ended")
            call.hang_up()
            ended = await agent.wait("call.ended")
            end = await log.wait("end")
            entries = [json.loads(text) async for text in attached]  # Until it is sealed.
            assert attached.close_code == 1000
            await page_feed.wait("call.ended", callId=call_id)
        told = [frame for frame in agent.frames if "seq" in frame]
        # All that its agent is told, and the summary.
        whole = [data for name, data, _ in log.events if name != "end"]
        assert whole[:-1] == told
        assert [(name, seq) for name, _, seq in log.events[:-1]] == [(f["event"], f["seq"]) for f in whole]
        assert whole[-1]["event"] == "call.summary"
        assert end == {"last_seq": whole[-1]["seq"]}

        read = (await get(server, f"/v1/calls/{call_id}/events?limit=1000")).json()
        assert (read["entries"], read["live"]) == (
            [e for e in entries if e["type"] != "log.caught_up"],
            False,
        )
        assert read["entries"][-1]["data"]["usage"]["tts"]["characters"] == len("Hello and welcome.")
        async with feed(server, f"/v1/calls/{call_id}/events?after={half}") as again:
            await again.wait("call.summary")
        assert [e for _, e, _ in again.events if e["type"] != "log.caught_up"] == [
            e for e in read["entries"] if e["seq"] > half
        ]
        lifecycle = []
        async with connect(
            f"{server.ws.removesuffix('/client')}/v1/attach?agent=tester&token={KEY}"
        ) as agents:
            async for text in agents:
                if (entry := json.loads(text))["type"] != "log.caught_up":
                    lifecycle.append(entry)
                if len(lifecycle) == 2:
                    break
        assert [(e["type"], e["data"]["call"]) for e in lifecycle] == [
            ("call.started", call_id),
            ("call.ended", call_id),
        ]

        page = (await get(server, f"/v1/calls/{call_id}/events?format=wire&limit=1000")).json()
        assert page == {"events": whole, "last_seq": whole[-1]["seq"], "ended": True, "lost": 0}
        async with feed(
            server, f"/v1/calls/{call_id}/events?format=wire", **{"Last-Event-ID": str(half)}
        ) as rest:
            await rest.wait("end")
        assert [data for name, data, _ in rest.events if name != "end"] == whole[half:]

        over = await calls.wait("call", state="ended")
        assert (over["reason"], over["ended_at"]) == ("hangup", ended["ended_at"])
        assert over["last_bot_text"] == "Hello and welcome."
        assert over["duration_ms"] == round(ended["duration_seconds"] * 1000)
        (listed,) = (await get(server, "/v1/calls")).json()["calls"]
        assert listed == over
        one = (await get(server, f"/v1/calls/{call_id}")).json()
        assert one["agent"] == {"agent_id": "tester", "online": True}
        assert (await get(server, "/v1/agents")).json()["agents"][0]["channels"] == [
            {"type": "phone", "ref": "*"}
        ]


def onsets_ms(peaks: bytes, quiet_ms: int = 300) -> list[int]:
    """Where sound begins after so much silence."""
    found, silent_for = [], quiet_ms
    for hop, peak in enumerate(peaks):
        if peak < 60:
            silent_for += 20
            continue
        if silent_for >= quiet_ms:
            found.append(hop * 20)
        silent_for = 0
    return found


def hops_of(samples: npt.NDArray[np.int16], rate: int) -> bytes:
    """The same by the definition, sample by sample."""
    hop = rate // 50
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % hop)).reshape(-1, hop)
    with np.errstate(divide="ignore"):
        level = 20 * np.log10(np.abs(padded).max(axis=1) / 32768)
    return bytes(np.clip(np.round(255 * (1 + level / 60)), 0, 255).astype(np.uint8))


async def drawn(server: Running, call_id: str, after_ms: int = 0) -> dict[str, Any]:
    reply = await get(server, f"/v1/calls/{call_id}/waveform?after_ms={after_ms}")
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    for side in ("user", "bot"):
        told[side] = base64.b64decode(told[side])
        assert len(told[side]) * 20 == told["until_ms"] - told["from_ms"]
    return told


@pytest.mark.parametrize("recorded", [True, False])
async def test_the_waveform_is_that_of_the_recording_and_fits_the_events(
    tmp_path: Path, recorded: bool
) -> None:
    config = {"analysis": {"recording": recorded}}
    text = "Hello and welcome. This goes on for long enough that somebody can cut it off in the middle of it."
    async with (
        running(tmp_path) as server,
        registered(server.ws, greeting=text, config=config) as agent,
        server.carrier() as carrier,
    ):
        call = await carrier.place_call(FROM, TO)
        call_id = (await agent.wait("call.started"))["call_id"]
        assert (await get(server, f"/v1/calls/{call_id}/recording")).status_code == 409
        began = await call.bot_speaking()
        live: dict[str, Any] = {"user": b"", "bot": b"", "settled_ms": 0}
        speech = call.say(STORY, at_s=began + 2.5)
        while not agent.of("speech.ended"):
            await asyncio.sleep(0.3)
            more = await drawn(server, call_id, live["settled_ms"])
            for side in ("user", "bot"):
                live[side] = live[side][: more["from_ms"] // 20] + more[side]
            live["settled_ms"] = more["settled_ms"]
            assert not more["ended"]
        await speech.finished()
        call.hang_up()
        await agent.wait("call.ended")
        if recorded:
            await agent.wait("call.recording")
        whole = await drawn(server, call_id)
        settled = live["settled_ms"] // 20
        assert settled > 50
        for side in ("user", "bot"):
            assert live[side][:settled] == whole[side][:settled], f"{side}: what was settled did not change"
        assert whole["ended"]
        assert whole["settled_ms"] == whole["until_ms"]

        def at_ms(ts: float) -> float:
            share = (ts - whole["start_ts"]) / (whole["until_ts"] - whole["start_ts"])
            return float(share * whole["until_ms"])

        # To 20 ms on virtual time (tests/server/test_v1_calls.py); here with whatever the machine does meanwhile.
        bot_from = onsets_ms(whole["bot"])[0]
        assert at_ms(agent.of("bot.speaking")[0]["ts"]) == pytest.approx(bot_from, abs=250)
        last = max(hop for hop, peak in enumerate(whole["bot"]) if peak) * 20
        if not agent.of("bot.resumed"):
            # Not against `played_ms`: a machine that stands still for longer than the lead makes a hole in what is heard.
            silenced = [*agent.of("bot.paused"), *agent.of("bot.interrupted")][0]
            assert last == pytest.approx(at_ms(silenced["ts"]), abs=250), "what was cleared is not there"
        said_from = onsets_ms(whole["user"])[0]
        assert at_ms(agent.of("speech.started")[0]["timestamp"]) == pytest.approx(said_from, abs=250)

        reply = await get(server, f"/v1/calls/{call_id}/recording")
        if not recorded:
            assert reply.status_code == 404
            return
        assert (reply.status_code, reply.headers["content-type"]) == (200, "audio/wav")
        assert reply.headers["content-disposition"] == f'inline; filename="{call_id}.wav"'
        part = await get(server, f"/v1/calls/{call_id}/recording?download=1", Range="bytes=44-1043")
        assert (part.status_code, part.content) == (206, reply.content[44:1044])
        assert part.headers["content-disposition"].startswith("attachment")
        with wave.open(io.BytesIO(reply.content)) as file:
            stereo = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
            rate = file.getframerate()
        for side, channel in (("user", 0), ("bot", 1)):
            ours, theirs = whole[side], hops_of(stereo[:, channel], rate)
            assert ours[: len(theirs)].ljust(len(theirs), b"\0") == theirs


async def test_who_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "STALLED_S", 0.5)
    path = tmp_path / "recordings" / "CA1-0badcafe.wav"
    path.parent.mkdir()
    path.write_bytes(bytes(32 << 20))
    async with running(tmp_path) as server:
        before = len(asyncio.all_tasks())
        reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.port, limit=1 << 10)
        writer.write(
            f"GET /v1/calls/CA1/recording HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert len(asyncio.all_tasks()) > before
        await asyncio.sleep(1.5)
        assert len(asyncio.all_tasks()) <= before, "the request is over"
        got = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                got += len(data)
        assert got < 16 << 20, "what was on its way, and no more"
        writer.close()
        whole = await get(server, "/v1/calls/CA1/recording")
        assert len(whole.content) == 32 << 20, "who reads gets it all"
