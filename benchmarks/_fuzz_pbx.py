"""A PBX that breaks every rule of AudioSocket, and announcements that make no sense."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode

from benchmarks._fuzz_wire import RawHttp, request
from benchmarks._real_server import KEY
from telephony.carriers.audiosocket import wire

if TYPE_CHECKING:
    from benchmarks.fuzz import Fuzz, Tally

PATH = "/v1/audiosocket/calls"
NUMBER = "+15559999999"
BATCH = 50
BATCHES = 8
END_S = 15.0
"""A connection that was told that the call is over is gone by then."""
KINDS = (*wire.RATES_HZ, wire.DTMF, wire.IDENTIFY, wire.FAULT, 0x02, 0x42, 0x7F, 0xFE)


class _Line(asyncio.Protocol):
    """Reads and forgets."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # As which uvloop's is not registered.

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set_result("reset" if error else "closed")


def _message(rng: random.Random) -> bytes:
    match rng.randrange(10):
        case 0:
            return rng.randbytes(rng.randrange(1, 400))
        case 1:
            return wire.message(rng.choice(KINDS), rng.randbytes(rng.randrange(40)))
        case 2:
            return wire.message(rng.choice(tuple(wire.RATES_HZ)), rng.randbytes(rng.randrange(0xFFFF)))
        case 3:
            whole = wire.message(wire.AUDIO, rng.randbytes(320))
            return whole[: rng.randrange(len(whole))]
        case 4:
            return wire.message(wire.DTMF, rng.choice((b"1", b"*", b"", b"12", b"\xff", b"x")))
        case _:
            return wire.message(wire.AUDIO, rng.randbytes(320))


async def announced(fuzz: Fuzz, rng: random.Random) -> bytes:
    """The UUID of a call that was announced; at times of one that was not."""
    if rng.random() < 0.1:
        return rng.randbytes(16)
    http = RawHttp(fuzz.server.port)
    body = urlencode({"to": NUMBER, "from": "+1555"}).encode()
    form = {"Authorization": f"Bearer {KEY}", "Content_Type": "application/x-www-form-urlencoded"}
    status, told = await http.ask(request("POST", PATH, body, **form))
    http.close()
    return uuid.UUID(told.decode()).bytes if status == 200 else rng.randbytes(16)


async def fuzz_pbx(fuzz: Fuzz, tally: Tally) -> None:
    """Calls of the agent that answers all numbers."""
    rng = fuzz.messages().rng
    while not tally.over():
        which = await announced(fuzz, rng)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(_Line, "127.0.0.1", fuzz.pbx_port)
        assert line.transport is not None
        if rng.random() < 0.9:
            line.transport.write(wire.message(wire.IDENTIFY, which))
        for _ in range(rng.randrange(BATCHES)):
            line.transport.write(b"".join(_message(rng) for _ in range(BATCH)))
            tally.sent += BATCH
            await asyncio.sleep(rng.choice((0.0, 0.0, 0.02, 0.1)))
            if line.gone.done() or tally.over():
                break
        await _over(fuzz, tally, line, rng)


async def _over(fuzz: Fuzz, tally: Tally, line: _Line, rng: random.Random) -> None:
    assert line.transport is not None
    match rng.randrange(3):
        case 0:
            line.transport.abort()
        case 1:
            line.transport.close()
        case _:
            # Whatever length the server waits for is over behind this.
            line.transport.write(bytes(wire.MAX_PAYLOAD + 2 * wire.HEADER))
    try:
        async with asyncio.timeout(END_S):
            tally.answers[await line.gone] += 1
    except TimeoutError:
        fuzz.faults["a call of the PBX whose hangup was not heard"] += 1
        line.transport.abort()


async def fuzz_announce(fuzz: Fuzz, tally: Tally) -> None:
    messages, http = fuzz.messages(), RawHttp(fuzz.server.port)
    rng = messages.rng
    while not tally.over():
        told = {
            "uuid": rng.choice(("", "x", str(uuid.UUID(int=7)), 7)),
            "from": "+1",
            "to": rng.choice(("", "+1666", 5)),
        }
        form = rng.random() < 0.5
        body = urlencode(told).encode() if form else messages.broken(told)
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        key = rng.choice((KEY, KEY, KEY, "wrong", ""))
        raw = request("POST", PATH, body, Authorization=f"Bearer {key}", Content_Type=kind)
        tally.sent += 1
        status, answer = await http.ask(raw)
        tally.answers[str(status)] += 1
        if status >= 500 and status != 503:
            fuzz.faults[f"status {status} for {raw[:200]!r}"] += 1
        if status >= 400 and not (answer.startswith(b"error ") or json.loads(answer).get("code")):
            fuzz.faults[f"an error that says nothing: {answer[:200]!r}"] += 1
    http.close()
