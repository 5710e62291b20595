"""What of a chat request an endpoint takes: learnt from its refusals, model by model. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pipeline.ports import LlmRequest
from pipeline.providers.openai.wire import Refusal, refuses_body, refuses_tools, tool, unknown_field

_EFFORTS = ("none", "minimal", "low")
"""A caller waits: as little is pondered as the model lets one choose. None of them fits all models."""
_PONDERS = re.compile(r"(gpt-[5-9]|o\d)")
"""Names of the hosted models that can be told so."""
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one model wants to be asked."""

    limit: str
    """The name of the field that bounds the answer."""
    efforts: tuple[str, ...] = ()
    """What to try as ``reasoning_effort``, the best first."""
    left_out: frozenset[str] = frozenset()
    proven: bool = False
    """A request has been taken."""
    _swapped: bool = False

    @classmethod
    def of(cls, model: str, *, hosted: bool) -> Dialect:
        """What to begin with."""
        if not hosted:
            return cls("max_tokens")
        return cls("max_completion_tokens", _EFFORTS if _PONDERS.match(model) else ())

    def options(self, request: LlmRequest) -> dict[str, object]:
        """The fields beside the model and the messages."""
        options: dict[str, object] = {"stream_options": {"include_usage": True}}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.max_tokens is not None:
            options[self.limit] = request.max_tokens
        if self.efforts:
            options["reasoning_effort"] = self.efforts[0]
        if request.tools:
            options["tools"] = [tool(spec) for spec in request.tools]
            if request.tool_choice != "auto":
                options["tool_choice"] = request.tool_choice
        if "tools" in self.left_out:
            options.pop("tool_choice", None)
        return {name: value for name, value in options.items() if name not in self.left_out}

    @property
    def toolless(self) -> bool:
        """The model was found to take no tools."""
        return "tools" in self.left_out

    def after(self, refusal: Refusal, options: dict[str, object]) -> Dialect | None:
        """What to try instead; None where the fault is not one of dialect."""
        if self.limit in options and not self._swapped and unknown_field(refusal, self.limit):
            return replace(self, limit=_LIMITS[self.limit], _swapped=True)
        if "reasoning_effort" in options and unknown_field(refusal, "reasoning_effort"):
            return replace(self, efforts=self.efforts[1:])
        if "temperature" in options and unknown_field(refusal, "temperature"):
            return replace(self, left_out=self.left_out | {"temperature"})
        if "tool_choice" in options and refusal.param != "tools" and unknown_field(refusal, "tool_choice"):
            # Which a server that was not started for tools names, too: then it refuses them once more.
            return replace(self, left_out=self.left_out | {"tool_choice"})
        if "tools" in options and refuses_tools(refusal):
            # An answer without them is better than none.
            return replace(self, left_out=self.left_out | {"tools"})
        # Some refuse what they do not know without a word about what it was.
        blamed = not self.proven and refuses_body(refusal)
        if "stream_options" in options and (blamed or unknown_field(refusal, "stream_options")):
            return replace(self, left_out=self.left_out | {"stream_options"})
        return None
