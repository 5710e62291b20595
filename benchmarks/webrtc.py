"""What browser calls cost, against aiortc alone in the same run, and what they leave behind.

    python -m benchmarks.webrtc [--calls 1,5,10,15,20,25] [--seconds 10] [--rounds 100 --round-calls 20]

The server runs on one core: all of it is real but for its engines, which take no time. The pages run on another:
aiortc peers that send Opus made beforehand, and note when each packet of the bot comes instead of decoding it, so
that they cost less than what they measure. The bot speaks all the time, and so do they (but with ``--silent``).
Linux only. Nothing passes or fails here.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvloop
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtp import RtpPacket
from av import Packet

from benchmarks import _profile
from benchmarks._children import KEY, ROOT, Server, serving
from benchmarks._process import cpu_times, pss_mb
from benchmarks._server import Options
from media import wav
from media.resample import resample
from media.rtc.opus import Encoder
from server.looplag import LoopLag
from tests.e2e.harness import Frame, registered

STORY = (
    "It was a bright cold day in April, and the clocks were striking thirteen, as they often did there. " * 20
)
STALL_EVERY_S = 2.0
CUSHION_S = 0.06
"""What the buffer of a browser holds that was not told what to keep."""
CLIENT_CUSHION_S = 0.015
"""Of a page with Talkwire's client, which has it keep what came ahead and no more."""
CLOCK_HZ = 48_000
STEP = 960


def clip() -> list[bytes]:
    """A few seconds of speech as packets."""
    pcm, rate_hz = wav.read(ROOT / "examples" / "clips" / "story.wav")
    sound = resample(pcm, rate_hz, 16_000)
    encoder = Encoder(16_000)
    whole = sound[: len(sound) // encoder.frame * encoder.frame]
    return [encoder.encode(part) for part in whole.reshape(-1, encoder.frame)]


def silence() -> list[bytes]:
    """A room in which nobody speaks, as packets."""
    encoder = Encoder(16_000)
    room = np.random.default_rng(1).integers(-8, 8, (100, encoder.frame), dtype=np.int16)
    return [encoder.encode(part) for part in room]


class Ear(RTCRtpReceiver):
    """Notes when packets come, and decodes none."""

    sink: Callable[[RtpPacket], None]

    async def receive(self, parameters: Any) -> None:
        await super().receive(parameters)
        await asyncio.to_thread(self._handle_disconnect)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        await super()._handle_rtp_packet(packet, arrival_time_ms)
        if packet.payload:
            self.sink(packet)


class Mouth(MediaStreamTrack):
    kind = "audio"

    def __init__(self, packets: list[bytes]) -> None:
        super().__init__()
        self._packets, self._count, self._began = packets, 0, 0.0

    async def recv(self) -> Packet[Any]:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + self._count * 0.02 - loop.time()))
        packet = Packet(self._packets[self._count % len(self._packets)])
        packet.pts, packet.time_base = self._count * STEP, Fraction(1, CLOCK_HZ)
        self._count += 1
        return packet


