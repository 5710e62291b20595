"""What was said in a call, line by line, with its times, out of its events.

Pure. A user's line is his turn in its last wording, one of the bot's what the caller heard of a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from server.ring import Entry

Role = Literal["user", "assistant"]
NAMES: Final = (
    "call.started",
    "speech.started",
    "speech.ended",
    "user.message",
    "bot.speaking",
    "bot.finished",
    "bot.interrupted",
    "message.confirmed",
    "call.recording",
)
"""The events that it is made of."""
SHORTEST_MS: Final = 1000
"""How long a line of a subtitle is shown whose end nobody knows."""
_WHO: Final = {"user": "Caller", "assistant": "Bot"}


@dataclass(frozen=True, slots=True)
class Line:
    role: Role
    text: str
    start_ms: int | None = None
    """Of its sound, from ``call.started``; None: it had none, or nobody knows."""
    end_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "text": self.text,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What the events say."""

    lines: tuple[Line, ...]
    recording_ms: int | None = None
    """When the recording begins, from ``call.started``; None: there is none, or nobody knows."""


def told(entries: Iterable[Entry]) -> Told:
    """Out of the events of a call, in order; those of other names are ignored."""
    read = _Reading()
    for entry in entries:
        if entry.event in NAMES:
            read.event(entry.event, orjson.loads(entry.data))
    return Told(tuple(read.lines.values()), read.recording_ms)


class _Reading:
    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Line] = {}
        self.recording_ms: int | None = None
        self._zero: float | None = None
        self._voice: dict[int, list[int | None]] = {}
        """From when to when each segment sounds."""
        self._heard: dict[str, list[int | None]] = {}

    def _ms(self, epoch: float) -> int | None:
        return None if self._zero is None else max(0, round((epoch - self._zero) * 1000))

    def event(self, name: str, event: dict[str, Any]) -> None:
        if name == "call.started" and self._zero is None:
            self._zero = event["ts"]
        at = self._ms(event["ts"])
        match name:
            case "speech.started":
                self._voice[event["segment_id"]] = [self._ms(event["timestamp"]), None]
            case "speech.ended":
                self._voice.setdefault(event["segment_id"], [None, None])[1] = self._ms(event["timestamp"])
            case "user.message":
                spans = [self._voice.get(number, [None, None]) for number in event["segment_ids"]]
                start = next((span[0] for span in spans if span[0] is not None), None)
                end = next((span[1] for span in reversed(spans) if span[1] is not None), None)
                self.lines["user", event["message_id"]] = Line("user", event["text"], start, end)
            case "bot.speaking":
                self._heard[event["message_id"]] = [at, None]
            case "bot.finished" | "bot.interrupted":
                self._heard.setdefault(event["message_id"], [None, None])[1] = at
            case "message.confirmed" if event["text"]:
                start, end = self._heard.get(event["message_id"], [None, None])
                self.lines["bot", event["message_id"]] = Line("assistant", event["text"], start, end)
            case "call.recording" if event.get("started_at") is not None and self._zero is not None:
                self.recording_ms = round((event["started_at"] - self._zero) * 1000)


def timed(said: Sequence[tuple[Role, str]], lines: Sequence[Line]) -> list[Line]:
    """The transcript of a call that is over, each line with its times as far as its events tell them."""
    found: list[Line] = []
    at = 0
    for role, text in said:
        same = (i for i in range(at, len(lines)) if (lines[i].role, lines[i].text) == (role, text))
        place = next(same, None)
        if place is None:
            found.append(Line(role, text))
        else:
            found.append(lines[place])
            at = place + 1
    return found


def as_text(lines: Iterable[Line]) -> str:
    """One line of text for each, with its time where it is known."""
    return "".join(f"{_minutes(line.start_ms)}  {_WHO[line.role]}: {_one(line.text)}\n" for line in lines)


def as_vtt(lines: Iterable[Line], zero_ms: int = 0) -> str:
    """WebVTT subtitles, of the lines whose time is known. ``zero_ms``: what is 0 in them, from ``call.started``."""
    out = ["WEBVTT\n"]
    for line in lines:
        if line.start_ms is None:
            continue
        start = max(0, line.start_ms - zero_ms)
        end = line.end_ms - zero_ms if line.end_ms is not None else start + SHORTEST_MS
        end = max(end, start + 1)
        voice = _WHO[line.role]
        out.append(f"{_clock(start)} --> {_clock(end)}\n<v {voice}>{_escaped(_one(line.text))}\n")
    return "\n".join(out)


def _clock(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def _minutes(ms: int | None) -> str:
    return " " * 8 if ms is None else _clock(ms)[:8]


def _one(text: str) -> str:
    """No line breaks."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
