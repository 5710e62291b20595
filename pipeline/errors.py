"""The faults of the pipeline.

::

    PipelineError               code, retryable
     +- ProviderError           theirs: an engine failed; says which and whether it is worth another try
     |   +- ProviderBusy        its bounded pool was full for longer than the queue allows
     |   +- ProviderTimeout     it gave nothing for longer than its stage may take
     |   +- ProviderUnavailable it is not installed, not configured, or did not start
     +- IllegalTransition       ours: the turn machine was told what cannot happen
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of all faults that this package raises on purpose."""

    code = "PIPELINE_ERROR"
    retryable = False


class ProviderError(PipelineError):
    """An engine failed. Not our bug and not the caller's doing."""

    code = "PROVIDER_ERROR"
    retryable = True

    def __init__(self, provider: str, stage: str, cause: str, *, retryable: bool | None = None) -> None:
        super().__init__(f"{provider} ({stage}): {cause}")
        if retryable is not None:
            self.retryable = retryable
        self.provider = provider
        self.stage = stage
        """``stt``, ``tts``, ``llm``, ``vad`` or ``turn``."""
        self.cause = cause
        self.retry_after_s: float | None = None
        """How long it wants to be left alone, where it says so."""


class ProviderBusy(ProviderError):
    """All workers stayed taken for longer than an utterance may queue."""

    @property
    def code(self) -> str:  # type: ignore[override]
        return f"{self.stage.upper()}_BUSY"


class ProviderTimeout(ProviderError):
    """Nothing came within the deadline of the stage."""

    code = "PROVIDER_TIMEOUT"


class ProviderUnavailable(ProviderError):
    """The engine cannot be used as it is configured: not installed, not started, its key refused. Trying again
    will not help until somebody changes that."""

    code = "PROVIDER_UNAVAILABLE"
    retryable = False


class IllegalTransition(PipelineError):
    """Our own bug: no row of the table answers this event in this state."""

    code = "INTERNAL_ERROR"

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"no transition from {state} on {event!r}")
        self.state = state
        self.event = event
