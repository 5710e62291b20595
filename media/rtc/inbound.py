"""What comes from a browser, put in order: each packet once and in its place, holes concealed, silence by time.

A conversation is listened to and not played, so that nothing waits without need: a packet in its turn is handed on at
once. Only a hole makes those behind it wait, for a cushion that a late packet widens. Where nothing comes at all
nobody waits, but for the clock of the caller's audio, which has to go on: it is given longer before it counts as
silence, for packets that are held up come in one burst, and what is silence by then cannot become speech any more. Of
a sender that leaves out its silence (DTX) the cushion is enough.

Pure: time is an argument. Positions are RTP timestamps at 48 kHz (RFC 7587), unwrapped.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOCK_HZ = 48_000
STEP = CLOCK_HZ // 50
"""20 ms."""
MAX_HELD = 50
"""Packets behind a hole; of more the hole is given up."""
MAX_GAP_S = 5.0
"""A larger leap of the sender's clock is no hole: the clock began anew."""
CONCEALED = 3 * STEP
"""What is made up of a hole; the rest is silence."""
HELD_UP_S = 0.25
"""How late all packets may be: so long a network is seen to stop."""
PAUSES_S = 30.0
"""A sender that has left out silence may do so again, for so long."""
DRIFT = 0.002
"""How far the usual way of a packet follows a slower one, with each."""


@dataclass(frozen=True, slots=True)
class Decode:
    """A packet that came."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Conceal:
    """Audio that did not come. ``behind``: the packet right behind it, which may hold a copy."""

    ticks: int
    behind: bytes | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Audio that was not sent, or whose loss is too long to be concealed."""

    ticks: int


Output = Decode | Conceal | Silence


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet; ``ticks``: how long its audio is."""

    ssrc: int
    sequence: int
    timestamp: int
    ticks: int
    payload: bytes


class Inbound:
    """The audio of one sender."""

    def __init__(self, cushion_ms: int = 60, widest_ms: int = 240) -> None:
        self._cushion_s = cushion_ms / 1000
        self._widest_s = widest_ms / 1000
        self._wait_s = self._cushion_s
        self._ssrc: int | None = None
        self._next = 0
        """Where the next sample lies."""
        self._sequence = 0
        """Of the last packet that was handed on."""
        self._newest = 0
        self._made_up = 0
        """Ticks of the present hole that were filled already."""
        self._pauses_until: int | None = None
        """Up to here on the sender's clock it counts as one that leaves out silence."""
        self._way_s = 0.0
        """Of the quickest packets: their arrival on our clock, less their place on the sender's."""
        self._held: dict[int, Packet] = {}
        self.lost = 0
        """Ticks that were made up, or filled with silence, for want of a packet."""
        self.late = 0
        """Packets whose place was filled by then, repeated ones among them."""
        self.resets = 0

    def receive(self, packet: Packet, now: float) -> list[Output]:
        """A packet has come: what is to be handed on, in order."""
        place = self._placed(packet, now)
        self._time(place, now)
        if place < self._next or place in self._held:
            self.late += 1
            if place < self._next and packet.ssrc == self._ssrc:
                lateness_s = now - self._due(place)
                self._wait_s = min(self._widest_s, max(self._wait_s, lateness_s + 0.02))
            return []
        self._held[place] = packet
        out: list[Output] = []
        self._hand_on(out)
        while len(self._held) > MAX_HELD:
            self._give_up(out)
        return out

    def deadline(self) -> float | None:
        """When ``tick`` has something to do, if nothing comes until then."""
        return None if self._ssrc is None else self._due(self._next) + self._patience_s

    def tick(self, now: float) -> list[Output]:
        """What time makes of what did not come."""
        out: list[Output] = []
        while self._ssrc is not None and now >= self._due(self._next) + self._patience_s:
            if self._held:
                self._give_up(out)
            else:
                self._fill(out, STEP)
        return out

    @property
    def _patience_s(self) -> float:
        """How late what lies next may be."""
        pauses = self._pauses_until is not None and self._next < self._pauses_until
        return self._wait_s if self._held or pauses else max(self._wait_s, HELD_UP_S)

    # --- the sender's clock -------------------------------------------------------------------------------

    def _placed(self, packet: Packet, now: float) -> int:
        """Where a packet belongs."""
        if self._ssrc is not None and packet.ssrc == self._ssrc:
            leap = (packet.timestamp - self._newest + (1 << 31)) % (1 << 32) - (1 << 31)
            place = self._newest + leap
            if abs(leap) < MAX_GAP_S * CLOCK_HZ and abs(place - self._next) < MAX_GAP_S * CLOCK_HZ:
                self._newest = max(self._newest, place)
                return place
        if self._ssrc is not None:
            self.resets += 1
        self._ssrc = packet.ssrc
        self._held.clear()
        self._next = self._newest = packet.timestamp
        self._sequence = packet.sequence - 1
        self._made_up = 0
        self._pauses_until = None
        self._way_s = now - packet.timestamp / CLOCK_HZ
        return packet.timestamp

    def _time(self, place: int, now: float) -> None:
        way_s = now - place / CLOCK_HZ
        self._way_s = min(way_s, self._way_s + (way_s - self._way_s) * DRIFT)
        self._wait_s = max(self._cushion_s, self._wait_s - (self._wait_s - self._cushion_s) * DRIFT)

    def _due(self, place: int) -> float:
        """When a packet of the usual way comes."""
        return self._way_s + place / CLOCK_HZ

    # --- handing on ---------------------------------------------------------------------------------------

    def _hand_on(self, out: list[Output]) -> None:
        """What lies next, and what lies behind a pause of the sender: no packet is missing there."""
        while self._held:
            place = min(self._held)
            packet = self._held[place]
            if place != self._next:
                if (packet.sequence - self._sequence) % (1 << 16) != 1:
                    return
                out.append(Silence(place - self._next))
                self._next = place
                self._pauses_until = place + round(PAUSES_S * CLOCK_HZ)
            self._take(out, place)

    def _take(self, out: list[Output], place: int) -> None:
        packet = self._held.pop(place)
        out.append(Decode(packet.payload))
        self._sequence = packet.sequence
        self._made_up = 0
        self._next = place + packet.ticks
        # Packets that overlap what they follow are of no use any more.
        for early in [at for at in self._held if at < self._next]:
            del self._held[early]
            self.late += 1

    def _give_up(self, out: list[Output]) -> None:
        """The hole before the first packet that waits is not filled any more."""
        place = min(self._held)
        gap = place - self._next
        if gap > STEP:
            self._fill(out, gap - STEP)
            gap = STEP
        if gap:
            self.lost += gap
            out.append(Conceal(gap, self._held[place].payload))
            self._next = place
        self._take(out, place)
        self._hand_on(out)

    def _fill(self, out: list[Output], ticks: int) -> None:
        made_up = min(ticks, max(0, CONCEALED - self._made_up))
        if made_up:
            out.append(Conceal(made_up))
        if ticks > made_up:
            out.append(Silence(ticks - made_up))
        self.lost += ticks
        self._made_up += ticks
        self._next += ticks
