"""Bar R6: what the server makes of a million messages that no sensible client sends.

``python -m benchmarks.fuzz`` starts `talkwire serve` and sends ``--messages`` of them, spread over the agent socket
(before and after ``connect``), the media socket of calls, the port of a PBX, the tap, the webhook and the pages. Bytes
at random, valid messages cut, changed and mistyped, numbers beyond all bounds, nests a hundred thousand deep, half
characters, frames in pieces, frames that break WebSocket's rules. It prints what was sent and answered, the server's
memory on the way, and its log; what must not be stands under *faults*.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import uvloop

from benchmarks._fuzz_messages import Messages
from benchmarks._fuzz_pbx import fuzz_announce, fuzz_pbx
from benchmarks._fuzz_wire import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Closed,
    RawHttp,
    RawSocket,
    frame,
    request,
)
from benchmarks._real_server import KEY, RealServer, free_port, real_server

SHARES = {
    "agent": 0.66,
    "connect": 0.02,
    "media": 0.12,
    "pbx": 0.06,
    "announce": 0.02,
    "tap": 0.04,
    "webhook": 0.04,
    "pages": 0.04,
}
"""Of all messages, by where they go."""
WORKERS = {
    "agent": 4,
    "connect": 2,
    "media": 3,
    "pbx": 3,
    "announce": 1,
    "tap": 1,
    "webhook": 1,
    "pages": 1,
}
BATCH = 200
RECYCLED = 20_000
"""Messages on one connection, after which it is given up without a word."""
EXPECTED_CLOSES = {1000, 1002, 1007, 1008, 1009, 1003}
"""What a peer that breaks the rules may be closed with. 1011 would be ours, 1013 one that did not read."""
QUIET = 8
"""Calls that are left alive beside those that are fuzzed."""
HALF_S = 2.0
"""What the rest of half a request is waited for."""
ASKED_EVERY_S = 0.15
"""Faults in answer to which nothing may be missing: fewer a second than are answered."""


@dataclass
class Tally:
    """What came of one kind of target."""

    quota: int
    deadline: float
    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)

    def over(self) -> bool:
        return self.sent >= self.quota or time.perf_counter() > self.deadline


@dataclass
class Fuzz:
    server: RealServer
    seed: int
    tallies: dict[str, Tally]
    deadline: float
    pbx_port: int
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, float, int]] = field(default_factory=list)
    """Messages sent, MB of memory, open files."""
    asked: int = 0
    quiet: list[RawSocket] = field(default_factory=list)
    """Media sockets of calls in which nothing is said."""
    numbers: count[int] = field(default_factory=count)

    @property
    def sent(self) -> int:
        return sum(tally.sent for tally in self.tallies.values())

    def over(self) -> bool:
        return time.perf_counter() > self.deadline or all(tally.over() for tally in self.tallies.values())

    def messages(self) -> Messages:
        return Messages(self.seed * 1000 + next(self.numbers))

    def close(self, tally: Tally, closed: Closed, socket: RawSocket | None, where: str) -> None:
        """Whoever broke WebSocket's rules may find the connection reset before he has read why."""
        tally.closes[closed.code] += 1
        broke = socket is not None and socket.broke_rules
        if closed.code not in EXPECTED_CLOSES and not (broke and closed.code == 0):
            self.faults[f"{where} closed with {closed}"] += 1


# --- the agent socket -------------------------------------------------------------------------------------


async def connected(fuzz: Fuzz, path: str) -> RawSocket:
    socket = await RawSocket.open(fuzz.server.port, path)
    socket.send(json.dumps({"event": "connect", "api_key": KEY, "protocol": "talkwire/1"}).encode())
    await _until(socket, "connected")
    return socket


async def _until(socket: RawSocket, event: str) -> None:
    while True:
        _, payload = await socket.receive()
        if json.loads(payload)["event"] == event:
            return


