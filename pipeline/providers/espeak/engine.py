"""The espeak-ng engine as the server sees it."""

from __future__ import annotations

from pipeline.providers.espeak import worker
from pipeline.synthesis.engine import WorkerTts


class EspeakTts(WorkerTts):
    """Text to speech with word times, in one worker process for all calls.

    ``TtsRequest.language`` is a BCP-47 tag; ``TtsRequest.voice`` one of espeak's languages (``en-gb``), one
    of its speakers (``f3``), or both (``en-gb+f3``). Starts in a tenth of a second.
    """

    def __init__(self, *, max_waiting: int = 64) -> None:
        super().__init__("espeak", worker.main, max_waiting=max_waiting)
