"""espeak-ng: a small formant synthesiser of about 120 languages, from the package ``espeakng-loader``.

The library is GPL-3+, so it is only ever loaded in the worker process. Nothing here imports it.
"""

from pipeline.providers.espeak.engine import EspeakTts

__all__ = ["EspeakTts"]
