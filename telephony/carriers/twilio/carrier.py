"""Twilio as a ``Carrier``: what the server asks of it of its own accord."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from telephony.carriers.twilio.rest import Rest
from telephony.errors import CarrierRefused, Unsupported
from telephony.numbers import normalise
from telephony.ports import Capabilities, DialOrder, ForwardOrder, OwnNumber

NAME: Final = "twilio"
ANSWER_PATH: Final = "/twilio/answer/"
STATUS_PATH: Final = "/twilio/status/"
MACHINE_PATH: Final = "/twilio/machine/"
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
        return replace(_AUDIO_ALONE, dials=True, hangs_up=True, detects_machines=True)

    async def dial(self, order: DialOrder) -> str:
        """Twilio runs what ``ANSWER_PATH`` says when somebody picks up."""
        fields = [
            ("To", order.to),
            ("From", order.from_),
            ("Url", self._url(ANSWER_PATH, order)),
            ("Method", "POST"),
            ("StatusCallback", self._url(STATUS_PATH, order)),
            ("StatusCallbackMethod", "POST"),
            *(("StatusCallbackEvent", event) for event in _PROGRESS),
            ("Timeout", str(order.ring_timeout_s)),
        ]
        if order.detect_machine != "no":
            # Without AsyncAmd the callee would hear nothing for the seconds that it takes.
            fields += [
                ("MachineDetection", "Enable" if order.detect_machine == "start" else "DetectMessageEnd"),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", self._url(MACHINE_PATH, order)),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]
        placed = await self._needed("dial without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN").create_call(
            fields
        )
        sid = placed.get("sid")
        if not isinstance(sid, str) or not sid:
            raise CarrierRefused("Twilio placed the call and did not say its id", status=201)
        return sid

    def _url(self, path: str, order: DialOrder) -> str:
        return self._public_url + path + order.reference

    async def hang_up(self, call_id: str) -> None:
        rest = self._needed("hang up without TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        try:
            await rest.update_call(call_id, [("Status", "completed")])
        except CarrierRefused as refused:
            if refused.status != 404 and refused.number not in OVER:
                raise

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        raise Unsupported(self.name, "forward calls")

    async def send_digits(self, call_id: str, digits: str) -> None:
        raise Unsupported(self.name, "send digits")

    async def transfer(self, call_id: str, conference: str) -> None:
        raise Unsupported(self.name, "transfer calls")

    async def owns(self, number: str) -> bool:
        wanted = normalise(number)
        own = await self._known(FRESH_S)
        if wanted not in own:
            own = await self._known(ASK_AGAIN_S)
        return wanted in own

    async def numbers(self) -> list[OwnNumber]:
        return [number for number in (await self._known(0.0)).values() if number.receives]

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
