"""flite: CMU's small synthesiser for English, clearer than espeak, where the system has it installed."""

from pipeline.providers.flite.engine import FliteTts

__all__ = ["FliteTts"]