def unruly(socket: RawSocket, messages: Messages, data: bytes) -> None:
    """Send it in pieces, as no UTF-8, or against the rules; most often as it is."""
    rng = messages.rng
    kind = rng.random()
    text = _is_text(data)
    socket.broke_rules |= kind < 0.0006 or (kind < 0.01 and not text)
    if kind < 0.0003:
        socket.writer.write(frame(data, rng.choice((3, 7, 11)), reserved=rng.choice((0, 4))))
    elif kind < 0.0006:
        socket.writer.write(frame(data, CONTINUATION))
    elif not text:
        # As text it is answered by a close, so most of it travels as what it is.
        socket.send(data, TEXT if kind < 0.01 else BINARY)
    elif kind < 0.05 and len(data) > 3:
        third = len(data) // 3
        pieces = data[:third], data[third : 2 * third], data[2 * third :]
        socket.writer.write(frame(pieces[0], fin=False) + frame(b"between", PING))
        socket.writer.write(frame(pieces[1], CONTINUATION, fin=False) + frame(pieces[2], CONTINUATION))
    else:
        socket.send(data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


async def fuzz_agent(fuzz: Fuzz, tally: Tally) -> None:
    """After ``connect``, with an agent and now and then a call that is its own."""
    messages = fuzz.messages()
    agent_id = f"fuzzed-{next(fuzz.numbers)}"
    number = f"+1666{next(fuzz.numbers):07d}"
    while not tally.over():
        socket = None
        try:
            socket = await connected(fuzz, "/client")
            socket.send(json.dumps({"event": "agent.create", "agent_id": agent_id}).encode())
            add = {"event": "channel.add", "agent_id": agent_id, "type": "phone", "ref": number}
            socket.send(json.dumps(add).encode())
            await _until(socket, "channel.added")
            call_id = await _ring(fuzz, number)
            for _ in range(RECYCLED // BATCH):
                await _batch(fuzz, tally, socket, messages, call_id, agent_id)
                if tally.over():
                    break
            socket.abort()
        except Closed as closed:
            fuzz.close(tally, closed, socket, "/client")


async def _batch(
    fuzz: Fuzz, tally: Tally, socket: RawSocket, messages: Messages, call_id: str, agent_id: str
) -> None:
    for _ in range(BATCH):
        unruly(socket, messages, messages.broken(messages.command(call_id, agent_id)))
    tally.sent += BATCH
    barrier = f"barrier {tally.sent}"
    socket.send(json.dumps({"event": "pong", "ack": barrier}).encode())
    await socket.drain()
    while True:
        opcode, payload = await socket.receive()
        if opcode != TEXT:
            continue
        told = json.loads(payload)
        tally.answers[told["event"]] += 1
        if told["event"] == "error" and not (told.get("error") and told.get("code")):
            fuzz.faults[f"an error that says nothing: {payload[:200]!r}"] += 1
        if told["event"] == "error" and told["code"] == "INTERNAL_ERROR":
            fuzz.faults[f"INTERNAL_ERROR: {payload[:200]!r}"] += 1
        if told.get("ack") == barrier:
            return


async def fuzz_connect(fuzz: Fuzz, tally: Tally) -> None:
    """One message on each connection: it is ``connect`` or the end."""
    messages = fuzz.messages()
    while not tally.over():
        path = messages.rng.choice(("/client", "/v1/tap"))
        tally.sent += 1
        socket = None
        try:
            socket = await RawSocket.open(fuzz.server.port, path)
            data = messages.broken(messages.connect(KEY))
            unruly(socket, messages, data)
            await socket.drain()
            opcode, payload = await socket.receive()
            if opcode == TEXT:
                tally.answers[json.loads(payload)["event"]] += 1
            if opcode == TEXT and json.loads(payload)["event"] != "connected":
                await socket.receive()
            socket.abort()
        except Closed as closed:
            fuzz.close(tally, closed, socket, path)


async def fuzz_tap(fuzz: Fuzz, tally: Tally) -> None:
    messages = fuzz.messages()
    while not tally.over():
        socket = None
        try:
            wanted = messages.rng.choice(("", "CA1", "%00", "x" * 3000))
            socket = await connected(fuzz, f"/v1/tap?call={wanted}")
            for _ in range(RECYCLED // BATCH):
                for _ in range(BATCH):
                    unruly(socket, messages, messages.broken(messages.command("CA1", "fuzzed")))
                tally.sent += BATCH
                await _barrier(socket, tally)
                if tally.over():
                    break
            socket.abort()
        except Closed as closed:
            fuzz.close(tally, closed, socket, "/v1/tap")


async def _barrier(socket: RawSocket, tally: Tally) -> None:
    """A ping of the WebSocket comes back when all before it was read."""
    name = str(tally.sent).encode()
    socket.send(name, PING)
    await socket.drain()
    while (told := await socket.receive()) != (PONG, name):
        if told[0] == TEXT:
            tally.answers["text"] += 1


async def ask(fuzz: Fuzz) -> None:
    """Sampled: of faults that come slowly each is answered, by words and a code."""
    messages = fuzz.messages()
    socket = await connected(fuzz, "/client")
    while not fuzz.over():
        await asyncio.sleep(ASKED_EVERY_S)
        fuzz.asked += 1
        wrong = messages.rng.choice(
            (
                b"{",
                b"[]",
                b"7",
                b"",
                b'{"event":7}',
                b'{"event":"bot.reply"}',
                b'{"event":"call.hangup","call_id":[]}',
            )
        )
        socket.send(wrong)
        socket.send(json.dumps({"event": "pong", "ack": f"ask {fuzz.asked}"}).encode())
        await socket.drain()
        _, first = await socket.receive()
        told = json.loads(first)
        if told["event"] == "ping":
            told = json.loads((await socket.receive())[1])
        if told["event"] != "error" or not told.get("error") or not told.get("code"):
            fuzz.faults[f"{wrong!r} was answered by {first[:200]!r}"] += 1
        if told["event"] != "ack":
            await _until(socket, "ack")
    socket.abort()


# --- calls ------------------------------------------------------------------------------------------------


async def _ring(fuzz: Fuzz, to: str) -> str:
    """A call whose media never comes, or comes and is silent."""
    call_sid = f"CA{next(fuzz.numbers):032x}"
    path = await _webhook(fuzz, call_sid, to)
    if path is not None:
        socket = await RawSocket.open(fuzz.server.port, path)
        _start(socket, call_sid)
        await socket.drain()
        fuzz.quiet.append(socket)
        if len(fuzz.quiet) > QUIET:
            fuzz.quiet.pop(0).abort()
    return call_sid


async def _webhook(fuzz: Fuzz, call_sid: str, to: str) -> str | None:
    """The path of its media socket; None where the call was not taken."""
    body = urlencode({"CallSid": call_sid, "From": "+15550001111", "To": to, "AccountSid": "AC1"}).encode()
    http = RawHttp(fuzz.server.port)
    _, answer = await http.ask(
        request("POST", "/twilio/voice", body, Content_Type="application/x-www-form-urlencoded")
    )
    http.close()
    found = re.search(rb'ws://[^/]+(/twilio/media/[^"]+)', answer)
    return found[1].decode() if found else None


def _start(socket: RawSocket, call_sid: str) -> None:
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": call_sid,
        "tracks": ["inbound"],
        "mediaFormat": media_format,
        "customParameters": {},
    }
    socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}).encode())
    socket.send(
        json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start}).encode()
    )


