"""Which mu-law bytes can be heard, found without decoding: a load generator looks at every byte it plays."""

from __future__ import annotations

from typing import Final

import numpy as np

from media.g711 import ulaw_decode

LOUD_AMPLITUDE: Final = 330
"""Linear 16-bit samples beyond this can be heard: 40 dB below full scale."""

_DECODED = np.abs(ulaw_decode(bytes(range(256))).astype(np.int32))
QUIET_CODES: Final = bytes(code for code in range(256) if _DECODED[code] <= LOUD_AMPLITUDE)


def loud_bounds(ulaw: bytes) -> tuple[int, int] | None:
    """The first loud sample and one past the last; None where all is quiet."""
    first = len(ulaw) - len(ulaw.lstrip(QUIET_CODES))
    if first == len(ulaw):
        return None
    return first, len(ulaw.rstrip(QUIET_CODES))
