"""The way of audio packets past aiortc: from the socket to the call, and back.

aiortc passes each packet through a queue and a task, a parser for STUN, a router, a jitter buffer, and on the way out
through an encoder's task and PyAV. None of that is needed for packets that are made and read here; it takes more than
all that is done with their audio. Connecting, keys, data channel and RTCP stay aiortc's: for its reports, by which the
browser's encoder judges the network, it is told what passed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pylibsrtp
from aiortc import RTCDtlsTransport, RTCRtpReceiver, RTCRtpSender, clock
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import HeaderExtensions

from media.rtc import rtp
from media.rtc.gathering import Sockets

CLOCK_HZ: Final = 48_000
MAX_STREAMS: Final = 20
"""Of so many senders of one browser figures are kept."""
NOTE_EVERY: Final = 20
"""Packets between two notes of where RTP's clock stands on the wall's, for the reports: one a second or so."""

Sink = Callable[[int, int, int, bytes], None]
"""Takes the synchronisation source, sequence number, timestamp and payload of a packet."""


@dataclass(frozen=True, slots=True)
class Line:
    """The audio line of a connection, as both sides agreed on it."""

    payload_type: int
    mid: str


class AudioPath:
    """Of one connection."""

    def __init__(self, connection: Sockets, dtls: RTCDtlsTransport, line: Line, sink: Sink) -> None:
        self._connection = connection
        self._dtls = dtls
        self._line = line
        self._sink = sink
        self._streams: dict[int, StreamStatistics] = {}
        self._sent: dict[str, Any] | None = None
        self._out = rtp.Rtp(line.payload_type, random.getrandbits(16), 0, 0, b"")
        self._origin = random.getrandbits(32)
        self._extended = b""
        self._count = 0

    # --- from the browser ---------------------------------------------------------------------------------

    def listen(self, receiver: RTCRtpReceiver) -> None:
        """Take packets from the socket. ``receiver`` reports on them."""
        self._streams = vars(receiver)["_RTCRtpReceiver__remote_streams"]
        self._connection.media = self.take

    def take(self, data: bytes) -> bool:
        """A datagram that is RTP or RTCP. False: it is for aiortc."""
        session: pylibsrtp.Session | None = self._dtls._rx_srtp
        if session is None or rtp.is_control(data):
            return False
        try:
            packet = rtp.parse(session.unprotect(data))
        except (pylibsrtp.Error, ValueError):
            return True  # Not with our key, repeated, or too long.
        if packet is not None and packet.payload_type == self._line.payload_type:
            self._note(packet)
            if packet.payload:
                self._sink(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)
        return True

    def _note(self, packet: rtp.Rtp) -> None:
        stream = self._streams.get(packet.ssrc)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                return
            stream = self._streams[packet.ssrc] = StreamStatistics(CLOCK_HZ)
        stream.add(packet)  # type: ignore[arg-type]

    # --- to the browser -----------------------------------------------------------------------------------

    def speak(self, sender: RTCRtpSender) -> None:
        """From now on ``send`` can. ``sender`` reports on it."""
        self._sent = vars(sender)
        self._out.ssrc = sender._ssrc
        wanted = HeaderExtensions(mid=self._line.mid)
        self._extended = rtp.extensions(*self._sent["_RTCRtpSender__rtp_header_extensions_map"].set(wanted))

    @property
    def open(self) -> bool:
        """Packets can be sent."""
        return self._sent is not None and self._dtls.state == "connected"

    def send(self, payload: bytes, timestamp: int) -> None:
        """A packet for the browser, now. Nothing where there is no way to it."""
        pair = self._connection.nominated
        if self._sent is None or pair is None or not self.open:
            return
        out = self._out
        out.payload, out.timestamp = payload, (self._origin + timestamp) % (1 << 32)
        pair.protocol.transport.sendto(
            self._dtls._tx_srtp.protect(rtp.build(out, self._extended)), pair.remote_addr
        )
        out.sequence_number = (out.sequence_number + 1) % (1 << 16)
        sent = self._sent
        sent["_RTCRtpSender__packet_count"] += 1
        sent["_RTCRtpSender__octet_count"] += len(payload)
        if self._count % NOTE_EVERY == 0:
            sent["_RTCRtpSender__ntp_timestamp"] = clock.current_ntp_time()
            sent["_RTCRtpSender__rtp_timestamp"] = out.timestamp
        self._count += 1

    def close(self) -> None:
        """Nothing passes any more."""
        self._connection.media = None
        self._sent = None
