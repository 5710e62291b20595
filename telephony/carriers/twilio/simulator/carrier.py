"""The simulated carrier: rings the server's webhook as Twilio does, and opens the media stream it answers."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode, urlsplit

import httpx

from telephony.carriers.twilio import signature as signatures
from telephony.carriers.twilio.simulator.call import CallOptions, SimulatedCall
from telephony.carriers.twilio.simulator.errors import ServerUnreachable, StreamRefused, WebhookFailed
from telephony.carriers.twilio.simulator.instructions import StreamPlan, read_twiml
from telephony.carriers.twilio.simulator.socket import MediaSocket
from telephony.carriers.twilio.simulator.ticker import Ticker
from telephony.carriers.twilio.simulator.wire import StreamIds

VOICE_PATH: Final = "/twilio/voice"
WEBHOOK_TIMEOUT_S: Final = 15.0
"""Twilio's own patience with a webhook."""

_SCHEMES: Final = {"http": "ws", "https": "wss"}
_PLACES: Final = ("From", "Caller", "To", "Called")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


def new_sid(prefix: str) -> str:
    """An id as Twilio makes them: two letters and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the server said to a webhook, whatever it was."""

    call_sid: str
    status: int
    content_type: str
    body: str

    def plan(self) -> StreamPlan:
        """Follow the answer. Raises as ``read_twiml`` does, and ``WebhookFailed`` for any status but 2xx."""
        if not 200 <= self.status < 300:
            raise WebhookFailed(f"the voice webhook was answered with HTTP {self.status}", self.status, 11217)
        if self.content_type.partition(";")[0].strip().lower() not in ("text/xml", "application/xml"):
            raise WebhookFailed(
                f"the voice webhook was answered as {self.content_type!r}, not as text/xml",
                self.status,
                12300,
            )
        return read_twiml(self.body, self.call_sid)


