"""The golden call log: what readers are told of the golden conversation, entry by entry.

``python -m tests.protocol.golden_log`` writes it anew, from the conversation as it is kept; a test says when that was
forgotten.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from server.envelopes import LogEntry, in_call
from server.ring import Entry
from server.tally import Tally
from tests.protocol.golden import FILE

LOG_FILE = FILE.with_name("log.json")
ABOUT = (
    "The call log of the conversation in conversation.json, as readers of /v1/attach and /v1/calls/{id}/events are told "
    "it. Written by python -m tests.protocol.golden_log."
)


def journal() -> list[Entry]:
    """The events of the conversation, and what closes its log."""
    told = json.loads(FILE.read_text(encoding="utf-8"))["events"]
    entries = [Entry(e["call_id"], e["seq"], e["ts"], e["event"], orjson.dumps(e)) for e in told]
    tally = Tally()
    for entry in entries:
        tally.add(entry)
    return [*entries, tally.entry(entries[-1], entries[-1].ts)]


def entries() -> list[LogEntry]:
    return [told for entry in journal() if (told := in_call(entry)) is not None]


def log() -> list[dict[str, Any]]:
    return [orjson.loads(entry.data) for entry in entries()]


def text() -> str:
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in log())
    return f'{{"about": {json.dumps(ABOUT)},\n"entries": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    LOG_FILE.write_text(text(), encoding="utf-8")
    print(f"wrote {LOG_FILE}")
