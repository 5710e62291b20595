"""Audio packets past aiortc, with real keys and no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import HeaderExtensionsMap
from pylibsrtp import Policy, Session

from media.rtc.path import MAX_STREAMS, NOTE_EVERY, AudioPath, Line
from media.rtc.rtp import Rtp, build, parse

OPUS = 111
KEY, OTHER_KEY = bytes(range(30)), bytes(30)


def session(key: bytes, *, outbound: bool) -> Session:
    kind = Policy.SSRC_ANY_OUTBOUND if outbound else Policy.SSRC_ANY_INBOUND
    return Session(Policy(key=key, ssrc_type=kind, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80))


@dataclass
class Scene:
    """A path, with what was heard from the browser and what was sent to it."""

    heard: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    sent: list[tuple[bytes, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.browser = session(KEY, outbound=True)
        self.dtls = SimpleNamespace(
            _rx_srtp=session(KEY, outbound=False), _tx_srtp=session(KEY, outbound=True), state="connected"
        )
        transport = SimpleNamespace(sendto=lambda data, addr: self.sent.append((data, addr)))
        pair = SimpleNamespace(
            protocol=SimpleNamespace(transport=transport), remote_addr=("203.0.113.5", 4000)
        )
        self.connection = SimpleNamespace(nominated=pair, media=None)
        self.streams: dict[int, StreamStatistics] = {}
        self.receiver = SimpleNamespace(_RTCRtpReceiver__remote_streams=self.streams)
        self.sender = SimpleNamespace(
            _ssrc=77,
            _RTCRtpSender__rtp_header_extensions_map=HeaderExtensionsMap(),
            _RTCRtpSender__packet_count=0,
            _RTCRtpSender__octet_count=0,
            _RTCRtpSender__ntp_timestamp=0,
            _RTCRtpSender__rtp_timestamp=0,
        )
        connection: Any = self.connection
        dtls: Any = self.dtls
        self.path = AudioPath(connection, dtls, Line(OPUS, "0"), lambda *packet: self.heard.append(packet))
        receiver: Any = self.receiver
        self.path.listen(receiver)

    def packet(self, number: int = 1, *, ssrc: int = 5, kind: int = OPUS, payload: bytes = b"sound") -> bytes:
        return self.browser.protect(build(Rtp(kind, number, number * 960, ssrc, payload), b""))


def test_packets_of_the_browser_are_heard_and_counted() -> None:
    scene = Scene()
    for number in (1, 2, 4):
        assert scene.path.take(scene.packet(number))
    assert scene.heard == [(5, n, n * 960, b"sound") for n in (1, 2, 4)]
    assert scene.streams[5].packets_lost == 1, "which the browser is told"


def test_what_is_not_audio_of_this_call_goes_no_further() -> None:
    scene = Scene()
    packet = scene.packet()
    assert scene.path.take(packet)
    assert scene.path.take(packet), "repeated"
    assert scene.path.take(bytes([0x80, OPUS]) + bytes(40)), "not with our key"
    assert scene.path.take(scene.packet(2, kind=0)), "another codec"
    assert scene.path.take(scene.packet(3, payload=b"")), "no sound in it"
    assert scene.path.take(bytes([0x80, OPUS]) + bytes(60_000))
    assert len(scene.heard) == 1
    assert scene.streams[5].packets_received == 2


def test_reports_and_what_comes_before_the_keys_are_aiortcs() -> None:
    scene = Scene()
    assert not scene.path.take(b"\x81\xc9" + bytes(30))
    packet = scene.packet()
    scene.dtls._rx_srtp = None
    assert not scene.path.take(packet)


def test_no_more_sources_are_counted_than_there_may_be() -> None:
    scene = Scene()
    for ssrc in range(MAX_STREAMS + 10):
        scene.path.take(scene.packet(ssrc=ssrc))
    assert len(scene.streams) == MAX_STREAMS


def test_packets_for_the_browser_are_sent_and_reported() -> None:
    scene = Scene()
    sender: Any = scene.sender
    scene.path.send(b"early", 0)
    assert scene.sent == []
    before = scene.path.open
    scene.path.speak(sender)
    assert (before, scene.path.open) == (False, True)
    for number in range(NOTE_EVERY + 1):
        scene.path.send(b"sound", number * 960)
    far = session(KEY, outbound=False)
    packets = [parse(far.unprotect(data)) for data, _ in scene.sent]
    first = packets[0]
    assert first is not None
    for number, packet in enumerate(packets):
        assert packet is not None
        assert packet.ssrc == 77
        assert packet.payload == b"sound"
        assert packet.sequence_number == (first.sequence_number + number) % 65_536
        assert packet.timestamp == (first.timestamp + number * 960) % 2**32
    figures = vars(scene.sender)
    assert figures["_RTCRtpSender__packet_count"] == NOTE_EVERY + 1
    assert figures["_RTCRtpSender__octet_count"] == 5 * (NOTE_EVERY + 1)
    assert figures["_RTCRtpSender__ntp_timestamp"] > 0
    last = packets[-1]
    assert last is not None
    assert figures["_RTCRtpSender__rtp_timestamp"] == last.timestamp
    assert {addr for _, addr in scene.sent} == {("203.0.113.5", 4000)}


@pytest.mark.parametrize("gone", ["closed", "no way"])
def test_nothing_is_sent_where_there_is_no_way(gone: str) -> None:
    scene = Scene()
    sender: Any = scene.sender
    scene.path.speak(sender)
    if gone == "closed":
        scene.dtls.state = "closed"
    else:
        scene.connection.nominated = None
    scene.path.send(b"sound", 0)
    assert scene.sent == []
    scene.path.close()
    assert scene.connection.media is None
    assert not scene.path.open
