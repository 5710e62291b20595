"""Twilio as a ``Carrier``: what the server asks of it of its own accord."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

from telephony.carriers.twilio import twiml
from telephony.carriers.twilio.rest import Fields, Rest
from telephony.errors import CarrierRefused, NoSuchCall, Unsupported
from telephony.numbers import normalise
from telephony.ports import Capabilities, DialOrder, ForwardOrder, OwnNumber, TransferOrder

NAME: Final = "twilio"
ANSWER_PATH: Final = "/twilio/answer/"
STATUS_PATH: Final = "/twilio/status/"
MACHINE_PATH: Final = "/twilio/machine/"
RESUME_PATH: Final = "/twilio/resume"
"""Is asked what comes next when a media stream is over."""
FORWARDED_PATH: Final = "/twilio/forwarded/"
FORWARD_STATUS_PATH: Final = "/twilio/forward-status/"
WHISPER_PATH: Final = "/twilio/whisper/"
WAIT_PATH: Final = "/twilio/transfer/wait/"
"""Is asked what a caller hears in his conference, until somebody is joined to him."""
ROOM_PATH: Final = "/twilio/transfer/room/"
"""Is told who comes into it, and goes."""
LEFT_PATH: Final = "/twilio/transfer/left/"
"""Is asked what comes next when the caller's conference is over."""
INVITED_PATH: Final = "/twilio/transfer/invited/"
"""Is asked what to do with who was called, when he picks up."""
JOIN_PATH: Final = "/twilio/transfer/join/"
"""Is asked the same when he has heard what is announced."""
INVITED_STATUS_PATH: Final = "/twilio/transfer/status/"
INVITED_MACHINE_PATH: Final = "/twilio/transfer/machine/"
MUSIC_PATH: Final = "/twilio/music/"
OVER: Final = frozenset({20404, 21220})
"""Twilio's codes for a call that is over: nothing is left to be ended."""
FRESH_S: Final = 300.0
"""So long the account's numbers are taken for unchanged."""
ASK_AGAIN_S: Final = 10.0
"""A number that is not among them may have been bought just now: they are asked for again, not more often."""

_PROGRESS: Final = ("initiated", "ringing", "answered", "completed")
_AUDIO_ALONE: Final = Capabilities(
    screens=True,
    refuses=frozenset({"rejected", "busy"}),
    digits_in=True,
    confirms_playout=True,
    takes_back=True,
)


