"""A server that is killed in the middle of its calls, and what the next one knows of them.

The far ends are the simulated carrier and an agent on a real socket, which notes each event that it is told. What the
agent was told longer than ``LATE_S`` before the kill has to be in the log, byte for byte in content, without a hole, and
behind it the end that the next server tells.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from telephony.carriers.twilio.simulator import Clip, SimulatedCall, SimulatedCarrier
from tests.e2e.harness import CLIPS, KEY, TIMEOUT_S, Agent, Frame, reply
from tests.e2e.test_recording import Killed, agent_of

LATE_S = 0.1
ADDED = ("call.ended", "call.recording")
BEARER = {"Authorization": f"Bearer {KEY}"}
HELLO = Clip.from_wav(CLIPS / "hello.wav")
TEXT = "The shop is open until nine, every day but on Sundays, and it is ten past eight now."


@dataclass
class Found:
    """What one kill left."""

    calls: int = 0
    ended: int = 0
    """Calls that were over before."""
    events: int = 0
    """That were told in time, and have to be there."""
    recordings: int = 0
    newest_lost_ms: float = 0.0
    """How long the oldest event that is not there had been due; 0: none is missing."""
    faults: list[str] = field(default_factory=list)


async def killed(folder: Path, calls: int, seed: int, late_s: float = LATE_S, **env: str) -> Found:
    """Place so many calls, kill the server at some instant, start it again, and hold what it tells against what the far
    ends saw."""
    chance = random.Random(seed)
    server = Killed(folder, TALKWIRE_JOURNAL_SKIP="none", TALKWIRE_MAX_CALLS=str(calls + 5), **env)
    await server.start()
    agent, reading = await agent_of(server.url, recording=True, greeting=TEXT)
    agent.on["turn.end"] = reply(TEXT)
    async with SimulatedCarrier(server.url) as carrier, asyncio.TaskGroup() as tasks:
        placed = [
            tasks.create_task(_caller(carrier, index, chance.uniform(0.0, 2.0), chance.random() < 0.3))
            for index in range(calls)
        ]
        await agent.wait("call.started")
        await asyncio.sleep(chance.uniform(1.0, 6.0))
        at = time.time()
        output = await server.kill()
        for task in placed:
            task.cancel()
    await asyncio.wait([reading], timeout=TIMEOUT_S)
    assert "Traceback" not in output, output
    await server.start()
    try:
        return await _held_against(server.url, _by_call(agent), at - late_s)
    finally:
        await server.kill()


async def _caller(carrier: SimulatedCarrier, index: int, after_s: float, short: bool) -> None:
    """Some hang up early."""
    await asyncio.sleep(after_s)
    call: SimulatedCall | None = None
    try:
        call = await carrier.place_call(f"+1555000{index:04}", "+15550002222")
        await asyncio.sleep(0.7 if short else 1.5)
        call.say(HELLO)
        await asyncio.sleep(0.5 if short else 60.0)
    except Exception:  # noqa: BLE001 - the server is killed while it does all that
        pass
    finally:
        if call is not None:
            call.hang_up()


def _by_call(agent: Agent) -> dict[str, list[Frame]]:
    told: dict[str, list[Frame]] = {}
    for frame in agent.frames:
        if "seq" in frame:
            frame.pop("audio", None)  # Of a recording, for the connection alone.
            told.setdefault(frame["call_id"], []).append(frame)
    return told


async def _held_against(url: str, told: dict[str, list[Frame]], due_until: float) -> Found:
    found = Found(calls=len(told))
    async with httpx.AsyncClient(base_url=url, headers=BEARER, timeout=TIMEOUT_S) as http:
        listed = {call["call_id"]: call for call in (await http.get("/v1/calls?limit=1000")).json()["calls"]}
        for call_id, frames in told.items():
            log = await _log(http, call_id)
            _hold(call_id, frames, log, listed.get(call_id), due_until, found)
            if listed.get(call_id, {}).get("recording"):
                reply = await http.get(f"/v1/calls/{call_id}/recording")
                found.recordings += 1
                if reply.status_code != 200 or not reply.content.startswith(b"RIFF"):
                    found.faults.append(f"{call_id}: its recording cannot be played")
    return found


async def _log(http: httpx.AsyncClient, call_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while True:
        after = events[-1]["seq"] if events else 0
        reply = await http.get(f"/v1/calls/{call_id}/events?format=wire&after={after}&limit=1000")
        page = reply.json()
        if reply.status_code != 200 or not page["events"]:
            return events
        events += page["events"]


def _hold(
    call_id: str,
    frames: list[Frame],
    log: list[dict[str, Any]],
    shown: dict[str, Any] | None,
    due_until: float,
    found: Found,
) -> None:
    def fault(text: str) -> None:
        found.faults.append(f"{call_id}: {text}")

    due = [frame for frame in frames if frame["ts"] <= due_until]
    found.events += len(due)
    if not log:
        if due:
            fault(f"none of {len(due)} events is there")
        return
    if [event["seq"] for event in log] != list(range(1, len(log) + 1)):
        fault("its log has a hole")
    # What was added afterwards: its end and its recording, where it had not told of them itself.
    told_of = {frame["event"] for frame in frames}
    kept = [event for event in log if event["event"] in told_of or event["event"] not in ADDED]
    missing = frames[len(kept) :]
    if missing:
        found.newest_lost_ms = max(found.newest_lost_ms, (due_until - missing[0]["ts"]) * 1000)
    was_over = any(frame["event"] == "call.ended" for frame in due)
    found.ended += was_over
    for ours, theirs in zip(due, log, strict=False):
        if ours != theirs:
            fault(f"event {ours['seq']} ({ours['event']}) is not what the agent was told")
    if len(kept) < len(due):
        fault(f"{len(due) - len(kept)} events that were due are not there")
    ends = [event for event in log if event["event"] == "call.ended"]
    if len(ends) != 1:
        fault(f"it has {len(ends)} ends")
        return
    behind = {event["event"] for event in log[ends[0]["seq"] :]}
    if behind - {"call.recording"}:
        fault(f"behind its end there is {behind}")
    if shown is None or shown["state"] != "ended" or shown["reason"] != ends[0]["reason"]:
        fault(f"it is not listed as it ended: {shown}")
    if shown is not None and shown["recording"] and "call.recording" not in behind:
        fault("nothing is told of its recording")
    if not was_over and ends[0]["reason"] not in ("failed", "hangup"):
        fault(f"it ended for {ends[0]['reason']}")
