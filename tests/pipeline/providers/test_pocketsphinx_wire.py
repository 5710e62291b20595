"""Engine and worker understand each other."""

from __future__ import annotations

import pytest

from pipeline.ports import SttWord
from pipeline.providers.pocketsphinx import wire

MEAN = tuple(n + 0.5 for n in range(13))
WORDS = (SttWord("na\u00efve", 0.0, 0.25, 0.5), SttWord("cat", 0.25, 0.5, 1.0))


@pytest.mark.parametrize(
    "message",
    [
        wire.Begin(1, 8000, (), None),
        wire.Begin(2**32 - 1, 16000, ("yes", "\u00e9"), MEAN),
        wire.Audio(3, b"\x00\x01\x02\x03"),
        wire.Audio(3, b""),
        wire.End(4),
        wire.Cancel(5),
    ],
)
def test_to_the_worker(message: wire.ToWorker) -> None:
    assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        wire.Ready(),
        wire.Failed("ImportError: no"),
        wire.Begun(7),
        wire.Partial(1, "caf\u00e9", 0.5),
        wire.Part(1, 16000, "a cat", 0.75, WORDS),
        wire.Final(1, "", 0.0, (), None),
        wire.Final(1, "a cat", 0.75, WORDS, MEAN),
        wire.Dropped((("x", "because"), ("y", "why not"))),
    ],
)
def test_from_the_worker(message: wire.FromWorker) -> None:
    assert wire.decode_answer(wire.encode_answer(message)) == message


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="kind of frame"):
        wire.decode(b"?\x00\x00\x00\x00")
    for frame in (b"{", b'["Nothing", {}]', b"[]", b'["Partial", {}]'):
        with pytest.raises((ValueError, KeyError, TypeError)):
            wire.decode_answer(frame)
