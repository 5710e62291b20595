"""One call at the fake Twilio: it runs TwiML, verb by verb, and tells of its progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np

from media.frames import Pcm
from telephony.carriers.twilio.simulator import (
    CallOptions,
    SimulatedCall,
    SimulatorError,
    StreamRefused,
    WebhookAnswer,
    WebhookFailed,
    new_sid,
)
from telephony.carriers.twilio.simulator.instructions import stream_plan
from tests.fakes.twilio.fields import oddities

if TYPE_CHECKING:
    from tests.fakes.twilio.account import Callee, FakeTwilio

Form = list[tuple[str, str]]
FINAL = ("completed", "busy", "no-answer", "failed", "canceled")
TIMEOUT_S = 20.0
PAUSE_SCALE = 0.02
"""Of the seconds that a document asks to wait."""
_FOLLOWS = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}


class FakeCall:
    """A call. What it did is kept for the test to look at."""

    def __init__(self, account: FakeTwilio, sid: str, from_: str, to: str, direction: str) -> None:
        self.account = account
        self.sid = sid
        self.from_, self.to, self.direction = from_, to, direction
        self.fields: dict[str, list[str]] = {}
        """What it was created with over REST."""
        self.extra: Form = []
        """Further fields of its webhooks."""
        self.options = CallOptions()
        self.status = "ringing" if direction == "inbound" else "queued"
        self.statuses = [self.status]
        self.streams: list[SimulatedCall] = []
        self.said: list[str] = []
        self.digits: list[str] = []
        """Pressed by ``<Play digits>``."""
        self.dialled: list[tuple[str, str]] = []
        """Target and outcome of each ``<Dial>``."""
        self.joined = False
        """With whom <Dial> has called."""
        self.whispered: list[str] = []
        """To who was called, before he was joined to the caller."""
        self.in_conference = False
        self.mouth: Pcm = np.zeros(0, dtype=np.int16)
        """What he says in a conference, over and over again; 8 kHz."""
        self.ear: list[Pcm] = []
        """What he heard in conferences, 20 ms each."""
        self.rejected: str | None = None
        self.documents: list[str] = []
        self.answers: list[tuple[str, int]] = []
        """Path and HTTP status of each webhook."""
        self.news = asyncio.Event()
        self.sip_code: int | None = None
        self.action_after_hangup = False
        """Whether the ``action`` of ``<Connect>`` or of a conference is asked when the caller has hung up."""
        self._sequence = 0
        self._running: asyncio.Task[None] | None = None
        self._left = False
        self._streams = False
        """The document waits for the end of the newest stream."""
        self._begun_at = asyncio.get_running_loop().time()

    # --- what a test does -----------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self.status in FINAL

    async def stream(self, count: int = 1) -> SimulatedCall:
        """The ``count``-th media stream of the call, as soon as it is open."""
        await self.until(lambda: len(self.streams) >= count, f"stream {count}")
        return self.streams[count - 1]

    async def ended(self) -> str:
        """Wait for its end; returns the status that it has then."""
        await self.until(lambda: self.over, "the end")
        return self.status

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not condition():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {what} of {self.sid}: {self.statuses} {self.answers}") from None

    def hang_up(self) -> None:
        """The far end hangs up."""
        if self.over or self._left:
            return
        self._left = True
        if self._streams:
            self.streams[-1].hang_up()  # what runs the document goes on from there
        elif self._running is not None:
            self._running.cancel()

    # --- what the account does ------------------------------------------------------------------------------

    def ring(self) -> None:
        """It comes in: ask the webhook, and do what it says."""
        self._begin(self._incoming())

    def place(self, callee: Callee) -> None:
        """It was asked for: call ``callee``."""
        self._begin(self._outgoing(callee))

    def redirect(self, document: str | None, url: str | None) -> None:
        """Something else from here on; its media stream ends."""
        running, self._running = self._running, None
        self._streams = False
        if running is not None:
            running.cancel()
        if self.streams and self.streams[-1].end is None:
            self.streams[-1].hang_up()
        self._begin(self._run(document) if document is not None else self._fetch(url or "", "POST"))

    def end(self) -> None:
        """The account's owner ends it."""
        status = "completed" if self.status == "in-progress" else "canceled"
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        if self.streams and self.streams[-1].end is None:
            self.streams[-1].hang_up()
        self._become(status)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._running = self.account.spawn(self._guarded(work), name=f"fake {self.sid}")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        me = asyncio.current_task()
        try:
            await work
        except asyncio.CancelledError:
            if not self._left:
                raise
        except SimulatorError as error:
            self.account.notes.append(str(error))
        if self._running is me and not self.over:
            given_up = "no-answer" if self.direction == "inbound" else "canceled"
            self._become("completed" if self.status == "in-progress" else given_up)

    async def _incoming(self) -> None:
        await self._fetch(self.account.pointed(self.to)[0], "POST")

    async def _outgoing(self, callee: Callee) -> None:
        self._become("initiated")
        await asyncio.sleep(callee.ring_after_s)
        if callee.does != "failed":
            self._become("ringing")
            await asyncio.sleep(callee.answer_after_s)
        if callee.does != "answer":
            self.sip_code = callee.sip_code
            self._become(callee.does)
            return
        self._become("in-progress")
        if self._field("MachineDetection") and self._field("AsyncAmd") == "true":
            self.account.spawn(self._detected(callee), name=f"amd {self.sid}")
        document = self._field("Twiml")
        if document:
            await self._run(document)
        else:
            await self._fetch(self._field("Url"), self._field("Method") or "POST")

    async def _detected(self, callee: Callee) -> None:
        await asyncio.sleep(callee.machine_after_s)
        form = [("CallSid", self.sid), ("AccountSid", self.account.sid), ("AnsweredBy", callee.answered_by)]
        url = self._field("AsyncAmdStatusCallback")
        if url:
            await self.post(url, [*form, ("MachineDetectionDuration", "2400")])

    def _field(self, name: str) -> str:
        return (self.fields.get(name) or [""])[0]

    # --- documents ------------------------------------------------------------------------------------------

    async def _fetch(self, url: str, method: str, extra: Sequence[tuple[str, str]] = ()) -> None:
        if method != "POST":
            self.account.faults.append(f"the fake has only POST webhooks, not {method}")
        answer = await self.post(url, [*self.form(), *extra])
        if not 200 <= answer.status < 300:
            raise WebhookFailed(f"{url} was answered with HTTP {answer.status}", answer.status, 11217)
        if answer.content_type.partition(";")[0].strip() not in ("text/xml", "application/xml"):
            raise WebhookFailed(f"{url} was answered as {answer.content_type}", answer.status, 12300)
        await self._run(answer.body)

    async def _run(self, document: str) -> None:
        self.documents.append(document)
        self.news.set()
        try:
            root = ElementTree.fromstring(document)
        except ElementTree.ParseError as error:
            raise WebhookFailed(f"no XML: {error}", 200, 12100) from None
        self.account.faults += oddities(root)
        for verb in root:
            if await self._verb(verb):
                return
        if not self._left:
            self._become("completed")

    async def _verb(self, verb: ElementTree.Element) -> bool:
        """Run one; True: the document is left."""
        if verb.tag == "Reject":
            self.rejected = verb.get("reason", "rejected")
            self._become("busy" if self.rejected == "busy" else "no-answer")
            return True
        self._become("in-progress")
        match verb.tag:
            case "Hangup":
                self._become("completed")
                return True
            case "Say":
                self.said.append(verb.text or "")
            case "Pause":
                await asyncio.sleep(float(verb.get("length", "1")) * PAUSE_SCALE)
            case "Play":
                if verb.get("digits"):
                    self.digits.append(verb.get("digits", ""))
            case "Redirect":
                await self._fetch(verb.text or "", verb.get("method", "POST"))
                return True
            case "Connect":
                return await self._connect(verb)
            case "Dial":
                return await self._dial(verb)
        self.news.set()
        return False

    async def _connect(self, verb: ElementTree.Element) -> bool:
        stream = verb.find("Stream")
        if stream is None:
            raise WebhookFailed("<Connect> without <Stream>", 200, 12200)
        told = stream.get("statusCallback")
        try:
            opened = await self.account.carrier.open_stream(
                stream_plan(stream, self.sid), options=self.options
            )
        except StreamRefused as error:
            self.account.notes.append(str(error))
            await self._tell_stream(told, "stream-error", str(error))
        else:
            self.streams.append(opened)
            self._streams = True
            self.news.set()
            await self._tell_stream(told, "stream-started")
            await opened.ended(timeout_s=3600)
            self._streams = False
            self.account.faults += opened.faults
            opened.faults.clear()
            await self._tell_stream(told, "stream-stopped")
        action = verb.get("action")
        if self._left and not (action and self.action_after_hangup):
            return False
        if action:
            await self._fetch(action, verb.get("method", "POST"))
            return True
        return False

    async def _tell_stream(self, url: str | None, event: str, error: str = "") -> None:
        if url:
            form = [("CallSid", self.sid), ("AccountSid", self.account.sid), ("StreamEvent", event)]
            sid = self.streams[-1].ids.stream_sid if self.streams else new_sid("MZ")
            await self.post(url, [*form, ("StreamSid", sid), ("StreamError", error)])

    async def _dial(self, verb: ElementTree.Element) -> bool:
        noun = next(iter(verb), None)
        target = (verb.text or "").strip() if noun is None else (noun.text or "").strip()
        if noun is not None and noun.tag == "Conference":
            return await self._confer(verb, noun, target)
        callee = self.account.callees.get(target, self.account.callee)
        await asyncio.sleep(callee.ring_after_s + callee.answer_after_s)
        outcome = "completed" if callee.does == "answer" else callee.does
        self.dialled.append((target, outcome))
        self.news.set()
        child = new_sid("CA")
        if callee.does == "answer":
            await self._child(noun, child, "in-progress", "answered")
            if noun is not None and noun.get("url"):
                await self._whisper(noun.get("url", ""), child)
            self.joined = True
            self.news.set()
            await asyncio.sleep(callee.talk_s)
        await self._child(noun, child, outcome, "completed")
        action = verb.get("action")
        if action and not self._left:
            extra = [("DialCallStatus", outcome), ("DialCallSid", new_sid("CA")), ("DialCallDuration", "1")]
            await self._fetch(action, verb.get("method", "POST"), extra)
            return True
        return False

    async def _confer(self, verb: ElementTree.Element, noun: ElementTree.Element, name: str) -> bool:
        action = verb.get("action")
        try:
            await self.account.conference(name).take_part(self, noun)
        except asyncio.CancelledError:
            if self._left and action and self.action_after_hangup:
                form = [(key, "completed" if key == "CallStatus" else value) for key, value in self.form()]
                form.append(("DialCallStatus", "completed"))
                self.account.spawn(self._tell(action, form, "action"), f"action {self.sid}")
            raise
        if not action:
            return False
        await self._fetch(action, verb.get("method", "POST"), [("DialCallStatus", "completed")])
        return True

    async def _child(self, noun: ElementTree.Element | None, sid: str, status: str, event: str) -> None:
        """Tell of the call that <Dial> makes, where that is wanted."""
        url = noun.get("statusCallback") if noun is not None else None
        wanted = (noun.get("statusCallbackEvent") or "completed").split() if noun is not None else []
        if url and event in wanted:
            form = [("CallSid", sid), ("ParentCallSid", self.sid), ("AccountSid", self.account.sid)]
            await self.post(url, [*form, ("CallStatus", status)])

    async def _whisper(self, url: str, sid: str) -> None:
        form = [("CallSid", sid), ("ParentCallSid", self.sid), ("AccountSid", self.account.sid)]
        document = (await self.post(url, [*form, ("CallStatus", "in-progress")])).body
        self.documents.append(document)
        self.whispered += [verb.text or "" for verb in ElementTree.fromstring(document).iter("Say")]

    # --- what it tells --------------------------------------------------------------------------------------

    def form(self) -> Form:
        """What each of its webhooks says."""
        form = [
            ("AccountSid", self.account.sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", self.sid),
            ("CallStatus", self.status),
            ("Direction", self.direction),
            *(("From", self.from_), ("To", self.to), ("Caller", self.from_), ("Called", self.to)),
            *((place + "City", "") for place in ("From", "To", "Caller", "Called")),
        ]
        return form + self.extra

    async def post(self, url: str, form: Sequence[tuple[str, str]]) -> WebhookAnswer:
        """A signed webhook to the server; anything but 2xx is a fault of the server's."""
        public = self.account.carrier.public_url
        if not url.startswith(public + "/"):
            self.account.faults.append(f"11200: {url} is not below {public}")
            raise WebhookFailed(f"cannot reach {url}", None, 11200)
        path = url.removeprefix(public)
        answer = await self.account.carrier.post(path, list(form), self.sid)
        self.answers.append((urlsplit(path).path, answer.status))
        self.news.set()
        return answer

    def _become(self, status: str) -> None:
        if self.over or status == self.status:
            return
        self.status = status
        self.statuses.append(status)
        self.news.set()
        event = _FOLLOWS.get(status, "completed")
        url, wanted = self._field("StatusCallback"), self.fields.get("StatusCallbackEvent") or ["completed"]
        if self.direction == "inbound":
            url, wanted = self.account.pointed(self.to)[1], ["completed"]
        sequence, self._sequence = self._sequence, self._sequence + 1
        if url and event in wanted:
            form = [
                *self.form(),
                ("SequenceNumber", str(sequence)),
                ("CallbackSource", "call-progress-events"),
            ]
            seconds = asyncio.get_running_loop().time() - self._begun_at
            form.append(("Timestamp", "Thu, 01 Jan 2026 00:00:00 +0000"))
            if status in FINAL:
                form += [("CallDuration", str(int(seconds))), ("Duration", "1")]
            if self.sip_code is not None:
                form.append(("SipResponseCode", str(self.sip_code)))
            self.account.spawn(self._tell(url, form, event), name=f"callback {self.sid} {status}")

    async def _tell(self, url: str, form: Form, event: str) -> None:
        callee = self.account.callees.get(self.to, self.account.callee)
        await asyncio.sleep(callee.late_s.get(event, 0.0))
        for _ in range(2 if callee.callbacks_twice else 1):
            with contextlib.suppress(SimulatorError):
                await self.post(url, form)
