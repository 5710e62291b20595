"""What holds of the log of each owner of a call: an agent or a line that had it for a while, or has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Frame = dict[str, Any]


def well_formed(frames: Iterable[Frame]) -> None:
    """Each owner's log of a call begins with the call, ends with its end, and all that was begun in it is told to its
    end. It may have the call several times."""
    logs: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        again = (frame.get("metadata") or {}).get("resumed")
        if "seq" in frame and not again:
            logs.setdefault((frame["call_id"], frame["agent_id"]), []).append(frame)
    for who, log in logs.items():
        seqs = [frame["seq"] for frame in log]
        assert seqs == sorted(set(seqs)), who
        part: list[Frame] = []
        for frame in log:
            if part and part[-1]["event"] == "call.ended" and part[-1]["reason"] == "routed":
                _check_part(part)
                part = []
            part.append(frame)
        _check_part(part)


def _check_part(part: list[Frame]) -> None:
    names = [frame["event"] for frame in part]
    assert names[0] in ("call.started", "call.ringing", "call.dialing"), names
    assert names.count("call.started") <= 1, names
    seqs = [frame["seq"] for frame in part]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), names
    if "call.ended" not in names:
        return
    assert set(names[names.index("call.ended") + 1 :]) <= {"call.recording"}, names
    assert names.count("speech.started") == names.count("speech.ended"), names
    assert names.count("turn.started") == names.count("turn.completed"), names
    assert names.count("tts.started") == names.count("tts.stopped"), names
    assert names.count("tool.started") == names.count("tool.completed") + names.count("tool.failed"), names
    begun = {frame["message_id"] for frame in part if frame["event"] == "bot.speaking"}
    ends = [frame["message_id"] for frame in part if frame["event"] in ("bot.finished", "bot.interrupted")]
    assert len(ends) == len(set(ends)), names
    assert begun <= set(ends), names