async def fuzz_media(fuzz: Fuzz, tally: Tally) -> None:
    """Calls of the agent that answers all numbers; each is given up by the server after a hundred faults."""
    messages = fuzz.messages()
    while not tally.over():
        call_sid = f"CA{next(fuzz.numbers):032x}"
        path = await _webhook(fuzz, call_sid, "+15559999999")
        if path is None:
            tally.answers["busy"] += 1  # The webhooks of another worker ring, and nobody comes.
            await asyncio.sleep(0.2)
            continue
        socket = None
        try:
            socket = await RawSocket.open(fuzz.server.port, path)
            if messages.rng.random() < 0.8:
                _start(socket, call_sid)
            for number in count(2):
                for i in range(50):
                    frame_of = messages.carriers(call_sid, "MZ1", number * 50 + i)
                    # Mostly valid: a stream of nothing but faults is over soon.
                    good = messages.rng.random() < 0.7
                    unruly(
                        socket, messages, json.dumps(frame_of).encode() if good else messages.broken(frame_of)
                    )
                tally.sent += 50
                await _barrier(socket, tally)
                if tally.over() or number > 100:
                    break
            socket.abort()
        except Closed as closed:
            fuzz.close(tally, closed, socket, "/twilio/media")


# --- over HTTP --------------------------------------------------------------------------------------------


def _form(messages: Messages) -> bytes:
    rng = messages.rng
    form = {
        "CallSid": f"CA{rng.randrange(100_000)}",
        "From": "+1",
        "To": rng.choice(("", "*", "+1666", "\0")),
    }
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(300))
        case 1:
            return b"&=" * rng.randrange(40_000)
        case 2:
            return messages.broken(form)
        case 3:
            return urlencode({**form, "CallSid": rng.choice(("", "x" * 5000, "<a>", "\u0430"))}).encode()
        case 4:
            return urlencode({**form, rng.choice(list(form)): "x" * rng.randrange(5000)}).encode()
        case _:
            return urlencode(form).encode()