class TwilioCarrier:
    """``rest``: None where the operator gave no account: calls come in, and nothing can be asked for."""

    name = NAME

    def __init__(self, rest: Rest | None, public_url: str) -> None:
        self._rest = rest
        self._public_url = public_url.rstrip("/")
        self._loop = asyncio.get_running_loop()
        self._own: dict[str, OwnNumber] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        if self._rest is None:
            return _AUDIO_ALONE
        return replace(
            _AUDIO_ALONE,
            dials=True,
            hangs_up=True,
            detects_machines=True,
            digits_out="reopens_stream",
            forwards=True,
            forward_returns=True,
            transfers=True,
        )

    async def dial(self, order: DialOrder) -> str:
        """Twilio runs what ``ANSWER_PATH`` says when somebody picks up."""
        return await self._place(order, ANSWER_PATH, STATUS_PATH, MACHINE_PATH)

    async def _place(self, order: DialOrder | TransferOrder, answered: str, told: str, machine: str) -> str:
        fields = [
            ("To", order.to),
            ("From", order.from_),
            ("Url", self._url(answered, order.reference)),
            ("Method", "POST"),
            ("StatusCallback", self._url(told, order.reference)),
            ("StatusCallbackMethod", "POST"),
            *(("StatusCallbackEvent", event) for event in _PROGRESS),
            ("Timeout", str(order.ring_timeout_s)),
        ]
        if order.detect_machine != "no":
            # Without AsyncAmd the callee would hear nothing for the seconds that it takes.
            fields += [
                ("MachineDetection", "Enable" if order.detect_machine == "start" else "DetectMessageEnd"),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", self._url(machine, order.reference)),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]
        placed = await self._needed("dial without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN").create_call(
            fields
        )
        sid = placed.get("sid")
        if not isinstance(sid, str) or not sid:
            raise CarrierRefused("Twilio placed the call and did not say its id", status=201)
        return sid

    def _url(self, path: str, reference: str = "") -> str:
        return self._public_url + path + reference

    async def hang_up(self, call_id: str) -> None:
        with contextlib.suppress(NoSuchCall):
            await self._update(call_id, [("Status", "completed")], "hang up")

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        """``FORWARD_STATUS_PATH`` is told when somebody picks up, and ``FORWARDED_PATH`` asked what comes next."""
        announced = self._url(WHISPER_PATH, call_id) if order.announcement else ""
        told = self._url(FORWARD_STATUS_PATH, call_id)
        document = twiml.dial(order, self._url(FORWARDED_PATH, call_id), told, announced)
        await self._update(call_id, [("Twiml", document)], "forward calls")

    async def send_digits(self, call_id: str, digits: str) -> None:
        """``RESUME_PATH`` opens the stream again."""
        document = twiml.press(digits, self._url(RESUME_PATH))
        await self._update(call_id, [("Twiml", document)], "send digits")

    async def _update(self, call_id: str, fields: Fields, what: str) -> None:
        rest = self._needed(f"{what} without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        try:
            await rest.update_call(call_id, fields)
        except CarrierRefused as refused:
            if refused.status == 404 or refused.number in OVER:
                raise NoSuchCall(str(refused), status=refused.status, number=refused.number) from None
            raise

    async def confer(self, call_id: str, reference: str) -> None:
        """``LEFT_PATH`` is asked what comes next when that is over."""
        document = twiml.wait(self.room(reference), self._url(LEFT_PATH, reference))
        await self._update(call_id, [("Twiml", document)], "transfer calls")

    async def invite(self, order: TransferOrder) -> str:
        """``INVITED_PATH`` is asked what to do with who picks up."""
        return await self._place(order, INVITED_PATH, INVITED_STATUS_PATH, INVITED_MACHINE_PATH)

    async def join(self, call_id: str, reference: str) -> None:
        await self._update(call_id, [("Twiml", twiml.join(self.room(reference)))], "transfer calls")

    async def bring_back(self, call_id: str) -> None:
        """``RESUME_PATH`` opens the stream again."""
        await self._update(call_id, [("Url", self._url(RESUME_PATH)), ("Method", "POST")], "transfer calls")

    def room(self, reference: str) -> twiml.Room:
        """The conference of a transfer."""
        return twiml.Room(reference, self._url(WAIT_PATH, reference), self._url(ROOM_PATH, reference))

    async def owns(self, number: str) -> bool:
        wanted = normalise(number)
        own = await self._known(FRESH_S)
        if wanted not in own:
            own = await self._known(ASK_AGAIN_S)
        return wanted in own

    async def numbers(self) -> list[OwnNumber]:
        return [number for number in (await self._known(0.0)).values() if number.receives]

    async def balance(self) -> tuple[str, str]:
        told = await self._needed("tell a balance without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN").balance()
        return str(told.get("balance", "")), str(told.get("currency", ""))

    async def _known(self, fresh_s: float) -> dict[str, OwnNumber]:
        rest = self._needed("list numbers without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        async with self._asking:
            if self._loop.time() - self._asked_at >= fresh_s:
                found = [_own(number, receives=True) for number in await rest.numbers()]
                found += [_own(number, receives=False) for number in await rest.caller_ids()]
                self._own = {normalise(own.number): own for own in reversed(found) if own.number}
                self._asked_at = self._loop.time()
            return self._own

    def _needed(self, what: str) -> Rest:
        if self._rest is None:
            raise Unsupported(self.name, what)
        return self._rest

    async def aclose(self) -> None:
        if self._rest is not None:
            await self._rest.aclose()


def _own(told: dict[str, object], *, receives: bool) -> OwnNumber:
    def text(name: str) -> str:
        value = told.get(name)
        return value if isinstance(value, str) else ""

    return OwnNumber(text("phone_number"), text("sid"), text("friendly_name"), text("voice_url"), receives)
