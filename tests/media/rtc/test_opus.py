"""libopus, called by hand."""

from __future__ import annotations

import numpy as np
import pytest

from media.rtc.opus import Decoder, Encoder, OpusError, duration

RATE = 16_000


def tone(ms: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    t = np.arange(RATE * ms // 1000) / RATE
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


def rms(pcm: np.ndarray[tuple[int], np.dtype[np.int16]]) -> float:
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))


def test_a_tone_comes_back_and_takes_what_speech_takes() -> None:
    encoder, decoder = Encoder(RATE), Decoder(RATE)
    packets = [encoder.encode(part) for part in tone(1000).reshape(-1, encoder.frame)]
    heard = np.concatenate([decoder.decode(packet) for packet in packets])
    assert len(heard) == RATE
    assert abs(rms(heard[RATE // 5 :]) - 5657) < 300
    assert sum(map(len, packets)) * 8 < 45_000
    assert {duration(packet, 48_000) for packet in packets} == {960}
    encoder.close()
    encoder.close()
    decoder.close()
    decoder.close()


def test_lasting_silence_need_not_be_sent() -> None:
    encoder = Encoder(RATE)
    sizes = [len(encoder.encode(np.zeros(encoder.frame, dtype=np.int16))) for _ in range(20)]
    assert sizes[-1] <= 2


@pytest.mark.parametrize("samples", [0, 160, 321])
def test_a_packet_has_twenty_milliseconds(samples: int) -> None:
    with pytest.raises(OpusError, match="320 samples"):
        Encoder(RATE).encode(np.zeros(samples, dtype=np.int16))


def test_what_was_decoded_stays_as_it_was() -> None:
    encoder, decoder = Encoder(RATE), Decoder(RATE)
    packets = [encoder.encode(part) for part in tone(100).reshape(-1, encoder.frame)]
    first = decoder.decode(packets[0])
    kept = first.copy()
    decoder.decode(packets[1])
    assert (first == kept).all()


def test_a_lost_packet_is_made_up_and_fades() -> None:
    encoder, decoder = Encoder(RATE), Decoder(RATE)
    packets = [encoder.encode(part) for part in tone(400).reshape(-1, encoder.frame)]
    for packet in packets[:10]:
        decoder.decode(packet)
    assert rms(decoder.conceal(320, packets[11])) > 2000
    decoder.decode(packets[11])
    made_up = [rms(decoder.conceal(320)) for _ in range(20)]
    assert made_up[0] > 2000
    assert made_up[-1] < 500


@pytest.mark.parametrize("bad", [b"", b"\xff\xff\xff"])
def test_what_is_no_packet_is_refused(bad: bytes) -> None:
    with pytest.raises(OpusError):
        duration(bad, 48_000)
