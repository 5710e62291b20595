"""One call from a browser: its leg, the connection that carries it now, and what the page is told.

The call belongs to the registry and the audio to the leg; what is here joins them to a page, which may come back on
another connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from media.rtc.gathering import Gathering
from media.rtc.leg import CLEARED_LEAD_MS, RtcLeg
from media.rtc.peer import Peer
from server.call import Call, CallIsOver
from server.openings import Openings
from server.page_events import for_page
from server.protocol.base import Message
from server.protocol.page import PageClear, PageConnected, PageTimeout
from server.ring import Entry
from server.services import Services
from server.way_back import WayBack

log = structlog.get_logger(__name__)

CONNECT_S: Final = 15.0
"""A browser that was answered has this long to connect."""
CONNECT_LOOK_S: Final = 0.25
TOLD_S: Final = 1.5
"""The page is told of the end of its call before the connection goes; the end may wait for a recording."""
FLUSH_S: Final = 1.0
MEASURE_S: Final = 2.0

Act = Callable[["BrowserCall", str], None]
"""What is done with a message of the page."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who begins a call, and with whom."""

    stranger: str | None
    """The address of a page that no API key vouches for."""
    agent: str
    """By its slug."""


class Connection:
    """One peer connection of a call, as what aiortc tells of it is understood."""

    def __init__(self, browser: BrowserCall, gathering: Gathering, cursor: int | None) -> None:
        self._browser = browser
        self._carries = False
        self.peer = Peer(self, gathering)
        self.cursor = cursor
        """The last event that the page has, as it says."""

    def carry(self) -> None:
        """The call's audio goes by this connection from now on."""
        self._carries = True

    def on_connected(self) -> None:
        self._browser.came(self)

    def on_packet(self, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        if self._carries:
            self._browser.leg.on_packet(ssrc, sequence, timestamp, payload)

    def on_text(self, text: str) -> None:
        self._browser.heard(text)

    def on_channel(self) -> None:
        self._browser.came(self)
        self._browser.channel_open()

    def on_gone(self, *, closed: bool) -> None:
        self._browser.gone(self, closed=closed)

    def on_ready(self) -> None:
        if self._carries:
            self._browser.leg.pump()


class BrowserCall:
    """A call and its page."""

    def __init__(
        self,
        services: Services,
        call: Call,
        act: Act,
        resume_token: Callable[[], str],
        visit: Visit,
        openings: Openings | None = None,
    ) -> None:
        settings = services.settings
        self._loop = asyncio.get_running_loop()
        self._services = services
        self.call = call
        self._act = act
        self._resume_token = resume_token
        self.way_back = WayBack()
        self._visit = visit
        self._openings = openings
        """Where the call is one that its agent may want to configure as it begins."""
        self.leg = RtcLeg(lead_ms=settings.webrtc_lead_ms, resume_s=settings.webrtc_resume_s)
        self._connection: Connection | None = None
        self._coming: Connection | None = None
        """Another one, which the page has asked for and which is not there yet."""
        self._coming_until: asyncio.TimerHandle | None = None
        self._open = False
        """The data channel of the present connection is."""
        self._cursor = 0
        """The last event that the page was told, or says that it has."""
        self._told_end = asyncio.Event()
        self._reason = "failed"
        self.connecting = True
        """It was answered, and has not connected yet."""

    @property
    def stranger(self) -> str | None:
        return self._visit.stranger

    @property
    def agent(self) -> str:
        return self._visit.agent

    # --- connections --------------------------------------------------------------------------------------

    async def answer(self, offer: str, gathering: Gathering, cursor: int | None = None) -> str:
        """Answer an offer. Its connection carries the call: the first one at once, another one when it is there; until
        then the one before does, as far as it can. Raises ``OfferRefused``, ``NoSocket``, and then everything is as it
        was. ``cursor``: the last event that the page has; else what was sent to it counts."""
        connection = Connection(self, gathering, cursor)
        try:
            answer = await connection.peer.answer(offer)
        except BaseException:
            await connection.peer.close()
            raise
        if self._connection is None:
            self._take(connection)
            return answer
        self._drop(self._coming)
        self._coming, self._open = connection, False
        self._wait_no_more()
        self._coming_until = self._loop.call_later(CONNECT_S, self._not_come, connection)
        return answer

    def _wait_no_more(self) -> None:
        if self._coming_until is not None:
            self._coming_until.cancel()
            self._coming_until = None

    def came(self, connection: Connection) -> None:
        """A connection is there."""
        if connection is not self._coming:
            return
        self._coming = None
        self._wait_no_more()
        if connection.cursor is not None:
            self._cursor = min(connection.cursor, self._cursor)
        self._take(connection)

    def _take(self, connection: Connection) -> None:
        before, self._connection, self._open = self._connection, connection, False
        self.leg.attach(connection.peer)
        connection.carry()
        self._drop(before)

    def gone(self, connection: Connection, *, closed: bool) -> None:
        """A connection is over; ``closed``: the page said so. A page that has another one on the way may close the one
        before."""
        if connection is self._coming:
            self._not_come(connection)
        elif connection is self._connection and self._coming is None:
            self.leg.gone(closed=closed)

    def _not_come(self, connection: Connection) -> None:
        """Another connection was offered, and is not to be had: the call goes on by the one before, or is lost."""
        if connection is not self._coming:
            return
        self._coming = None
        self._wait_no_more()
        self._drop(connection)
        self._open = self._peer.listens
        self._catch_up()

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            connection.peer.release()
            self._services.tasks.create_task(connection.peer.close(), name="close connection")

    @property
    def _peer(self) -> Peer:
        """What carries the call now; there is one from the first answer on."""
        assert self._connection is not None
        return self._connection.peer

    async def run(self) -> None:
        """Carry the call to its end."""
        calls = self._services.calls
        self.call.watch(self)
        try:
            if not await self._connected(self._peer):
                log.warning("webrtc.not_connected", call_id=self.call.call_id, waited_s=CONNECT_S)
                calls.forget(self.call)
                return
            self.connecting = False
            await self._hold()
        except CallIsOver:
            log.info("webrtc.given_up", call_id=self.call.call_id)
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("webrtc.crashed", call_id=self.call.call_id)
        finally:
            self.call.unwatch(self)
            coming, self._coming = self._coming, None
            self._wait_no_more()
            self._drop(coming)
            await self._peer.close()

    async def _connected(self, peer: Peer) -> bool:
        """Wait for its connection; False: it does not come, or the server wants to stop."""
        until = self._loop.time() + CONNECT_S
        while not await peer.connected(CONNECT_LOOK_S):
            if peer.failed or self.call.is_over or self._loop.time() >= until:
                return False
        return True

    async def _hold(self) -> None:
        listener = self._services.calls.start(self.call, self.leg)
        if self._openings is not None:
            opening_s = self._services.settings.webrtc_opening_ms / 1000
            self._loop.call_later(opening_s, self._opening_over, self._openings)
        async with asyncio.TaskGroup() as tasks:
            measuring = tasks.create_task(self._measure(), name="round trips")
            await self.leg.run(listener)
            measuring.cancel()
        await self._part()

    def _opening_over(self, openings: Openings) -> None:
        if not self.leg.over:
            openings.seen(self.call.slug, configured=self.call.configured)

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_S)
            round_trip_s = await self._peer.round_trip_s()
            if round_trip_s is not None:
                self.leg.measured(round_trip_s)

    async def _part(self) -> None:
        """Tell the page that the call is over, before its connection goes: of that alone it would learn late."""
        if self._coming is not None:
            self._not_come(self._coming)
        if not self._peer.listens:
            return
        try:
            async with asyncio.timeout(TOLD_S):
                await self._told_end.wait()
        except TimeoutError:
            pass
        self.say(PageTimeout(call_id=self.call.call_id, reason=self._reason))
        peer = self._peer
        for _ in range(round(FLUSH_S / 0.02)):
            await asyncio.sleep(0.02)
            if not peer.unsent:
                return

    # --- the page -----------------------------------------------------------------------------------------

    def plays(self, buffer_ms: float | None, *, clears: bool) -> None:
        """The page says how it plays what it is sent."""
        self.leg.plays(None if buffer_ms is None else buffer_ms / 1000, self._silence if clears else None)

    def _silence(self, ms: int) -> bool:
        return self.say(PageClear(ms=ms))

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        """An event of the call was added to those that are kept."""
        self._catch_up()
        return True

    def _catch_up(self) -> None:
        """Tell the page what it has not been told yet, as far as it takes that."""
        for entry in self.call.events.since(self._cursor):
            for message in for_page(entry.data, reasoning=self.call.config.page_reasoning):
                if not self.tell(message):
                    return
                if message["event"] == "call.ended":
                    self._reason = message["reason"]
                    self._told_end.set()
            self._cursor = entry.seq

    def tell(self, message: dict[str, Any]) -> bool:
        """Something for the page. False: it does not listen, or does not read."""
        return self._open and self._peer.send_text(orjson.dumps(message).decode())

    def say(self, message: Message) -> bool:
        return self.tell(message.model_dump(exclude_none=True))

    def channel_open(self) -> None:
        """The page listens: it is told how to come back, and what happened since it did."""
        self._open = True
        token = self._resume_token()
        self.way_back.gave(token)
        self.say(
            PageConnected(
                call_id=self.call.call_id,
                agent_id=self.call.facts.agent_id,
                resume_token=token,
                resume_seconds=self._services.settings.webrtc_resume_s,
                lead_ms=CLEARED_LEAD_MS,
            )
        )
        self._catch_up()

    def heard(self, text: str) -> None:
        """A message of the page."""
        self.leg.alive()
        if self._coming is None:
            self.way_back.heard()
        if not self.leg.over:
            self._act(self, text)
