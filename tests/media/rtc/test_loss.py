"""Speech through a network that loses and delays packets: what of it is heard, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from media import wav
from media.frames import Pcm
from media.resample import resample
from media.rtc.inbound import STEP, Conceal, Decode, Inbound, Output, Packet
from media.rtc.opus import Decoder, Encoder

CLIPS = Path(__file__).parents[3] / "examples" / "clips"
RATE = 16_000
FRAME = RATE // 50
NAMES = ("story", "repeat", "spell", "count")


@dataclass
class Heard:
    sent: Pcm
    """As it sounds without a network in between."""
    heard: Pcm
    inbound: Inbound
    copies: int
    """Packets that were made from the copy in the next one."""

    @property
    def distance_db(self) -> float:
        """Between the spectra of both, where there is speech (log-spectral distance)."""
        sent, heard = (_power(pcm) for pcm in (self.sent, self.heard))
        loud = sent.sum(axis=1) > 1e-3 * sent.sum(axis=1).max()
        apart = np.sqrt(np.mean((10 * np.log10((sent + 1e3) / (heard + 1e3))) ** 2, axis=1))
        return float(apart[loud].mean())


def _power(pcm: Pcm) -> npt.NDArray[np.float64]:
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME) * np.hanning(FRAME)
    return np.abs(np.fft.rfft(frames, axis=1)) ** 2


def spoken() -> Pcm:
    parts = [resample(*wav.read(CLIPS / f"{name}.wav"), RATE) for name in NAMES]
    pcm = np.concatenate(parts)
    return pcm[: len(pcm) // FRAME * FRAME]


SPOKEN = spoken()


def through(loss: float, jitter_s: float, *, copies: bool = True, seed: int = 1) -> Heard:
    rng = np.random.default_rng(seed)
    encoder, plain = Encoder(RATE), Decoder(RATE)
    packets = [encoder.encode(part) for part in SPOKEN.reshape(-1, FRAME)]
    sent = np.concatenate([plain.decode(packet) for packet in packets])
    arrivals = sorted(
        (number * 0.02 + rng.uniform(0, jitter_s), number)
        for number in range(len(packets))
        if number in (0, len(packets) - 1) or rng.random() >= loss
    )
    inbound, far = Inbound(), _Far(copies)
    for at, number in arrivals:
        while (due := inbound.deadline()) is not None and due <= at:
            far.hear(inbound.tick(due))
        far.hear(inbound.receive(Packet(1, number, number * STEP, STEP, packets[number]), at))
    far.hear(inbound.tick(len(packets) * 0.02 + 0.2))
    return Heard(sent, np.concatenate(far.parts)[: len(sent)], inbound, far.copies)


class _Far:
    def __init__(self, copies: bool) -> None:
        self._decoder = Decoder(RATE)
        self._takes_copies = copies
        self.parts: list[Pcm] = []
        self.copies = 0

    def hear(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Decode):
                self.parts.append(self._decoder.decode(output.payload))
            elif isinstance(output, Conceal):
                behind = output.behind if self._takes_copies else None
                self.copies += behind is not None
                self.parts.append(self._decoder.conceal(output.ticks // 3, behind))
            else:
                self.parts.append(np.zeros(output.ticks // 3, np.int16))


@pytest.mark.parametrize("jitter_s", [0.0, 0.02, 0.04])
def test_packets_that_come_irregularly_are_all_heard(jitter_s: float) -> None:
    result = through(0.0, jitter_s)
    assert (result.inbound.lost, result.inbound.late) == (0, 0)
    assert (result.heard == result.sent).all()


@pytest.mark.parametrize(("loss", "most_db"), [(0.05, 1.0), (0.1, 1.6), (0.2, 3.0)])
def test_lost_packets_are_made_from_their_copies(loss: float, most_db: float) -> None:
    result = through(loss, 0.04)
    assert len(result.heard) == len(result.sent), "each sample has its place"
    assert result.inbound.late == 0
    share = result.inbound.lost / STEP / (len(SPOKEN) / FRAME)
    assert abs(share - loss) < 0.05
    # Of several that are lost together only the last one has a copy.
    assert result.copies > 0.7 * result.inbound.lost / STEP
    assert result.distance_db < most_db
    assert result.distance_db < 0.8 * through(loss, 0.04, copies=False).distance_db, "than by making up alone"
