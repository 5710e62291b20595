"""All that is kept of one caller, deleted: calls with their events, and the files of their recordings."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from server.past import CallStore
from server.recordings import Recordings
from telephony.numbers import normalise


@dataclass(frozen=True, slots=True)
class Gone:
    """What was deleted. ``live``: calls with that caller that go on, and are kept."""

    calls: int
    events: int
    recordings: int
    bytes: int
    live: int = 0

    def as_json(self, caller: str) -> dict[str, Any]:
        return {"caller": normalise(caller), **asdict(self)}


async def forget(caller: str, store: CallStore, recordings: Recordings) -> tuple[Gone, tuple[str, ...]]:
    """Delete what is kept of ended calls with somebody; and the ids of these calls. Raises ``StoreUnavailable``; then
    some of it may be gone, and once more is worth it."""
    forgotten = await store.forget(caller)
    files, size = await asyncio.to_thread(recordings.delete, forgotten.call_ids)
    return Gone(len(forgotten.call_ids), forgotten.events, files, size), forgotten.call_ids