async def fuzz_webhook(fuzz: Fuzz, tally: Tally) -> None:
    messages, http = fuzz.messages(), RawHttp(fuzz.server.port)
    rng = messages.rng
    while not tally.over():
        body = _form(messages)
        content_type = rng.choice(
            ("application/x-www-form-urlencoded", "application/json", "multipart/form-data", "\xff")
        )
        path = rng.choice(("/twilio/voice", "/twilio/voice?a=%ff", "/twilio/voice/", "/twilio/media/x"))
        await _http(fuzz, tally, http, request("POST", path, body, Content_Type=content_type))
    http.close()


async def fuzz_pages(fuzz: Fuzz, tally: Tally) -> None:
    messages, http = fuzz.messages(), RawHttp(fuzz.server.port)
    rng = messages.rng
    paths = (
        "/",
        "/healthz",
        "/readyz",
        "/v1/stats",
        "/client",
        "/v1/tap",
        "/../../etc/passwd",
        "//healthz",
        "/%00",
        "/\xff",
    )
    while not tally.over():
        method = rng.choice(("GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"))
        path = rng.choice(paths) + rng.choice(("", "?" + "a=" * rng.randrange(500), "#x"))
        headers = rng.choice(
            ({}, {"Authorization": "Bearer " + "x" * rng.randrange(3000)}, {"Authorization": "Bearer \xff"},
             {"Upgrade": "websocket", "Connection": "Upgrade"}, {"X_Forwarded_For": "1.2.3.4"})
        )  # fmt: skip
        raw = request(method, path, b"", **headers)
        if rng.random() < 0.1:
            raw = rng.choice((raw[: rng.randrange(len(raw))] + b"\r\n\r\n", rng.randbytes(200) + b"\r\n\r\n"))
        await _http(fuzz, tally, http, raw)
    http.close()


async def _http(fuzz: Fuzz, tally: Tally, http: RawHttp, raw: bytes) -> None:
    tally.sent += 1
    try:
        async with asyncio.timeout(HALF_S):
            status, _ = await http.ask(raw)
    except TimeoutError:
        # Half a request: the server waits for the rest of it.
        http.close()
        status = -1
    tally.answers[str(status)] += 1
    if status >= 500:
        fuzz.faults[f"status {status} for {raw[:120]!r}"] += 1


# --- the run ----------------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[Fuzz, Tally], Awaitable[None]]] = {
    "agent": fuzz_agent,
    "connect": fuzz_connect,
    "media": fuzz_media,
    "pbx": fuzz_pbx,
    "announce": fuzz_announce,
    "tap": fuzz_tap,
    "webhook": fuzz_webhook,
    "pages": fuzz_pages,
}


async def owner(fuzz: Fuzz) -> None:
    """The agent that answers all numbers, and reads what it is told."""
    socket = await connected(fuzz, "/client")
    create = {"event": "agent.create", "agent_id": "owner", "greeting": "Hello. " * 20}
    socket.send(json.dumps(create).encode())
    socket.send(
        json.dumps({"event": "channel.add", "agent_id": "owner", "type": "phone", "ref": "*"}).encode()
    )
    await _until(socket, "channel.added")
    while not fuzz.over():
        try:
            await socket.receive()
        except TimeoutError:
            socket.send(b'{"event":"ping"}')


async def watch(fuzz: Fuzz) -> None:
    began = time.perf_counter()
    while not fuzz.over():
        fuzz.samples.append((fuzz.sent, fuzz.server.rss_mb(), fuzz.server.sockets()))
        if len(fuzz.samples) % 30 == 0:
            print(
                f"{time.perf_counter() - began:5.0f} s, {fuzz.sent} sent, {fuzz.samples[-1][1]:.0f} MB",
                flush=True,
            )
        await asyncio.sleep(1.0)


async def work(fuzz: Fuzz, kind: str) -> None:
    tally = fuzz.tallies[kind]
    while not tally.over() and fuzz.server.alive:
        try:
            await KINDS[kind](fuzz, tally)
        except TimeoutError:
            fuzz.faults[f"{kind}: no answer"] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            fuzz.faults[f"{kind}: {type(error).__name__}: {error}"] += 1
            await asyncio.sleep(0.5)


