"""Speech to text by pocketsphinx: embedded, English, poor on free speech and good on expected phrases.

``docs/recognition.md`` holds what was measured.
"""

from pipeline.providers.pocketsphinx.engine import PocketsphinxStt

__all__ = ["PocketsphinxStt"]
