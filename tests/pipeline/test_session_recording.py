"""The recording of a whole call, held against what the far end heard, to the sample, and against what was told (T6)."""

from __future__ import annotations

import asyncio
import random
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.beep import LENGTH_MS, beep
from media.frames import AudioFrame, Pcm
from media.music import HoldMusic
from media.recorder import Recorder
from media.recordfile import WavFile
from media.recording import StereoTimeline
from pipeline.config import SessionConfig
from pipeline.events import (
    BotFinished,
    BotInterrupted,
    BotSpeaking,
    BotWord,
    EndReason,
    MessageConfirmed,
    RecordingAnnounced,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
    SpeechEnded,
    SpeechStarted,
)
from tests.fakes.conversation import WeakLeg, converse
from tests.fakes.leg import FRAME_S, FakeLeg
from tests.fakes.writer import Writer
from tests.pipeline.test_session import PLAIN, Scene, call

pytestmark = pytest.mark.inline_io

RATE = 8000
NEAR = RATE // 50
"""20 ms."""
LOUD = 1000
MUSIC = HoldMusic()
LONG = "one two three four five six seven eight nine ten"


class Line(FakeLeg):
    """A caller of whom no two samples that are near each other are the same; each frame may come late, and marks be
    lost."""

    late_s = 0.0
    lost = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rng = random.Random(1)
        self.said: list[Pcm] = []

    async def speak(self, seconds: float, level: int = 8000) -> None:
        assert self.listener is not None
        for _ in range(round(seconds / FRAME_S)):
            self._next += FRAME_S
            late_s = self.late_s * self.rng.random()
            await asyncio.sleep(max(0.0, self._next + late_s - self._loop.time()))
            pcm = np.array([self.rng.randint(1, 99) for _ in range(160)], np.int16)
            if level:
                pcm = (pcm * 100).astype(np.int16)
                pcm[::2] *= -1
            self.said.append(pcm)
            self.listener.on_audio(AudioFrame(pcm, RATE, self._position))
            self._position += 160

    def skip(self, seconds: float) -> None:
        """Nothing comes from the caller for so long."""
        self.said.append(np.zeros(round(seconds * RATE), np.int16))
        self._position += round(seconds * RATE)
        self._next += seconds

    def mark(self, name: str) -> None:
        if self.rng.random() >= self.lost:
            super().mark(name)

    def left(self) -> Pcm:
        return np.concatenate(self.said)

    def right(self) -> Pcm:
        """What the ear got, on the clock of what the caller says."""
        out = np.zeros(sum(map(len, self.said)) + 10 * RATE, np.int16)
        for stretch in self.stretches:
            heard = stretch.pcm if stretch.heard < 0 else stretch.pcm[: stretch.heard]
            at = round((stretch.at - 1000.0) * RATE)
            out[at : at + len(heard)] = heard
        return out[: len(out) - 10 * RATE]


def jittery(late_s: float = 0.0, lost: float = 0.0) -> Callable[[], FakeLeg]:
    def made() -> FakeLeg:
        line = Line()
        line.late_s, line.lost = late_s, lost
        return line

    return made


def recorded(
    tmp_path: Path,
    script: Callable[[Scene], object],
    *texts: str,
    leg: Callable[[], FakeLeg] = Line,
    music: HoldMusic | None = None,
    **config: object,
) -> tuple[Scene, Line, Pcm, Pcm]:
    """Play a script; returns what the caller said and heard according to the file as well."""
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)

    async def whole(scene: Scene) -> None:
        await script(scene)  # type: ignore[misc]
        scene.session.end(EndReason.HANGUP, "enough")
        await recorder.aclose()

    made = SessionConfig(endpointing=PLAIN, **config)  # type: ignore[arg-type]
    scene = call(whole, *texts, leg=leg, config=made, recorder=recorder, music=music)
    with wave.open(str(tmp_path / "call.wav")) as file:
        stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    line = scene.leg
    assert isinstance(line, Line)
    return scene, line, stereo[:, 0], stereo[:, 1]


def runs(side: Pcm) -> list[tuple[int, int]]:
    """Where it sounds, with no silence of 300 ms in it: first sample, and one past the last."""
    places = np.flatnonzero(np.abs(side.astype(int)) > LOUD)
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > RATE * 3 // 10)
    firsts, lasts = [places[0], *places[cuts + 1]], [*places[cuts], places[-1]]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]


