"""Offers of browsers, as text."""

from __future__ import annotations

import pytest

from media.rtc.sdp import MAX_SDP, OfferRefused, checked, tuned

AUDIO = (
    "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\na=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10\na=mid:0\n"
)
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:1\n"
NAMED = "a=candidate:1 1 udp 2113937151 3b1f.local 51000 typ host\n"
REAL = "a=candidate:2 1 udp 1677729535 203.0.113.5 51001 typ srflx\n"


def test_an_offer_is_taken_with_whatever_line_ends() -> None:
    assert checked(AUDIO + DATA) == (AUDIO + DATA).replace("\n", "\r\n")
    assert checked(checked(AUDIO)) == checked(AUDIO)


def test_names_of_the_local_network_go_where_there_are_addresses() -> None:
    assert ".local" not in checked(AUDIO + NAMED + REAL)
    assert ".local" in checked(AUDIO + NAMED), "it has nothing else"


@pytest.mark.parametrize(
    ("offer", "says"),
    [
        ("", "nothing"),
        (DATA, "not application"),
        (AUDIO + AUDIO, "audio, audio"),
        (AUDIO + "m=video 9 UDP/TLS/RTP/SAVPF 96\n", "audio, video"),
        (AUDIO.replace("opus/48000/2", "G722/8000"), "Opus"),
        (AUDIO + "a=x\n" * MAX_SDP, "longer"),
        (AUDIO + REAL * 101, "candidates"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(offer: str, says: str) -> None:
    with pytest.raises(OfferRefused, match=says):
        checked(offer)


def test_the_answer_tells_the_browser_how_to_encode() -> None:
    answer = tuned(checked(AUDIO))
    lines = answer.split("\r\n")
    place = lines.index("a=rtpmap:111 opus/48000/2")
    assert lines[place + 1].startswith("a=fmtp:111 minptime=20;useinbandfec=1;")
    assert sum(line.startswith("a=fmtp:") for line in lines) == 1
    assert answer.endswith("\r\n")
    assert tuned("v=0\r\n") == "v=0\r\n"