async def healthy(fuzz: Fuzz) -> bool:
    """Afterwards a call is answered as ever."""
    socket = await connected(fuzz, "/client")
    create = {"event": "agent.create", "agent_id": "afterwards", "greeting": "Hello."}
    socket.send(json.dumps(create).encode())
    add = {"event": "channel.add", "agent_id": "afterwards", "type": "phone", "ref": "+15557654321"}
    socket.send(json.dumps(add).encode())
    await _until(socket, "channel.added")
    await _ring(fuzz, "+15557654321")
    try:
        await _until(socket, "bot.speaking")
    except TimeoutError:
        return False
    return True


async def run(server: RealServer, pbx_port: int, options: argparse.Namespace) -> Fuzz:
    deadline = time.perf_counter() + options.seconds
    tallies = {
        kind: Tally(max(1, round(options.messages * share)), deadline) for kind, share in SHARES.items()
    }
    fuzz = Fuzz(server, options.seed, tallies, deadline, pbx_port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(owner(fuzz))
        await asyncio.sleep(0.5)
        for helper in (watch, ask):
            tasks.create_task(helper(fuzz))
        for kind, number in WORKERS.items():
            for _ in range(number):
                tasks.create_task(work(fuzz, kind))
    for socket in fuzz.quiet:
        socket.abort()
    await asyncio.sleep(2.0)
    fuzz.samples.append((fuzz.sent, server.rss_mb(), server.sockets()))
    if not await healthy(fuzz):
        fuzz.faults["afterwards a call was not answered"] += 1
    return fuzz


# --- what is printed --------------------------------------------------------------------------------------


def report(fuzz: Fuzz, took_s: float, stats: dict[str, object]) -> list[str]:
    lines = ["| where | sent | answered | closed |", "|---|---|---|---|"]
    for kind, tally in fuzz.tallies.items():
        answers = ", ".join(f"{name} {number}" for name, number in tally.answers.most_common(6))
        closes = ", ".join(f"{code}: {number}" for code, number in sorted(tally.closes.items()))
        lines.append(f"| {kind} | {tally.sent} | {answers} | {closes} |")
    log = fuzz.server.log.read_text(errors="replace")
    early = next(rss for sent, rss, _ in fuzz.samples if sent >= 0.1 * fuzz.sent)
    later = [rss for sent, rss, _ in fuzz.samples if sent >= 0.1 * fuzz.sent]
    files = [number for _, _, number in fuzz.samples]
    rows = {
        "messages": f"{fuzz.sent} in {took_s:.0f} s, seed {fuzz.seed}",
        "server alive, answers a call": str(fuzz.server.alive),
        "tracebacks in its log": str(log.count("Traceback (most recent call last)")),
        "log": f"{log.count(chr(10))} lines, {len(log) / 1e6:.2f} MB",
        "memory after 10 %, at most, at the end": f"{early:.0f}, {max(later):.0f}, {later[-1]:.0f} MB",
        "open files at most, at the end": f"{max(files)}, {files[-1]}",
        "sampled faults, each answered": str(fuzz.asked),
        "loop late": json.dumps(stats["loop_lag"]),
    }
    lines += ["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    events = Counter(re.findall(r"\] ([\w.]+) ", log))
    lines += ["", "Most written: " + ", ".join(f"{name} {number}" for name, number in events.most_common(8))]
    lines += ["", *(f"FAULT {number} x {what}" for what, number in fuzz.faults.most_common(20))]
    return lines


async def main(options: argparse.Namespace) -> None:
    port = free_port()
    settings = {"TALKWIRE_LOG_FORMAT": "console", "TALKWIRE_MAX_CALLS": "60"}
    with real_server(TALKWIRE_AUDIOSOCKET=f"127.0.0.1:{port}", **settings) as server:
        began = time.perf_counter()
        fuzz = await run(server, port, options)
        took_s = time.perf_counter() - began
        print(f"\n{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}\n")
        print("\n".join(report(fuzz, took_s, await server.stats())))
        if options.keep_log:
            options.keep_log.write_bytes(server.log.read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A million messages that make no sense")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop by then, whatever was sent")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-log", type=Path, help="copy the server's log here")
    uvloop.run(main(parser.parse_args()))
