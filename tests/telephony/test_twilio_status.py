"""Status callbacks in the words of the port."""

from __future__ import annotations

import pytest

from telephony.carriers.twilio.status import OVER, answered_by, progress
from telephony.ports import DialProgress


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("queued", "queued"),
        ("initiated", "initiated"),
        ("ringing", "ringing"),
        ("in-progress", "answered"),
        ("completed", "completed"),
        ("busy", "busy"),
        ("no-answer", "no_answer"),
        ("failed", "failed"),
        ("canceled", "canceled"),
    ],
)
def test_each_status_has_a_word(theirs: str, ours: str) -> None:
    told = progress({"CallSid": "CA1", "CallStatus": theirs, "SequenceNumber": "3"})
    assert told == DialProgress("CA1", ours, 3)  # type: ignore[arg-type]


def test_an_unknown_status_is_none() -> None:
    assert progress({"CallSid": "CA1", "CallStatus": "teleported"}) is None
    assert progress({}) is None


@pytest.mark.parametrize("sequence", ["", "x", "-1", "٣", "9" * 30])
def test_a_callback_without_a_place_counts_as_the_newest(sequence: str) -> None:
    told = progress({"CallSid": "CA1", "CallStatus": "busy", "SequenceNumber": sequence})
    assert told is not None
    assert told.sequence > 10_000


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"SipResponseCode": "486"}, "SIP 486 (busy)"),
        ({"SipResponseCode": "499"}, "SIP 499"),
        ({"SipResponseCode": "200"}, ""),
        ({"SipResponseCode": "48x"}, ""),
        (
            {"SipResponseCode": "503", "ErrorCode": "32009"},
            "SIP 503 (the network is overloaded), Twilio error 32009",
        ),
    ],
)
def test_the_detail_says_what_is_known(fields: dict[str, str], detail: str) -> None:
    told = progress({"CallSid": "CA1", "CallStatus": "failed", **fields})
    assert told is not None
    assert told.detail == detail


def test_final_states_are_those_that_a_call_does_not_come_back_from() -> None:
    assert {"completed", "busy", "no_answer", "failed", "canceled"} == OVER


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("human", "human"),
        ("machine_start", "machine"),
        ("machine_end_beep", "machine"),
        ("machine_end_silence", "machine"),
        ("fax", "fax"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("something_new", "unknown"),
    ],
)
def test_who_answered(theirs: str, ours: str) -> None:
    assert answered_by({"AnsweredBy": theirs}) == ours
