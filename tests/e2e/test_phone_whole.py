"""One phone call with every control in it: its event log line by line, and its recording sample by sample, against what
was said and heard at the far end."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.frames import Pcm
from media.g711 import ulaw_decode, ulaw_encode
from telephony.carriers.twilio.simulator import Clip, SimulatedCall
from tests.e2e.harness import CLIPS, Frame, in_order
from tests.e2e.phone import FROM, OTHER, TO, Phone, phone
from tests.e2e.test_openai import ENGINES
from tests.e2e.test_recording import decoded, stretches
from tests.fakes.openai_endpoint import Plan, endpoint
from tests.fakes.twilio import Callee

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

HELLO, TIME = (Clip.from_wav(CLIPS / f"{name}.wav") for name in ("hello", "time"))
RATE = 8000
NEAR_S = 0.04
"""Row 19 of the list: so far apart may the two sides be."""
CUT = 160
"""Samples that may be more or less of what was cleared: it is heard while we are told so."""
SAID = "this is what was said"

TOLD = """
call.ringing
call.started
recording.started 0
bot.speaking Hello, what can I do for you?
bot.finished
message.confirmed Hello, what can I do for you?
turn.started 1
speech.started 1
speech.ended 1
user.message this is what was said
turn.end 1
bot.speaking I see. One moment.
bot.finished
message.confirmed I see. One moment.
turn.completed 1
call.dtmf_received 5
call.held agent
user.mute_started held
turn.started 2
speech.started 2
speech.ended 2
user.mute_stopped held
call.unheld
call.muted agent
user.mute_started muted
speech.started 3
speech.ended 3
user.mute_stopped muted
call.unmuted this is what was said
call.held network
user.mute_started held
user.mute_stopped held
call.unheld
call.dtmf_sent 12#
speech.started 4
speech.ended 4
user.message this is what was said
turn.end 2
bot.speaking I try to put you through.
bot.finished
message.confirmed I try to put you through.
turn.completed 2
call.held network
user.mute_started held
call.forward_failed busy
user.mute_stopped held
call.unheld
bot.speaking Nobody is there. Goodbye.
bot.finished
message.confirmed Nobody is there. Goodbye.
call.ended client_hangup
call.recording stereo
"""
_SHOWN = {
    "recording.started": "at_ms",
    "bot.speaking": "text",
    "message.confirmed": "text",
    "turn.started": "turn_id",
    "turn.end": "turn_id",
    "turn.completed": "turn_id",
    "speech.started": "segment_id",
    "speech.ended": "segment_id",
    "user.message": "text",
    "call.dtmf_received": "digits",
    "call.dtmf_sent": "digits",
    "call.held": "by",
    "call.muted": "by",
    "call.unmuted": "muted_transcript",
    "user.mute_started": "reason",
    "user.mute_stopped": "reason",
    "call.forward_failed": "reason",
    "call.ended": "reason",
    "call.recording": "channels",
}
"""What of an event is held against the log above."""
_BESIDES = frozenset(
    """ack connected agent.created channel.added session.created session.ready agent.state bot.word bot.output
    tts.started tts.stopped user.speaking eager.turn turn.continued turn.pause turn.resumed turn.metrics""".split()
)
"""What comes beside the controls, and is tested elsewhere."""


async def _script(line: Phone) -> None:
    agent, call = line.agent, line.twilio.call(FROM, TO)
    await agent.wait("call.ringing")
    await agent.send("call.accept", call_id=call.sid, agent_id="tester")
    first = await call.stream()
    await agent.wait("bot.finished")
    first.say(HELLO)
    turn = await agent.wait("turn.end")
    await line.says(
        "bot.reply", call.sid, message_id="m1", text="I see. One moment.", in_reply_to=turn["message_id"]
    )
    await agent.wait("turn.completed")
    first.dtmf("5")
    await agent.wait("call.dtmf_received")
    await line.says("call.hold", call.sid)
    await first.bot_speaking()  # The music.
    await first.say(TIME).finished()
    await agent.wait("speech.ended", segment_id=2)
    await asyncio.sleep(0.3)
    await line.says("call.unhold", call.sid)
    await asyncio.sleep(0.3)
    await line.says("call.mute", call.sid)
    await first.say(HELLO).finished()
    await agent.wait("speech.ended", segment_id=3)
    await asyncio.sleep(0.3)
    await line.says("call.unmute", call.sid)
    await agent.wait("call.unmuted")
    await line.says("call.dtmf", call.sid, digits="12#")
    await agent.wait("call.dtmf_sent")
    (await call.stream(2)).say(HELLO)
    await agent.wait("turn.end", turn_id=2)
    line.twilio.callees[OTHER] = Callee("busy", ring_after_s=0.2, answer_after_s=0.2)
    await line.says("call.forward", call.sid, to=OTHER, message="I try to put you through.")
    await agent.wait("call.unheld", 3)
    await line.says("bot.reply", call.sid, message_id="m2", text="Nobody is there. Goodbye.", in_reply_to="")
    await agent.wait("message.confirmed", message_id="m2")
    await line.says("call.hangup", call.sid)
    await agent.wait("call.recording")
    assert call.digits == ["12#"]
    assert call.dialled == [(OTHER, "busy")]


async def test_row_19_recording_of_a_call_with_every_control(tmp_path: Path) -> None:
    config: dict[str, Any] = {"greeting": "Hello, what can I do for you?", "recording": True}
    async with endpoint(stt_ms=50) as service:
        engines = {**ENGINES, "tts": ("espeak",), "llm": ("none",), "openai_base_url": service.base_url}
        service.stt.plan = Plan(text=SAID)
        async with phone(tmp_path, ringing=True, config=config, **engines) as line:
            await _script(line)
            (call,) = line.twilio.calls.values()
            epoch = line.server.services.clock.epoch
            frames = line.agent.frames
    in_order(frames)
    (kept,) = [frame for frame in frames if frame["event"] == "call.recording"]
    _log(frames)
    ours = decoded(base64.b64decode(kept["audio"]), RATE)
    assert len(ours) == pytest.approx(kept["duration_ms"] * RATE / 1000, abs=RATE / 1000)
    began = kept["started_at"]
    held = [stream for stream in call.streams if stream.end is not None]
    _left(ours[:, 0], held, began, epoch)
    _right(ours[:, 1], held, began, epoch)
    _together(ours, frames, began)


def _log(frames: Sequence[Frame]) -> None:
    told = []
    for frame in frames:
        name = frame["event"]
        if name not in _BESIDES:
            told.append(f"{name} {frame[_SHOWN[name]]}" if name in _SHOWN else name)
    assert told == TOLD.strip().splitlines()
    assert not [frame for frame in frames if frame.get("aborted")]
    (ended,) = [frame for frame in frames if frame["event"] == "call.ended"]
    assert [(message["role"], message["content"]) for message in ended["messages"]] == [
        ("assistant", "Hello, what can I do for you?"),
        ("user", SAID),
        ("assistant", "I see. One moment."),
        ("user", SAID),
        ("assistant", "I try to put you through."),
        ("assistant", "Nobody is there. Goodbye."),
    ]


Epoch = Callable[[float], float]


def _left(left: Pcm, streams: Sequence[SimulatedCall], began: float, epoch: Epoch) -> None:
    """What the caller said is there to the sample, on hold and muted as well, and nothing else."""
    rest = left.copy()
    for stream in streams:
        for speech in stream.speeches:
            assert speech.start_sample is not None
            pcm = ulaw_decode(speech.clip.ulaw)
            place = _found(left, pcm, (epoch(speech.start_s) - began) * RATE)
            rest[place : place + len(pcm)] = 0
    assert not rest.any()


def _right(right: Pcm, streams: Sequence[SimulatedCall], began: float, epoch: Epoch) -> None:
    """What the caller heard is there to the sample, the music, too, and nothing else."""
    # The line makes mu-law of it.
    heard = ulaw_decode(ulaw_encode(right))
    rest, runs = heard.copy(), 0
    for stream in streams:
        for run in stream.playback.stretches:
            pcm = ulaw_decode(bytes(run.ulaw[: run.heard]))
            if not np.abs(pcm.astype(int)).max(initial=0):
                continue
            runs += 1
            sure = pcm[: max(CUT, len(pcm) - CUT)]
            place = _found(heard, sure, (epoch(run.start_s) - began) * RATE)
            rest[place : place + len(pcm) + CUT] = 0
    assert runs >= 4
    assert not np.abs(rest.astype(int)).max() > 8


def _found(side: Pcm, pcm: Pcm, expected: float) -> int:
    """Where exactly these samples are; it must be near to where they are expected."""
    near = round(NEAR_S * RATE)
    for place in sorted(range(-near, near + 1), key=abs):
        first = max(0, round(expected) + place)
        if np.array_equal(side[first : first + len(pcm)], pcm[: max(0, len(side) - first)]):
            return first
    raise AssertionError(f"{len(pcm)} samples are not within {NEAR_S:g} s of {expected / RATE:.3f} s")


def _together(ours: Pcm, frames: Sequence[Frame], began: float) -> None:
    """The file as the log tells it."""

    def at(frame: Frame, key: str = "ts") -> float:
        return float(frame[key]) - began

    def of(name: str) -> list[Frame]:
        return [frame for frame in frames if frame["event"] == name]

    said = stretches(ours[:, 0], RATE)
    assert [first for first, _ in said] == pytest.approx(
        [at(frame, "timestamp") for frame in of("speech.started")], abs=0.1
    )
    spans = [
        (at(held), at(back), held["by"])
        for held, back in zip(of("call.held"), of("call.unheld"), strict=True)
    ]
    assert [by for _, _, by in spans] == ["agent", "network", "network"]
    for begin, end, by in spans:
        both = ours[round((begin + 0.1) * RATE) : round((end - 0.02) * RATE)]
        if by == "network":
            assert not both.any()
        else:
            # Music all the time, and the caller who speaks into it.
            seconds = np.abs(both[:, 1].astype(int))[: len(both) // 2000 * 2000].reshape(-1, 2000).max(axis=1)
            assert (seconds > 300).all()
            assert both[:, 0].any()
    heard = stretches(ours[:, 1], RATE)
    for speaking, finished in zip(of("bot.speaking"), of("bot.finished"), strict=True):
        first, last = min(heard, key=lambda span: abs(span[0] - at(speaking)))
        assert first == pytest.approx(at(speaking), abs=0.1)
        if speaking["message_id"] != "m1":  # Behind that the music begins at once.
            assert last - first == pytest.approx(finished["duration_ms"] / 1000, abs=0.15)
