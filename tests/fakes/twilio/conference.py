"""Conferences at the fake Twilio: who is in one hears what the others say, and who is alone hears its music.

Twilio's rules: one that nobody has started, or with one person in it, plays what ``waitUrl`` says; one that
somebody leaves who has ``endConferenceOnExit`` is over for all; callbacks go where the first of them wanted them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
import numpy as np

from media import wav
from media.frames import Pcm
from telephony.carriers.twilio.simulator import SimulatorError, WebhookFailed, new_sid
from tests.fakes.twilio.fields import CONFERENCE_EVENTS, oddities

if TYPE_CHECKING:
    from tests.fakes.twilio.account import FakeTwilio
    from tests.fakes.twilio.call import FakeCall

RATE_HZ = 8000
FRAME = RATE_HZ // 50
PAUSE_SCALE = 0.02
"""Of the seconds that a document asks to wait."""
QUIET = np.zeros(FRAME, dtype=np.int16)


def tone(hertz: float) -> Pcm:
    """What somebody says: a second of a note, over and over again."""
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)


def loudness(pcm: Pcm, hertz: float) -> float:
    """How much of a note is in there, as the amplitude of a sine, full scale being 1."""
    if not len(pcm):
        return 0.0
    turns = np.exp(-2j * np.pi * hertz * np.arange(len(pcm)) / RATE_HZ)
    return float(2 * abs(np.mean(pcm / 32768 * turns)))


@dataclass(eq=False)
class Participant:
    call: FakeCall
    noun: ElementTree.Element
    out: asyncio.Event = field(default_factory=asyncio.Event)
    """The conference is over for him, though he has not hung up."""
    music: deque[Pcm] = field(default_factory=deque)
    said: int = 0
    """Frames of what he says that were heard."""

    def wants(self, attribute: str, usual: str) -> bool:
        return self.noun.get(attribute, usual) == "true"

    def speaks(self) -> Pcm:
        mouth = self.call.mouth
        if not len(mouth):
            return QUIET
        places = (np.arange(FRAME) + self.said * FRAME) % len(mouth)
        self.said += 1
        frame: Pcm = mouth[places]
        return frame


class Conference:
    """One room, from the first who comes to its end."""

    def __init__(self, account: FakeTwilio, name: str) -> None:
        self._account = account
        self.name = name
        self.sid = new_sid("CF")
        self.participants: list[Participant] = []
        self.started = False
        self.over = False
        self.events: list[tuple[str, str]] = []
        """What was told of it, and of which call."""
        self._told: ElementTree.Element | None = None
        self._sequence = 0
        self._mixing: asyncio.Task[None] | None = None

    async def take_part(self, call: FakeCall, noun: ElementTree.Element) -> None:
        """Until the conference is over, or the call is taken elsewhere."""
        self._check(noun)
        me = Participant(call, noun)
        if len(self.participants) >= int(noun.get("maxParticipants", "250")):
            raise WebhookFailed("13253: the conference is full", None, 13253)
        self._told = noun if self._told is None else self._told
        self.participants.append(me)
        call.in_conference = True
        if self._mixing is None:
            self._mixing = self._account.spawn(self._mix(), f"mix {self.name}")
        self._tell("participant-join", me)
        if not self.started and me.wants("startConferenceOnEnter", "true"):
            self.started = True
            self._tell("conference-start", me)
        entertaining = self._account.spawn(self._entertain(me), f"music {call.sid}")
        call.news.set()
        try:
            await me.out.wait()
        finally:
            entertaining.cancel()
            call.in_conference = False
            self._leave(me)
            call.news.set()

    def _leave(self, me: Participant) -> None:
        self.participants.remove(me)
        self._tell("participant-leave", me)
        if me.wants("endConferenceOnExit", "false") or not self.participants:
            if not self.over:
                self.over = True
                self._tell("conference-end", me)
            for other in self.participants:
                other.out.set()
            if self._mixing is not None:
                self._mixing.cancel()
                self._mixing = None

    def _check(self, noun: ElementTree.Element) -> None:
        faults = self._account.faults
        wanted = set((noun.get("statusCallbackEvent") or "").split())
        faults += [f"<Conference statusCallbackEvent>: no {name}" for name in wanted - CONFERENCE_EVENTS]
        for name in ("startConferenceOnEnter", "endConferenceOnExit"):
            if noun.get(name, "true") not in ("true", "false"):
                faults.append(f"<Conference {name}={noun.get(name)!r}>")
        if noun.get("beep", "true") not in ("true", "false", "onEnter", "onExit"):
            faults.append(f"<Conference beep={noun.get('beep')!r}>")
        if not (noun.text or "").strip() or len(noun.text or "") > 128:
            faults.append("<Conference> needs a name of at most 128 characters")

    # --- what is heard --------------------------------------------------------------------------------------

    async def _mix(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            said = {one: one.speaks() for one in self.participants}
            for one in self.participants:
                others = [pcm for other, pcm in said.items() if other is not one]
                if self.started and others:
                    one.music.clear()
                    mixed = np.sum([pcm.astype(np.int32) for pcm in others], axis=0)
                    one.call.ear.append(np.clip(mixed, -32768, 32767).astype(np.int16))
                else:
                    one.call.ear.append(one.music.popleft() if one.music else QUIET)
            due += FRAME / RATE_HZ
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _entertain(self, one: Participant) -> None:
        """Run what the first ``waitUrl`` says, as long as nobody else is there."""
        url = one.noun.get("waitUrl")
        if url is None or url == "":
            return
        if one.noun.get("waitMethod", "POST") != "POST":
            self._account.faults.append("the fake has only POST webhooks")
        with contextlib.suppress(SimulatorError):
            while url and not (self.started and len(self.participants) > 1):
                form = [("ConferenceSid", self.sid), ("FriendlyName", self.name), *one.call.form()]
                answer = await one.call.post(url, form)
                root = ElementTree.fromstring(answer.body)
                one.call.documents.append(answer.body)
                self._account.faults += oddities(root)
                url = await self._play(one, root)

    async def _play(self, one: Participant, root: ElementTree.Element) -> str:
        for verb in root:
            match verb.tag:
                case "Play":
                    pcm = await self._fetch(verb.text or "")
                    for _ in range(int(verb.get("loop", "1")) or 1000):
                        one.music.extend(pcm[at : at + FRAME] for at in range(0, len(pcm) - FRAME, FRAME))
                        while one.music:
                            await asyncio.sleep(0.02)
                case "Pause":
                    await asyncio.sleep(float(verb.get("length", "1")) * PAUSE_SCALE)
                case "Redirect":
                    return verb.text or ""
                case "Say":
                    one.call.said.append(verb.text or "")
                case _:
                    self._account.faults.append(f"<{verb.tag}> is not allowed while somebody waits")
        return ""

    async def _fetch(self, url: str) -> Pcm:
        """A sound file; Twilio sends no signature for those."""
        carrier = self._account.carrier
        if not url.startswith(carrier.public_url + "/"):
            self._account.faults.append(f"11200: {url} is not below {carrier.public_url}")
            return QUIET
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(carrier.server_url + url.removeprefix(carrier.public_url))
        self._account.fetched.append((urlsplit(url).path, answer.status_code))
        if answer.status_code != 200 or answer.headers["content-type"] not in ("audio/wav", "audio/x-wav"):
            self._account.faults.append(
                f"12400: {url} gave {answer.status_code} {answer.headers.get('content-type')}"
            )
            return QUIET
        pcm, rate_hz = wav.decode(answer.content)
        if rate_hz != RATE_HZ:
            self._account.faults.append(f"the fake plays {RATE_HZ} Hz only, not {rate_hz}")
        return pcm

    # --- what it tells --------------------------------------------------------------------------------------

    def _tell(self, event: str, one: Participant) -> None:
        self.events.append((event, one.call.sid))
        noun, short = self._told, event.rpartition("-")[2]
        url = noun.get("statusCallback") if noun is not None else None
        if noun is None or not url or short not in (noun.get("statusCallbackEvent") or "").split():
            return
        sequence, self._sequence = self._sequence + 1, self._sequence + 1
        form = [
            ("ConferenceSid", self.sid),
            ("FriendlyName", self.name),
            ("AccountSid", self._account.sid),
            ("SequenceNumber", str(sequence)),
            ("Timestamp", "Thu, 01 Jan 2026 00:00:00 +0000"),
            ("StatusCallbackEvent", event),
        ]
        if event.startswith("participant-"):
            switches = (("StartConferenceOnEnter", "true"), ("EndConferenceOnExit", "false"))
            form += [("CallSid", one.call.sid), ("Muted", "false"), ("Hold", "false"), ("Coaching", "false")]
            form += [(name, one.noun.get(name[0].lower() + name[1:], usual)) for name, usual in switches]
        elif event == "conference-end":
            form += [("CallSidEndingConference", one.call.sid), ("ReasonConferenceEnded", "participant-left")]
        self._account.spawn(self._post(one.call, url, form, event), f"callback {self.sid} {event}")

    async def _post(self, call: FakeCall, url: str, form: list[tuple[str, str]], event: str) -> None:
        callee = self._account.callees.get(call.to, self._account.callee)
        await asyncio.sleep(callee.late_s.get(event, 0.0))
        for _ in range(2 if callee.callbacks_twice else 1):
            with contextlib.suppress(SimulatorError):
                await call.post(url, form)
