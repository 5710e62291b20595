"""The bot's own voice on the caller's line, and what else the ears tell of a voice: whole calls on virtual time."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from media.echo import Echo, EchoGuard
from media.frames import AudioFrame
from media.ports import VadWindow
from pipeline import turns
from pipeline.config import SessionConfig
from pipeline.endpointing import Endpointing
from pipeline.endpointing.evidence import Prosody
from pipeline.events import BotFinished, BotInterrupted, BotPaused, SpeechStarted, TurnEnd, UserMessage
from tests.fakes.leg import FRAME_S, FakeLeg
from tests.pipeline.test_session import Scene, call

COUNT = "one two three four five six seven eight nine ten eleven twelve"
DELAY_S = 0.12


class EchoingLeg(FakeLeg):
    """What is heard at the far end comes back, weaker."""

    async def echo(self, seconds: float) -> None:
        assert self.listener is not None
        for _ in range(round(seconds / FRAME_S)):
            self._next += FRAME_S
            await asyncio.sleep(self._next - self._loop.time())
            pcm = np.zeros(160, np.int16)
            first = self._next - FRAME_S - DELAY_S
            for stretch in self.stretches:
                at = round((first - stretch.at) * 8000)
                heard = stretch.pcm if stretch.heard < 0 else stretch.pcm[: stretch.heard]
                part = heard[max(0, at) : max(0, at + 160)]
                pcm[max(0, -at) : max(0, -at) + len(part)] = part * 0.5
            self.listener.on_audio(AudioFrame(pcm, 8000, self._position))
            self._position += 160


async def echoed(scene: Scene) -> None:
    scene.session.saying.reply("m1", COUNT, "")
    assert isinstance(scene.leg, EchoingLeg)
    await scene.leg.echo(6.0)


def test_the_bots_own_voice_is_no_speech_and_interrupts_nothing() -> None:
    scene = call(echoed, "one two three", leg=EchoingLeg)
    assert not scene.of(BotPaused)
    assert not scene.of(BotInterrupted)
    assert not scene.of(UserMessage)
    assert len(scene.of(SpeechStarted)) <= 1  # The first of it may be too short to be told from a voice.
    assert scene.of(BotFinished)


@pytest.mark.parametrize(("likeness", "turns_taken"), [(0.5, 0), (0.1, 1)])
def test_what_repeats_the_bot_and_may_be_its_echo_is_not_the_users(
    likeness: float, turns_taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EchoGuard, "judge", lambda *_: Echo(likeness, 100.0, -20.0, sure=False))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(2.5)
        await scene.leg.speak(0.5)
        await scene.leg.silence(6.0)

    scene = call(script, "four five six")
    assert len(scene.of(TurnEnd)) == turns_taken
    assert len(scene.of(BotInterrupted)) == turns_taken


@pytest.mark.parametrize(("mode", "told"), [("local", 1), ("silence", 0)])
def test_how_a_voice_sounded_is_told_where_that_counts(
    mode: str, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Prosody | None] = []
    receive = turns.TurnMachine.receive

    def spied(machine: turns.TurnMachine, event: turns.Input, now: float) -> list[turns.Output]:
        if isinstance(event, turns.Sounded):
            heard.append(event.prosody)
        return receive(machine, event, now)

    monkeypatch.setattr(turns.TurnMachine, "receive", spied)

    async def script(scene: Scene) -> None:
        await scene.leg.speak(1.0)
        await scene.leg.silence(2.0)

    call(script, "hello", config=SessionConfig(endpointing=Endpointing(mode)))  # type: ignore[arg-type]
    assert len(heard) == told
    assert all(isinstance(prosody, Prosody) for prosody in heard)


def test_a_streamed_message_may_be_one_that_must_be_heard() -> None:
    async def script(scene: Scene) -> None:
        scene.session.saying.stream_start("m1", "", interruptible=False)
        scene.session.saying.stream_chunk("m1", f"{COUNT}.")
        scene.session.saying.stream_end("m1")
        await scene.leg.silence(1.0)
        await scene.leg.speak(1.5)
        await scene.leg.silence(5.0)

    scene = call(script, "stop it now")
    assert not scene.of(BotPaused)
    assert scene.of(BotFinished)


@pytest.mark.parametrize(("rms", "pauses"), [(0.003, 0), (0.1, 1)])
def test_a_faint_voice_does_not_silence_the_bot(
    rms: float, pauses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fakes.vad.VadWindow", lambda p, start, end: VadWindow(p, start, end, rms))

    async def script(scene: Scene) -> None:
        scene.session.saying.reply("m1", COUNT, "")
        await scene.leg.silence(1.0)
        await scene.leg.speak(0.5)
        await scene.leg.silence(5.0)

    assert len(call(script, "").of(BotPaused)) == pauses
