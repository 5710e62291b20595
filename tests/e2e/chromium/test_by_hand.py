"""The wire by hand, as docs/browser.md describes it, and a microphone of the browser's own, in a page of a real
browser: with speech, and with people's."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from media import wav
from tests.e2e.browser import token
from tests.e2e.chromium.harness import BLANK, chromium, tab
from tests.e2e.harness import CLIPS, Frame, in_order, registered, reply, running
from tests.pipeline.providers.test_pocketsphinx_speech import SPEECH

pytestmark = [pytest.mark.e2e, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

HINTS = {"phrases": ["can you tell me the time", "what day is it", "go forward ten meters"]}
SAID = [
    pytest.param(CLIPS / "time.wav", "time", id="synthetic"),
    pytest.param(SPEECH / "goforward.wav", "forward", id="human", marks=pytest.mark.speech),
]


@pytest.fixture
def device(tmp_path: Path, recording: Path) -> str:
    """What the browser captures: silence, speech and silence, again and again. A busy machine may capture it badly."""
    if not recording.exists():
        pytest.skip(f"the recording {recording.name} is not here: it belongs into {SPEECH}")
    pcm, rate_hz = wav.read(recording)
    path = tmp_path / "spoken.wav"
    silence = np.zeros(2 * rate_hz, np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(np.concatenate([silence, pcm, silence]).tobytes())
    return f"--use-file-for-fake-audio-capture={path}"


@pytest.mark.parametrize(("recording", "word"), SAID)
async def test_a_microphone_is_heard_and_answered(tmp_path: Path, device: str, word: str) -> None:
    async with (
        chromium(device) as browser,
        running(tmp_path, stt=("pocketsphinx",)) as server,
        registered(server.ws, greeting="Hello there.", stt=HINTS) as agent,
        tab(browser, f"{server.url}/page", html=BLANK, script="window.labRealMicrophone = true") as page,
    ):
        agent.on["turn.end"] = reply("It is ten past eight.")
        answer = await page.call(server.url, token=await token(server))
        assert answer["status"] == 200, answer
        message: Frame = await page.until(
            "word => lab.frames.find(({ event, text }) => event === 'user.message' && text.includes(word))",
            word,
        )
        finished: Frame = await page.until(
            "at => lab.frames.find((frame) => frame.event === 'bot.finished' && frame.at > at)", message["at"]
        )
        await page.quiet()
        (start, end) = (await page.heard()).since(message["at"]).until(finished["at"] + 1000).whole
        assert abs(end - start - finished["duration_ms"]) < 500
        assert page.errors == []
        in_order(agent.frames)
