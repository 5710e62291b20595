"""Which of two tokens the carrier signs with, while one takes the place of the other. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Signers:
    """Of the requests that were taken."""

    last: str | None = None
    """The setting whose token signed the last one."""
    at: dict[str, float] = field(default_factory=dict)
    """When each signed last, epoch seconds, by setting."""

    def note(self, setting: str, now: float) -> bool:
        """A request was signed with this setting's token; whether that is another one than before."""
        changed = setting != self.last
        self.last = setting
        self.at[setting] = now
        return changed
