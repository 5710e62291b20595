"""What the endpoint keeps of a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from media import wav
from media.frames import Pcm
from tests.fakes.openai_endpoint.plan import Plan, RouteName

Outcome = Literal["open", "sent", "cut", "disconnected", "closed"]
"""``open``: not over yet. ``sent``: all of the answer was handed to the system. ``cut``: we ended the
connection, as planned. ``disconnected``: the client left before the end. ``closed``: the endpoint ended."""


@dataclass(eq=False, slots=True)
class Recorded:
    """One request. Times are those of the loop, in seconds."""

    route: RouteName | None
    """None: no such route."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    connection: int
    """The number of the connection that it came on, from 1."""
    began_s: float
    """Its first bytes were here."""
    complete_s: float
    """Its body was here."""
    plan: Plan = field(default_factory=Plan)
    json: dict[str, Any] = field(default_factory=dict)
    """The body of a JSON request."""
    form: dict[str, list[str]] = field(default_factory=dict)
    """The fields of a multipart request but for the file."""
    audio: bytes = b""
    """The file of a transcription, as it came."""
    audio_name: str = ""
    audio_type: str = ""
    status: int | None = None
    """What it was answered."""
    head_s: float | None = None
    first_piece_s: float | None = None
    ended_s: float | None = None
    pieces: int = 0
    """Sent of the body."""
    body_bytes: int = 0
    outcome: Outcome = "open"
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self) -> str:
        """What a log holds of it: one JSON object. Of a chat the messages, of speech the text."""
        shown = {"route": self.route, "status": self.status, "outcome": self.outcome}
        times = {"complete_s": self.complete_s, "first_piece_s": self.first_piece_s, "ended_s": self.ended_s}
        said = {key: self.json[key] for key in ("messages", "input") if key in self.json}
        return json.dumps({**shown, **times, **said})

    @property
    def disconnected(self) -> bool:
        """The client left before the end of the answer."""
        return self.outcome == "disconnected"

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")

    def heard(self) -> tuple[Pcm, int]:
        """The samples of the file and their rate in Hz. Raises ``ValueError`` where it is no WAV file."""
        return wav.decode(self.audio)

    def end(self, outcome: Outcome, now_s: float) -> None:
        """Only the first call counts."""
        if self.outcome == "open":
            self.outcome, self.ended_s = outcome, now_s
            self._over.set()

    async def over(self, timeout_s: float = 5.0) -> Outcome:
        """Wait until the request is over, one way or another. Raises ``TimeoutError``."""
        async with asyncio.timeout(timeout_s):
            await self._over.wait()
        return self.outcome
