"""What the language model was told of an answer that was interrupted, against what of it was heard.

The endpoint has kept each request. A request belongs to a caller's utterance by its text, which no other has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks._callers import Caller, Said
from benchmarks._delays import LONG, REPLIES
from benchmarks._engines import WORD_MS
from benchmarks._figures import EARLY_S, Figures
from benchmarks._speech import RATE_HZ
from pipeline.turns import EARLY_MS
from telephony.carriers.twilio.simulator import SimulatedCall

WORDS = REPLIES[LONG].split()

Chat = Sequence[Mapping[str, str]]


def compare(
    callers: Sequence[Caller], window: tuple[float, float], requests: Sequence[dict[str, Any]], out: Figures
) -> None:
    """Add to ``out`` what is found out about each interruption that began in the window."""
    by_text = {chat[-1]["content"].splitlines()[-1]: chat for r in requests if (chat := r.get("messages"))}
    for caller in callers:
        for said in caller.said:
            if said.barge_in and caller.call and window[0] <= said.speech.onset_s < window[1]:
                _compare(caller, caller.call, said, by_text, out)


def _compare(
    caller: Caller, call: SimulatedCall, said: Said, by_text: Mapping[str, Chat], out: Figures
) -> None:
    heard = _heard(caller, call, said.speech.onset_s)
    if heard is None:
        return  # It was not interrupted, which is counted elsewhere.
    samples, cut_s = heard
    text = next((text for at, text in caller.view.user_messages if at > cut_s), None)
    chat = by_text.get(text or "")
    if chat is None:
        out.history_wrong += 1
        return
    assistant = [line["content"].splitlines()[-1] for line in chat if line["role"] == "assistant"]
    known = assistant[-1].split() if assistant else []
    is_beginning = known == WORDS[: len(known)]
    if samples * 1000 < EARLY_MS * RATE_HZ:
        out.history_wrong += is_beginning and bool(known)
    elif is_beginning:
        begun = min(len(WORDS), -(-samples * 1000 // (WORD_MS * RATE_HZ)))
        out.history.append(len(known) - begun)
    else:
        out.history_wrong += 1


def _heard(caller: Caller, call: SimulatedCall, onset_s: float) -> tuple[int, float] | None:
    """Samples that were heard of the message which was interrupted from ``onset_s`` on, and when it was cut."""
    stretches = call.playback.stretches
    cut = next((s for s in stretches if s.cleared_at is not None and onset_s < s.end_s < onset_s + 1.5), None)
    message = next((m for m in reversed(caller.view.messages.values()) if m.told_s < onset_s), None)
    if cut is None or message is None:
        return None
    index = bisect_left(stretches, message.told_s - EARLY_S, key=lambda stretch: stretch.start_s)
    return cut.first_sample + cut.heard - stretches[index].first_sample, cut.end_s