def near(ours: Pcm, truth: Pcm, within: int = NEAR) -> None:
    """Each stretch of it lies where it was heard, but for 20 ms, and is the same, but for 20 ms at a cut."""
    found, wanted = runs(ours), runs(truth)
    assert len(found) == len(wanted)
    for (first, last), (begin, end) in zip(found, wanted, strict=True):
        assert abs(first - begin) <= within
        assert abs(last - end) <= within
        size = min(last - first, end - begin)
        assert np.array_equal(ours[first : first + size], truth[begin : begin + size])


async def conversation(scene: Scene) -> None:
    leg, session = scene.leg, scene.session
    await leg.silence(1.2)
    await leg.speak(1.3)  # Cuts the greeting off.
    await leg.silence(1.5)
    session.saying.reply("m1", LONG, session.saying.reply_to)
    await leg.silence(2.5)
    await leg.speak(1.4)  # And the answer.
    await leg.silence(1.5)
    session.saying.reply("m2", "to be continued later on", session.saying.reply_to)
    await leg.silence(0.7)
    session.hold()
    await leg.silence(2.0)
    session.unhold()
    await leg.silence(2.0)


@pytest.mark.parametrize(
    ("late_s", "lost"), [(0.0, 0.0), (0.08, 0.0), (0.0, 0.3)], ids=["even", "jitter", "lost marks"]
)
def test_both_sides_are_where_they_were_said_and_heard(tmp_path: Path, late_s: float, lost: float) -> None:
    scene, line, left, right = recorded(
        tmp_path,
        conversation,
        "wait a moment please",
        "not that one I mean",
        leg=jittery(late_s, lost),
        music=MUSIC,
        greeting=LONG,
    )
    assert scene.of(BotInterrupted)
    assert np.array_equal(left, line.left())
    truth = line.right()
    assert len(runs(truth)) >= 4
    # A lost mark: where the bot was cut off meanwhile, less of it counts as heard.
    near(right, truth, NEAR if not lost else RATE // 4)


def test_the_file_fits_what_was_told(tmp_path: Path) -> None:
    scene, _, left, right = recorded(
        tmp_path, conversation, "wait a moment please", "not that one I mean", greeting=LONG
    )
    zero = scene.session.taping.began_at - 1000.0
    assert zero == pytest.approx(0.0, abs=0.001)

    spoken = [first / RATE for first, _ in runs(right)]
    begun = [now - zero for now, event in scene.log if isinstance(event, BotSpeaking)]
    for at in begun:
        assert min(abs(at - first) for first in spoken) <= 0.02
    words = {
        (event.message_id, event.word_index): now - zero
        for now, event in scene.log
        if isinstance(event, BotWord)
    }
    for at in words.values():
        place = round(at * RATE)
        window = right[max(0, place - NEAR) : place + 2 * NEAR]
        assert np.abs(window).max() > LOUD, f"a word at {at:.3f} s"
    # What was cut off is not there: no more of it than was told.
    told_ms = [e.played_ms for e in scene.of(BotInterrupted)] + [e.duration_ms for e in scene.of(BotFinished)]
    heard_ms = sum(last - first for first, last in runs(right)) * 1000 / RATE
    assert heard_ms == pytest.approx(sum(told_ms), abs=20 * len(told_ms) + 40 * len(runs(right)))

    said = [(first / RATE, last / RATE) for first, last in runs(left)]
    starts = [event.at - 1000.0 - zero for event in scene.of(SpeechStarted)]
    ends = [event.at - 1000.0 - zero for event in scene.of(SpeechEnded)]
    assert starts == pytest.approx(
        [first for first, _ in said], abs=0.032 + 0.001
    )  # A window of the detector.
    assert ends == pytest.approx([last for _, last in said], abs=0.032 + 0.001)


def test_a_pause_is_silent_and_all_else_stands_where_it_was(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        leg, taping = scene.leg, scene.session.taping
        await leg.speak(0.6)
        await leg.silence(1.5)
        scene.session.saying.reply("m1", LONG, "")
        await leg.silence(1.0)
        assert taping.pause()
        assert taping.pause()  # Twice is once.
        await leg.silence(0.8)
        assert taping.resume()
        assert taping.resume()
        await leg.silence(2.0)
        taping.pause()
        await leg.speak(0.8)
        await leg.silence(0.5)
        taping.resume()
        await leg.speak(0.5)
        await leg.silence(1.0)

    scene, line, left, right = recorded(tmp_path, script, "hello", "my card is", "that is all")
    (first, second), (third, fourth) = zip(
        [event.at_ms for event in scene.of(RecordingPaused)],
        [event.at_ms for event in scene.of(RecordingResumed)],
        strict=True,
    )
    assert second - first == pytest.approx(800, abs=20)
    wanted_left, wanted_right = line.left(), line.right()
    for begin, end in ((first, second), (third, fourth)):
        wanted_left[begin * 8 : end * 8] = 0
        wanted_right[begin * 8 : end * 8] = 0
    assert np.array_equal(left, wanted_left)
    # Where the pause cuts a word the two may differ for as long as the bot may stand apart.
    apart = np.flatnonzero(right != wanted_right)
    assert len(runs(right)) == len(runs(wanted_right))
    assert not right[first * 8 : second * 8].any()
    assert len(apart) <= 2 * NEAR
    # All else goes on.
    assert [event.text for event in scene.of(MessageConfirmed)] == [LONG]


def test_the_caller_is_told_first_and_cannot_interrupt_that(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.3)
        scene.session.saying.reply("m1", "and now to you", "")
        await scene.leg.speak(1.4)
        await scene.leg.silence(6.0)

    scene, line, _, right = recorded(
        tmp_path, script, "who is there", greeting="Hello there.", consent="This call is recorded."
    )
    names = scene.names()
    assert names[:3] == ["CallStarted", "AgentState", "RecordingStarted"]
    assert scene.of(RecordingStarted) == [RecordingStarted(0, "wav", "stereo", "spoken")]
    first = scene.of(BotSpeaking)[0]
    assert first.text == "This call is recorded."
    (told,) = scene.of(RecordingAnnounced)
    assert (told.consent, told.text) == ("spoken", "This call is recorded.")
    done = next(
        now for now, e in scene.log if isinstance(e, BotFinished) and e.message_id == first.message_id
    )
    assert scene.at(RecordingAnnounced) == done
    assert told.at_ms == pytest.approx(done * 1000, abs=25)
    near(right, line.right())


def test_an_announcement_that_nobody_hears_to_its_end_is_not_told(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.5)

    scene, *_ = recorded(tmp_path, script, consent="This call is recorded.")
    assert scene.of(RecordingStarted)
    assert not scene.of(RecordingAnnounced)


def test_a_tone_is_heard_before_anything_else(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(3.0)

    scene, line, _, right = recorded(tmp_path, script, greeting="Hello there.", consent="tone")
    tone = beep(RATE)
    assert np.array_equal(line.right()[: len(tone)], tone)
    assert np.array_equal(right[: len(tone)], tone)
    (told,) = scene.of(RecordingAnnounced)
    assert (told.consent, told.text) == ("tone", "")
    assert told.at_ms == pytest.approx(LENGTH_MS, abs=25)
    assert scene.at(BotSpeaking) == pytest.approx(LENGTH_MS / 1000, abs=0.03)
    assert [event.text for event in scene.of(MessageConfirmed)] == ["Hello there."]


def test_a_tone_that_is_held_in_its_middle_is_heard_anew(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.leg.silence(0.2)
        scene.session.hold()
        await scene.leg.silence(0.1)
        scene.session.unhold()
        await scene.leg.silence(3.0)

    scene, line, _, _ = recorded(tmp_path, script, music=MUSIC, greeting="Hello there.", consent="tone")
    (told,) = scene.of(RecordingAnnounced)
    assert told.at_ms >= 300 + LENGTH_MS - 20
    tone = beep(RATE)
    assert np.array_equal(line.right()[300 * 8 :][: len(tone)], tone)
    assert [event.text for event in scene.of(MessageConfirmed)] == ["Hello there."]


def test_a_recording_begun_in_the_middle_is_silent_before(tmp_path: Path) -> None:
    recorder = Recorder(WavFile(tmp_path / "call.wav", RATE), RATE, Writer(), pytest.fail)
    consent = "tone"

    async def script(scene: Scene) -> None:
        assert not scene.session.taping.pause()
        assert not scene.session.taping.resume()
        await scene.leg.speak(0.5)
        await scene.leg.silence(1.0)
        scene.session.saying.reply("m1", "one two three four", "")
        await scene.leg.silence(0.6)
        scene.session.record(recorder)
        scene.session.record(recorder)
        await scene.leg.silence(3.0)
        scene.session.end(EndReason.HANGUP, "enough")
        await recorder.aclose()

    scene = call(script, "hi", leg=Line, config=SessionConfig(endpointing=PLAIN, consent=consent))
    with wave.open(str(tmp_path / "call.wav")) as file:
        stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    (started,) = scene.of(RecordingStarted)
    assert started.at_ms == 2100
    line = scene.leg
    assert isinstance(line, Line)
    wanted = line.left()
    wanted[: 2100 * 8] = 0
    assert np.array_equal(stereo[:, 0], wanted)
    # Of the bot that which was under way by then is missing; the tone waits until it has said what it was saying.
    (finished,) = [now for now, event in scene.log if isinstance(event, BotFinished)]
    heard = np.flatnonzero(np.abs(stereo[:, 1].astype(int)) > LOUD)
    assert 2100 * 8 <= heard[0] <= 2450 * 8
    tones = [run for run in runs(stereo[:, 1]) if run[0] / RATE >= finished - 0.05]
    assert scene.at(RecordingAnnounced) >= finished + LENGTH_MS / 1000 - 0.05
    assert tones or runs(stereo[:, 1])[-1][1] / RATE >= finished + LENGTH_MS / 1000 - 0.05


class Tape:
    """Keeps what it is given of the bot, as a recorder does."""

    def __init__(self) -> None:
        self.timeline = StereoTimeline(RATE, 600_000)

    def caller(self, start: int, pcm: Pcm) -> None:
        self.timeline.caller(start, pcm)

    def bot(self, at: int, pcm: Pcm) -> None:
        self.timeline.bot(at, pcm)

    def right(self) -> Pcm:
        return self.timeline.take(self.timeline.end)[1][1::2]


def told_well(seed: int) -> bool:
    """On a line that loses marks, or is slow with them, nobody can know so well what was heard."""
    rng = random.Random(seed)  # As ``converse`` draws its line.
    return rng.choice((FakeLeg, WeakLeg)) is FakeLeg and rng.choice((0.0, 0.04, 0.3)) < 0.05


def test_what_was_heard_while_nothing_came_from_the_caller_stands_where_it_was_heard(tmp_path: Path) -> None:
    """As when a carrier opens the stream anew behind a message, and the bot goes on before the first frame."""

    async def script(scene: Scene) -> None:
        line = scene.leg
        assert isinstance(line, Line)
        await line.silence(2.0)
        scene.session.saying.reply("m1", "one two three", "")
        while not scene.of(BotSpeaking):
            await line.silence(0.02)
        line.skip(3.0)
        await asyncio.sleep(2.5)
        assert scene.of(BotFinished)
        scene.session.saying.reply("m2", "four five six", "")
        await asyncio.sleep(0.5)
        await line.silence(2.0)

    _, line, left, right = recorded(tmp_path, script)
    assert np.array_equal(left, line.left())
    assert len(runs(right)) == 2
    near(right, line.right())


@pytest.mark.parametrize("seed", [seed for seed in range(150) if told_well(seed)])
def test_whatever_happens_the_bot_is_kept_as_it_was_heard(seed: int) -> None:
    """Messages that are paused, cut off, taken up again and replaced by music, in conversations that nobody would
    script."""
    tape = Tape()
    leg = converse(seed, tape).leg
    assert not isinstance(leg, WeakLeg)
    ours = tape.right()
    truth = np.zeros(len(ours) + 60 * RATE, np.int16)
    for stretch in leg.stretches:
        heard = stretch.pcm if stretch.heard < 0 else stretch.pcm[: stretch.heard]
        at = round((stretch.at - 1000.0) * RATE)
        truth[at : at + len(heard)] = heard
    loud = np.abs(ours.astype(int)) > LOUD
    wanted = np.abs(truth[: len(ours)].astype(int)) > LOUD
    around = np.ones(2 * NEAR + 1)
    elsewhere = np.flatnonzero(loud & ~(np.convolve(wanted, around, "same") > 0.5))
    assert not len(elsewhere), f"at {elsewhere[0] / RATE:.3f} s something that was not heard there"
    missing = np.flatnonzero(wanted & ~(np.convolve(loud, around, "same") > 0.5))
    assert not len(missing), f"at {missing[0] / RATE:.3f} s something is missing"
