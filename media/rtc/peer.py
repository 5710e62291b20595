"""One peer connection of aiortc: the only module that knows it.

It connects, and carries the data channel. Audio goes as Opus packets both ways, past aiortc's own decoding (a thread
for each connection, and 80 ms of prefetch) and encoding (stereo at 96 kb/s, on a thread), and past its queues
(``path``). Another engine would take this module's place, with the same face.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from media.rtc.gathering import Gathering, NoSocket, Sockets
from media.rtc.path import AudioPath, Line
from media.rtc.sdp import OfferRefused, checked, tuned

CHANNEL = "events"
ANSWER_S = 3.0
"""Far more than an answer takes."""
CLOSE_S = 2.0
MAX_BUFFERED = 1 << 20
"""Bytes that may wait for a page that does not read."""
MAX_TEXT = 64 << 10
_OPUS = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]


class PeerUser(Protocol):
    """What a connection tells. All calls are plain and immediate."""

    def on_connected(self) -> None:
        """Audio can flow. Nothing else is told before."""

    def on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        """An RTP packet of the other side's audio."""

    def on_text(self, text: str) -> None:
        """A message on the data channel."""

    def on_channel(self) -> None:
        """The data channel is open."""

    def on_gone(self, *, closed: bool) -> None:
        """The connection is over; ``closed``: the other side said so."""

    def on_ready(self) -> None:
        """Packets can be sent."""


class _Receiver(RTCRtpReceiver):
    """Only reports: the packets do not pass it."""

    async def receive(self, parameters: Any) -> None:
        await super().receive(parameters)
        # Ends the decoder's thread, which has had nothing to do yet; that waits for it.
        await asyncio.to_thread(self._handle_disconnect)


class _Track(MediaStreamTrack):
    """Is there for aiortc to have something to send, and gives nothing."""

    kind = "audio"

    def __init__(self, asked: Callable[[], None]) -> None:
        super().__init__()
        self._asked = asked

    async def recv(self) -> AudioFrame:
        self._asked()
        await asyncio.get_running_loop().create_future()
        raise MediaStreamError


class Peer:
    """A connection that a browser has asked for."""

    def __init__(self, user: PeerUser, gathering: Gathering) -> None:
        self._user: PeerUser | None = user
        self._gathering = gathering
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._sender: RTCRtpSender | None = None
        self._path: AudioPath | None = None
        self._settled = asyncio.Event()
        self._closed = False
        self._dtls: RTCDtlsTransport | None = None
        self._pc.on("datachannel", self._on_datachannel)
        self._pc.on("connectionstatechange", self._on_state)

    # --- signalling ---------------------------------------------------------------------------------------

    async def answer(self, offer: str) -> str:
        """The answer to an offer, complete with candidates. Raises ``OfferRefused``, ``NoSocket``."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._pc.setRemoteDescription(RTCSessionDescription(checked(offer), "offer"))
                audio = self._join_audio()
                self._choose_sockets()
                await self._pc.setLocalDescription(await self._pc.createAnswer())
                self._lay_path(audio)
        except (OfferRefused, NoSocket):
            raise
        except Exception as error:
            # aiortc has no error of its own for what it cannot parse: anything may come out of it.
            raise OfferRefused(f"sdp cannot be answered: {type(error).__name__} {error}"[:200]) from error
        return tuned(self._pc.localDescription.sdp)

    def _join_audio(self) -> RTCRtpTransceiver:
        if self._user is None:
            raise OfferRefused("the call is over")
        transceiver = next(t for t in self._pc.getTransceivers() if t.kind == "audio")
        transceiver.receiver.__class__ = _Receiver
        transceiver.setCodecPreferences(_OPUS)
        self._dtls = transceiver.receiver.transport
        self._dtls.on("statechange", self._on_dtls)
        self._sender = self._pc.addTrack(_Track(self._on_sending))
        return transceiver

    def _choose_sockets(self) -> None:
        """Before anything is gathered: after that aiortc and aioice have no say in it any more."""
        transports = [t.receiver.transport for t in self._pc.getTransceivers()]
        if self._pc.sctp is not None:
            transports.append(self._pc.sctp.transport)
        for connection in {dtls.transport._connection for dtls in transports}:
            Sockets.put_in(connection, self._gathering)

    def _lay_path(self, audio: RTCRtpTransceiver) -> None:
        """Both sides have agreed: from here on audio passes aiortc by."""
        dtls, codec = audio.receiver.transport, audio._codecs[0]
        connection = dtls.transport._connection
        assert isinstance(connection, Sockets)
        line = Line(codec.payloadType or 0, audio.mid or "")
        self._path = AudioPath(connection, dtls, line, self._on_packet)
        self._path.listen(audio.receiver)

    async def connected(self, within_s: float) -> bool:
        """Wait until media can flow; False: it cannot."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._settled.wait()
        return self._pc.connectionState == "connected"

    @property
    def failed(self) -> bool:
        """It will not connect any more."""
        return self._pc.connectionState in ("failed", "closed")

    def release(self) -> None:
        """Tell nothing more: another connection takes this one's place."""
        self._user = None

    async def close(self) -> None:
        """Close it, and wait until that is done. Twice is once."""
        self._user = None
        if not self._closed:
            self._closed = True
            if self._path is not None:
                self._path.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._pc.close()

    # --- what aiortc tells --------------------------------------------------------------------------------

    def _on_state(self) -> None:
        state = self._pc.connectionState
        if state in ("connected", "failed", "closed"):
            self._settled.set()
        if state == "connected" and self._user is not None:
            self._user.on_connected()
        if state == "failed" and self._user is not None:
            self._user.on_gone(closed=False)

    def _on_dtls(self) -> None:
        # At once, where the connection itself is still being taken down. A lost network fails before it closes.
        if self._dtls is not None and self._dtls.state == "closed" and self._user is not None:
            self._user.on_gone(closed=self._pc.iceConnectionState == "completed")

    def _on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        if self._user is not None:
            self._user.on_packet(ssrc, sequence, timestamp, payload)

    def _on_sending(self) -> None:
        if self._path is not None and self._sender is not None:
            self._path.speak(self._sender)
        if self._user is not None:
            self._user.on_ready()

    def _on_datachannel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        if self._user is not None:
            self._user.on_channel()

    def _on_message(self, message: str | bytes) -> None:
        if self._user is not None and isinstance(message, str) and len(message) <= MAX_TEXT:
            self._user.on_text(message)

    # --- sending ------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Packets can be sent."""
        return self._path is not None and self._path.open

    def send(self, payload: bytes, timestamp: int) -> None:
        """A packet of audio, now."""
        if self._path is not None:
            self._path.send(payload, timestamp)

    def send_text(self, text: str) -> bool:
        """A message on the data channel. False: there is none, or the page does not read what is sent."""
        channel = self._channel
        if channel is None or not self.listens or channel.bufferedAmount > MAX_BUFFERED:
            return False
        channel.send(text)
        return True

    @property
    def listens(self) -> bool:
        """The page's channel is open."""
        return self._channel is not None and self._channel.readyState == "open"

    @property
    def unsent(self) -> int:
        """Bytes of messages that are on their way."""
        return self._channel.bufferedAmount if self._channel is not None else 0

    async def round_trip_s(self) -> float | None:
        """As the other side's reports say; None: there is none yet."""
        if self._sender is None:
            return None
        for report in (await self._sender.getStats()).values():
            if report.type == "remote-inbound-rtp" and report.roundTripTime is not None:
                return max(0.0, float(report.roundTripTime))
        return None