@dataclass
class Page:
    """One page: when each packet of the bot came, and where it lies on the sender's clock."""

    packets: list[bytes]
    pc: RTCPeerConnection = field(default_factory=RTCPeerConnection)
    came: list[tuple[float, int]] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    deaf: bool = False
    client: bool = False
    """It plays as Talkwire's client has browsers play."""

    async def offer(self) -> str:
        self.pc.addTrack(Mouth(self.packets))
        self.channel = self.pc.createDataChannel("events")
        self.channel.on("open", self._opened)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        receiver = self.pc.getTransceivers()[0].receiver
        receiver.__class__ = Ear
        receiver.sink = self._came  # type: ignore[attr-defined]
        return self.pc.localDescription.sdp

    def _opened(self) -> None:
        if self.client:
            self.channel.send('{"action": "playout", "clears": true}')
        self.connected.set()

    def _came(self, packet: RtpPacket) -> None:
        if not self.deaf:
            self.came.append((asyncio.get_running_loop().time(), packet.timestamp))

    async def accept(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def gaps_ms(self, since: float) -> list[float]:
        """How long its buffer ran dry, each time since then. It does not grow by that, as a browser's does: of several
        stalls within one message the first one counts."""
        cushion_s = CLIENT_CUSHION_S if self.client else CUSHION_S
        found: list[float] = []
        ready = 0.0
        """When the buffer has played all that came, but for a first packet behind a pause."""
        last: int | None = None
        for at, timestamp in self.came:
            leap = STEP if last is None else (timestamp - last) % 2**32
            if last is None or leap > 10 * STEP:
                ready = at + cushion_s
            else:
                ready += (leap - STEP) / CLOCK_HZ
                if at > ready:
                    if at >= since:
                        found.append((at - ready) * 1000)
                    ready = at
            ready += STEP / CLOCK_HZ
            last = timestamp
        return found


Signal = Callable[[str], Awaitable[str]]
"""From the SDP of an offer to that of its answer."""
Post = Callable[[dict[str, Any]], Awaitable[str]]
"""The same, from the body of a request."""


def signal_of(post: Post) -> Signal:
    return lambda sdp: post({"sdp": sdp, "type": "offer"})


@dataclass(frozen=True, slots=True)
class Row:
    calls: int
    percent: float
    """Of the server's core."""
    mb: float
    gaps: int
    worst_ms: float
    per_s: float
    """Packets of each call."""
    load_late_ms: float
    """The load's own loop, at its worst: what came then seems late."""


async def measured(pid: int, core: int, args: argparse.Namespace, pages: list[Page], ask: Signal) -> Row:
    calls, seconds, stall_ms = len(pages), args.seconds, args.stall_ms
    for page in pages:
        await page.accept(await ask(await page.offer()))
    await asyncio.sleep(3.0)
    gc.collect()
    lag = LoopLag()
    since, before = asyncio.get_running_loop().time(), cpu_times(pid, core)
    for _ in range(round(seconds / STALL_EVERY_S) if stall_ms else 0):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(stall_ms / 1000)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(STALL_EVERY_S)
    if not stall_ms:
        await asyncio.sleep(seconds)
    after = cpu_times(pid, core)
    late_ms = lag.summary()["max_ms"]
    lag.close()
    mb = await asyncio.to_thread(pss_mb, pid)
    gaps = [gap for page in pages for gap in page.gaps_ms(since) if gap > 20.0]
    came = sum(at >= since for page in pages for at, _ in page.came)
    for page in pages:
        await page.pc.close()
    share = (after.process - before.process) / (after.at - before.at)
    return Row(calls, 100 * share, mb, len(gaps), max(gaps, default=0.0), came / calls / seconds, late_ms)


# --- Talkwire ---------------------------------------------------------------------------------------------


def told(call: Frame) -> Frame:
    ids = {"call_id": call["call_id"], "message_id": f"m{call['seq']}"}
    return {"event": "bot.reply", **ids, "text": STORY, "in_reply_to": "", "interruptible": False}


@asynccontextmanager
async def ours(server: Server) -> AsyncIterator[Post]:
    limits = {"idle_timeout_seconds": 0, "max_duration_seconds": 3600}
    url = server.url.replace("http", "ws")
    async with registered(url, session_limits=limits) as agent, httpx.AsyncClient(trust_env=False) as http:
        agent.on["call.started"] = agent.on["bot.finished"] = told

        async def post(body: dict[str, Any]) -> str:
            answer = await http.post(server.url + "/webrtc/offer", json=body, timeout=30)
            answer.raise_for_status()
            sdp: str = answer.json()["sdp"]
            return sdp

        async def ask(body: dict[str, Any]) -> str:
            if "resume" in body:
                return await post(body)
            key = {"Authorization": f"Bearer {KEY}"}
            given = await http.get(server.url + "/webrtc/token?agent_id=tester", headers=key)
            return await post({**body, "token": given.json()["token"]})

        yield ask


def options(max_calls: int) -> Options:
    return {
        "port": 0, "data_dir": "", "key": KEY, "max_calls": max_calls, "vad": "silero", "recording": False,
        "stt_ms": 0.0, "tts_ms": 0.0, "base_url": None,
    }  # fmt: skip


def talking(args: argparse.Namespace, packets: list[bytes], number: int) -> list[Page]:
    return [Page(packets, client=not args.by_hand) for _ in range(number)]


def talkwire(args: argparse.Namespace, numbers: list[int], packets: list[bytes]) -> list[Row]:
    with serving(options(max(numbers)), core=args.server_core, load_core=args.load_core) as server:

        async def run() -> list[Row]:
            async with ours(server) as post:
                ask = signal_of(post)
                return [
                    await measured(server.pid, args.server_core, args, talking(args, packets, n), ask)
                    for n in numbers
                ]

        return uvloop.run(run())


def leaks(args: argparse.Namespace, packets: list[bytes]) -> list[str]:
    """Open and close many calls, and look at the server before and after."""
    with serving(options(args.round_calls), core=args.server_core, load_core=args.load_core) as server:

        async def one(ask: Signal) -> None:
            page = Page(packets)
            await page.accept(await ask(await page.offer()))
            async with asyncio.timeout(30):
                await page.connected.wait()
            await asyncio.sleep(0.2)
            await page.pc.close()

        async def look() -> tuple[float, int, int]:
            while (stats := await server.stats())["calls"]:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            files = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
            return await asyncio.to_thread(pss_mb, server.pid), files, stats["tasks"]

        async def run() -> list[str]:
            lines = ["| rounds | PSS, MB | open files | tasks |", "|---|---|---|---|"]
            async with ours(server) as post:
                ask = signal_of(post)
                for number in range(args.rounds + 1):
                    async with asyncio.TaskGroup() as tasks:
                        for _ in range(args.round_calls):
                            tasks.create_task(one(ask))
                    if number == 1 or number % max(1, args.rounds // 10) == 0:
                        mb, files, tasks_left = await look()
                        lines.append(f"| {number} | {mb:.1f} | {files} | {tasks_left} |")
                    else:
                        await look()
            return lines

        return uvloop.run(run())


def profile(args: argparse.Namespace, packets: list[bytes]) -> list[str]:
    """What the server's core does with so many calls."""
    _profile.profiler()

    async def run(server: Server) -> None:
        async with ours(server) as post:
            ask = signal_of(post)
            pages = [Page(packets) for _ in range(args.profile)]
            for page in pages:
                await page.accept(await ask(await page.offer()))
            await asyncio.sleep(3.0)
            await _profile.record(server.pid, args.seconds, args.profile_file)
            for page in pages:
                await page.pc.close()

    with serving(options(args.profile), core=args.server_core, load_core=args.load_core) as server:
        uvloop.run(run(server))
    return _profile.table(args.profile_file)


def switches(args: argparse.Namespace, packets: list[bytes]) -> list[str]:
    """Pages that change their network."""
    from benchmarks import _switch  # It is made of these pages.

    with serving(options(10), core=args.server_core, load_core=args.load_core) as server:

        async def run() -> list[str]:
            async with ours(server) as post:
                return await _switch.table(post, packets, args.switch)

        return uvloop.run(run())


# --- aiortc alone -----------------------------------------------------------------------------------------


def alone(args: argparse.Namespace, numbers: list[int], packets: list[bytes]) -> list[Row]:
    rows: list[Row] = []
    for number in numbers:
        command = ["taskset", "-c", str(args.server_core), sys.executable, "-m", "benchmarks._bare_aiortc"]
        with subprocess.Popen(command, stdin=-1, stdout=-1, cwd=ROOT, text=True) as child:
            rows.append(uvloop.run(_alone(args, number, packets, child)))
            assert child.stdin is not None
            child.stdin.close()
    return rows


async def _alone(
    args: argparse.Namespace, number: int, packets: list[bytes], child: subprocess.Popen[str]
) -> Row:
    stdin, stdout = child.stdin, child.stdout
    assert stdin is not None
    assert stdout is not None

    async def ask(offer: str) -> str:
        stdin.write(json.dumps(offer) + "\n")
        stdin.flush()
        answer: str = json.loads(await asyncio.to_thread(stdout.readline))
        return answer

    pages = [Page(packets) for _ in range(number)]
    return await measured(child.pid, args.server_core, args, pages, ask)


def _table(rows: list[Row], other: list[Row]) -> list[str]:
    lines = [
        "| calls | Talkwire, % of a core | aiortc alone, % | gaps > 20 ms (worst) | aiortc's | PSS, MB "
        "| load late, ms, of both |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, bare in zip(rows, other, strict=True):
        lines.append(
            f"| {row.calls} | {row.percent:.0f} | {bare.percent:.0f} | {row.gaps} ({row.worst_ms:.0f} ms) "
            f"| {bare.gaps} ({bare.worst_ms:.0f} ms) | {row.mb:.0f} "
            f"| {row.load_late_ms:.0f}, {bare.load_late_ms:.0f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webrtc", description=__doc__.split("\n")[0])
    parser.add_argument("--calls", default="1,5,10,15,20,25", help="numbers of calls (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured time of each (%(default)s)")
    parser.add_argument("--silent", action="store_true", help="the pages say nothing: media alone")
    parser.add_argument("--by-hand", action="store_true", help="pages without Talkwire's client")
    parser.add_argument("--stall-ms", type=int, default=0, help="stop the server for so long every 2 s")
    parser.add_argument("--rounds", type=int, default=0, help="instead: so many rounds of calls, for leaks")
    parser.add_argument("--round-calls", type=int, default=20, help="calls of a round (%(default)s)")
    parser.add_argument(
        "--switch", type=int, default=0, metavar="TIMES", help="only: pages that change network"
    )
    parser.add_argument(
        "--profile", type=int, metavar="CALLS", help="only: what the core does at so many calls"
    )
    parser.add_argument("--profile-file", type=Path, default=Path("webrtc.stacks"), help="(%(default)s)")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.load_core})
    began_s, packets = time.monotonic(), silence() if args.silent else clip()
    if args.switch:
        lines = switches(args, packets)
    elif args.profile:
        lines = profile(args, packets)
    elif args.rounds:
        lines = leaks(args, packets)
    else:
        numbers = [int(number) for number in args.calls.split(",")]
        lines = _table(talkwire(args, numbers, packets), alone(args, numbers, packets))
    print(*lines, sep="\n")
    print(f"\n{np.round(time.monotonic() - began_s)} s in all", file=sys.stderr)


if __name__ == "__main__":
    main()
