"""What the fork server imports first: it must outlive a signal to the process group, as its workers do."""

from __future__ import annotations

from pipeline.workers import ignore_signals

ignore_signals()
