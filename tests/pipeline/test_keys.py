"""Keys: what was pressed so far, and what of a tone may be listened to."""

from __future__ import annotations

import numpy as np

from media.frames import AudioFrame
from pipeline.events import DigitReceived
from pipeline.keys import MAX_KEYS, TONE_MS, Keys

RATE = 8000
FRAME = 160


def loud(start: int) -> AudioFrame:
    return AudioFrame(np.full(FRAME, 1000, dtype=np.int16), RATE, start)


def test_digits_are_all_so_far() -> None:
    keys = Keys(RATE)
    assert keys.pressed("1", 0) == DigitReceived("1", "1")
    assert keys.pressed("#", 10) == DigitReceived("#", "1#")
    told = [keys.pressed("9", 20).digits for _ in range(MAX_KEYS)]
    assert told[-1] == "9" * MAX_KEYS


def test_a_frame_without_a_key_is_the_same_frame() -> None:
    frame = loud(0)
    assert Keys(RATE).without_tone(frame) is frame


def test_a_tone_is_silence_for_its_time_to_the_sample_and_the_frame_stays_as_it_came() -> None:
    keys = Keys(RATE)
    keys.pressed("5", 100)
    frames = [loud(start) for start in range(100, 100 + 10 * FRAME, FRAME)]
    heard = np.concatenate([keys.without_tone(frame).pcm for frame in frames])
    silent = RATE * TONE_MS // 1000
    assert not heard[:silent].any()
    assert (heard[silent:] == 1000).all()
    assert all((frame.pcm == 1000).all() for frame in frames)