class SimulatedCarrier:
    """A far end that behaves like Twilio. Use it as an asynchronous context manager: leaving it hangs up.

    ``auth_token`` signs webhooks and upgrades; None: nothing is signed. ``public_url`` is the address that
    the server was told to have (default: ``server_url``): it is what is signed, and streams that are wanted
    there are opened at ``server_url``, as if through a proxy.

    Faults are made from the two halves of ``place_call``: a webhook twice (``ring`` with the same
    ``call_sid``), a wrong signature (``signature=``), a forged token (``open_stream`` with another URL in the
    plan), a second socket (``open_stream`` again), silence after the upgrade (``CallOptions.send_start``).
    """

    def __init__(
        self,
        server_url: str,
        *,
        auth_token: str | None = None,
        public_url: str | None = None,
        account_sid: str | None = None,
        voice_path: str = VOICE_PATH,
    ) -> None:
        self.server_url = server_url.rstrip("/")
        self.public_url = (public_url or server_url).rstrip("/")
        self.account_sid = account_sid or new_sid("AC")
        self.voice_path = voice_path
        self._auth_token = auth_token
        self._calls: set[SimulatedCall] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._ticker = Ticker()
        self._epoch_offset_s = datetime.now(UTC).timestamp() - loop.time()
        # No proxy of the environment is between a carrier and a server; certificates are loaded where needed.
        verify = self.server_url.startswith("https:")
        self._http = httpx.AsyncClient(timeout=WEBHOOK_TIMEOUT_S, trust_env=False, verify=verify)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        calls = [call for call in self._calls if call.end is None]
        for call in calls:
            call.hang_up()
        for call in calls:
            try:
                await call.ended(timeout_s=5)
            except TimeoutError:
                call.drop()
                await call.ended(timeout_s=5)
        await self._http.aclose()

    async def place_call(
        self, from_: str, to: str, *, call_sid: str | None = None, options: CallOptions | None = None
    ) -> SimulatedCall:
        """Call ``to``. Returns when the stream is open and ``start`` is sent.

        Raises ``CallRejected``, ``CallHungUp``, ``ServerUnreachable``, ``WebhookFailed``, ``StreamRefused``.
        """
        answer = await self.ring(from_, to, call_sid=call_sid)
        return await self.open_stream(answer.plan(), options=options)

    async def ring(
        self, from_: str, to: str, *, call_sid: str | None = None, signature: str | None = None
    ) -> WebhookAnswer:
        """Ask the server what to do with a call. ``signature`` is sent instead of the right one; "" leaves
        it out. Raises ``ServerUnreachable`` and, for no answer in time, ``WebhookFailed``."""
        sid = call_sid or new_sid("CA")
        return await self.post(self.voice_path, self._voice_form(sid, from_, to), sid, signature=signature)

    async def post(
        self, path: str, form: Sequence[tuple[str, str]], call_sid: str, *, signature: str | None = None
    ) -> WebhookAnswer:
        """Any webhook, signed over ``public_url``. Raises as ``ring`` does."""
        if signature is None and self._auth_token:
            signature = signatures.sign(self._auth_token, self.public_url + path, form)
        headers = {
            "Content-Type": _FORM_TYPE,
            "User-Agent": "TwilioProxy/1.1",
            # A retry of Twilio's has the token of the first attempt: here, whatever is the same request.
            "I-Twilio-Idempotency-Token": hashlib.sha256(urlencode(form).encode()).hexdigest()[:32],
        }
        if signature:
            headers[signatures.HEADER] = signature
        try:
            answer = await self._http.post(
                self.server_url + path, content=urlencode(form).encode(), headers=headers
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerUnreachable(f"no server answers at {self.server_url}: {error}") from None
        except httpx.TimeoutException:
            raise WebhookFailed(f"{path} was not answered in {WEBHOOK_TIMEOUT_S:g} s", None, 11200) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerUnreachable(f"{self.server_url + path}: {error}") from None
        return WebhookAnswer(
            call_sid, answer.status_code, answer.headers.get("Content-Type", ""), answer.text
        )

    async def open_stream(
        self, plan: StreamPlan, *, signature: str | None = None, options: CallOptions | None = None
    ) -> SimulatedCall:
        """Open the stream of a plan, with an id of its own each time. ``signature`` as in ``ring``.

        Raises ``StreamRefused``.
        """
        if signature is None and self._auth_token:
            signature = signatures.sign(self._auth_token, plan.url)
        headers = {"User-Agent": "TwilioMediaStreams/1.0"}
        if signature:
            headers[signatures.HEADER.lower()] = signature
        ids = StreamIds(self.account_sid, plan.call_sid, new_sid("MZ"))
        call = SimulatedCall(ids, self._ticker, options or CallOptions())
        socket = await MediaSocket.open(
            plan.url, self._dial(plan.url), headers, call.on_message, call.on_closed
        )
        self._calls = {other for other in self._calls if other.end is None} | {call}
        call.begin(socket, dict(plan.parameters), self._epoch_offset_s)
        return call

    def _dial(self, url: str) -> str:
        """Where a stream's URL leads: the server itself where it names the server's public address."""
        public = _websocket_base(self.public_url)
        if public is not None and (url == public or url.startswith(public + "/")):
            server = _websocket_base(self.server_url)
            if server is None:
                raise StreamRefused(f"{self.server_url} is no http address", None, 31923)
            return server + url[len(public) :]
        return url

    def _voice_form(self, call_sid: str, from_: str, to: str) -> list[tuple[str, str]]:
        form = [
            ("AccountSid", self.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", call_sid),
            ("CallStatus", "ringing"),
            ("CallToken", '{"parentCallInfoToken":"simulated"}'),
            ("Direction", "inbound"),
            ("From", from_),
            ("To", to),
            ("Caller", from_),
            ("Called", to),
            ("StirVerstat", "TN-Validation-Passed-A"),
        ]
        # Twilio sends them blank where it knows nothing, and signs them all the same.
        form += [(place + part, "") for place in _PLACES for part in ("City", "State", "Zip", "Country")]
        return form


def _websocket_base(url: str) -> str | None:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    return None if scheme is None else f"{scheme}://{parts.netloc}{parts.path}"
