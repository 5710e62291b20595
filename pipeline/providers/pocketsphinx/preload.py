"""Imported by the fork server: loads the model, so that all workers share its memory.

An exception here would end the fork server or be swallowed by it, and nobody would learn why; so there is
none: each worker calls ``load`` itself, gets the loaded model or the same failure, and reports it.
"""

from __future__ import annotations

import contextlib

from pipeline.providers.pocketsphinx import model

with contextlib.suppress(Exception):
    model.load()
