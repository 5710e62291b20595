"""An answering machine: keeps of each call the recording and what was said.

    .venv/bin/python examples/recorder.py                     # beside `make run`
    .venv/bin/talkwire call examples/clips/story.wav

It tells its callers that they are recorded, and writes ``recordings/<call>.wav`` (left the caller, right what the caller
heard) and ``recordings/<call>.json``.
``RECORDINGS`` names another folder.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from talkwire_agent import Call, Talkwire
from talkwire_agent.events import CallEnded, CallRecording

FOLDER = Path(os.environ.get("RECORDINGS", "recordings"))

tw = Talkwire()
agent = tw.agent(
    "recorder",
    greeting="Nobody is here right now. Leave a message, and hang up when you are done.",
    recording={"consent": "on"},
)
agent.phone("+15550002222")


def place(call: Call, kind: str) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return FOLDER / f"{re.sub(r'[^A-Za-z0-9_-]', '_', call.id)}.{kind}"


@agent.on("call.ended")
def keep_words(event: CallEnded, call: Call) -> None:
    facts = {
        "from": call.from_,
        "to": call.to,
        "started_at": call.started_at,
        "seconds": event.duration_seconds,
        "reason": event.reason,
        "transcript": [{"role": said.role, "content": said.content} for said in event.transcript],
    }
    place(call, "json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@agent.on("call.recording")
async def keep_sound(event: CallRecording, call: Call) -> None:
    path = await event.save(place(call, event.format))
    print(f"{path}: {event.duration_ms / 1000:.1f} s from {call.from_}")


if __name__ == "__main__":
    tw.run()
