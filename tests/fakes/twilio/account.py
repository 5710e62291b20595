"""The account: its numbers, its calls, and the REST API over which they are asked for."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

from telephony.carriers.twilio.simulator import SimulatedCarrier, new_sid
from tests.fakes.twilio.call import FakeCall, Form
from tests.fakes.twilio.conference import Conference
from tests.fakes.twilio.fields import (
    CALLBACK_EVENTS,
    CREATE,
    MAX_TWIML,
    NUMBER,
    NUMBER_QUERY,
    UPDATE,
    number_as_told,
    wrong_in_number,
)

_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")
ROOT = "/2010-04-01/Accounts/{account}"
TOKEN = "s3cret-token-of-the-account"


@dataclass
class Callee:
    """Somebody who can be called."""

    does: Literal["answer", "busy", "no-answer", "failed"] = "answer"
    ring_after_s: float = 0.02
    answer_after_s: float = 0.05
    talk_s: float = 0.2
    """How long he speaks with whom he was joined to by ``<Dial>``."""
    sip_code: int | None = None
    answered_by: str = "human"
    machine_after_s: float = 0.1
    late_s: dict[str, float] = field(default_factory=dict)
    """By the name of a status event: how late its callback is."""
    callbacks_twice: bool = False


@dataclass(frozen=True)
class Trouble:
    """What the next request of the API gets instead. ``status`` 0: no answer at all; ``placed``: and yet the call is
    placed."""

    status: int
    code: int = 20500
    message: str = "it is broken"
    placed: bool = False


class FakeTwilio:
    """Use it as an asynchronous context manager, and ``serve`` it once the server's address is known."""

    def __init__(self, numbers: tuple[str, ...] = ("+15550002222",), *, cps: int = 1) -> None:
        self.sid = new_sid("AC")
        self.token = TOKEN
        self.cps = cps
        self.secondary = ""
        """A second token that the API takes as well; what is signed is signed with ``token``."""
        self.status, self.kind, self.owner = "active", "Full", self.sid
        sids = {number: new_sid("PN") for number in numbers}
        self.numbers = {sid: number_as_told(sid, self.sid, number) for number, sid in sids.items()}
        self.caller_ids: tuple[str, ...] = ()
        self.clock_off_s = 0.0
        """How far ahead the clock of its ``Date`` header is."""
        self.callee = Callee()
        """Whoever is not in ``callees``."""
        self.callees: dict[str, Callee] = {}
        self.calls: dict[str, FakeCall] = {}
        self.conferences: list[Conference] = []
        self.fetched: list[tuple[str, int]] = []
        """Path and HTTP status of each sound file that was played."""
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        """Method, path below the account, and fields of each request of the API."""
        self.created_at: list[float] = []
        """When calls were asked for, on the loop's clock."""
        self.trouble: deque[Trouble] = deque()
        self.faults: list[str] = []
        """What Twilio would have dropped without a word."""
        self.notes: list[str] = []
        """What its debugger would show."""
        self.api_url = ""
        self.voice_url = ""
        self.number_status_url = ""

    @property
    def settings(self) -> dict[str, Any]:
        """For the server."""
        return {
            "twilio_account_sid": self.sid,
            "twilio_auth_token": self.token,
            "twilio_api_url": self.api_url,
        }

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        app = web.Application()
        app.router.add_head("/", self._front)
        app.router.add_get(ROOT + ".json", self._account)
        app.router.add_post(ROOT + "/Calls.json", self._create)
        app.router.add_post(ROOT + "/Calls/{sid}.json", self._update)
        app.router.add_get(ROOT + "/Calls/{sid}.json", self._get)
        app.router.add_get(ROOT + "/IncomingPhoneNumbers.json", self._list_numbers)
        app.router.add_get(ROOT + "/OutgoingCallerIds.json", self._list_caller_ids)
        app.router.add_post(ROOT + "/IncomingPhoneNumbers/{sid}.json", self._update_number)
        app.router.add_route("*", "/{path:.*}", self._nothing)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.api_url = f"http://{host}:{port}"
        return self

    async def serve(self, server_url: str, *, public_url: str | None = None, signed: bool = True) -> None:
        """This is the server that the numbers point at."""
        token = self.token if signed else None
        self.carrier = SimulatedCarrier(
            server_url, auth_token=token, public_url=public_url, account_sid=self.sid
        )
        await self.carrier.__aenter__()
        self.voice_url = self.carrier.public_url + "/twilio/voice"
        self.number_status_url = self.carrier.public_url + "/twilio/status"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for call in self.calls.values():
            call.hang_up()
        pending = [task for task in self._tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=3)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks) if self._tasks else None
        if hasattr(self, "carrier"):
            await self.carrier.__aexit__(None, None, None)
        await self._runner.cleanup()
        if error is None:
            assert self.faults == []

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.faults.append(f"the fake itself: {task.get_name()}: {task.exception()!r}")

    # --- what a test does -----------------------------------------------------------------------------------

    def call(self, from_: str, to: str, *, sid: str | None = None, extra: Form | None = None) -> FakeCall:
        """Somebody calls one of the numbers."""
        call = FakeCall(self, sid or new_sid("CA"), from_, to, "inbound")
        call.extra = [("CallToken", '{"parentCallInfoToken":"fake"}'), *(extra or [])]
        self.calls[call.sid] = call
        call.ring()
        return call

    async def placed(self, count: int = 1) -> FakeCall:
        """The ``count``-th call that was asked for over REST."""
        async with asyncio.timeout(20):
            while len(found := [c for c in self.calls.values() if c.direction != "inbound"]) < count:
                await asyncio.sleep(0.01)
        return found[count - 1]

    def conference(self, name: str) -> Conference:
        """The one of this name that is not over; else a new one."""
        for known in self.conferences:
            if known.name == name and not known.over:
                return known
        self.conferences.append(Conference(self, name))
        return self.conferences[-1]

    # --- the API --------------------------------------------------------------------------------------------

    async def _form(self, request: web.Request) -> dict[str, list[str]]:
        """Raises an answer where the request cannot be taken."""
        fields: dict[str, list[str]] = {}
        for name, value in (await request.post()).items():
            fields.setdefault(name, []).append(str(value))
        path = request.path.partition(self.sid)[2]
        self.requests.append((request.method, path, fields))
        given = request.headers.get("Authorization", "")
        tokens = [token for token in (self.token, self.secondary) if token]
        wanted = ["Basic " + base64.b64encode(f"{self.sid}:{token}".encode()).decode() for token in tokens]
        if given not in wanted or request.match_info["account"] != self.sid:
            raise _refused(web.HTTPUnauthorized, 20003, "Authenticate")
        return fields

    async def _troubled(self) -> web.Response | None:
        if not self.trouble:
            return None
        trouble = self.trouble.popleft()
        if trouble.status == 0:
            await asyncio.sleep(60)
        body = {"code": trouble.code, "message": trouble.message, "status": trouble.status}
        return web.json_response(body, status=trouble.status)

    def _check(self, fields: dict[str, list[str]], known: frozenset[str], what: str) -> None:
        self.faults += [f"{what}: Twilio knows no {name}" for name in fields.keys() - known]
        several = ("StatusCallbackEvent", "RecordingStatusCallbackEvent")
        self.faults += [f"{what}: {n} twice" for n, v in fields.items() if len(v) > 1 and n not in several]
        for event in fields.get("StatusCallbackEvent", []):
            if event not in CALLBACK_EVENTS:
                self.faults.append(f"{what}: no StatusCallbackEvent {event}")
        if len((fields.get("Twiml") or [""])[0]) > MAX_TWIML:
            raise _refused(web.HTTPBadRequest, 21218, "Twiml is too long")

    async def _create(self, request: web.Request) -> web.Response:
        fields = await self._form(request)
        placed_anyhow = bool(self.trouble) and self.trouble[0].placed
        if not placed_anyhow and (answer := await self._troubled()) is not None:
            return answer
        self._check(fields, CREATE, "Calls")
        to, from_ = ((fields.get(name) or [""])[0] for name in ("To", "From"))
        if not to.startswith(("+", "sip:", "client:")):
            raise _refused(
                web.HTTPBadRequest, 21211, f"The phone number you are attempting to call, {to}, is not valid."
            )
        own = {str(number["phone_number"]) for number in self.numbers.values()}
        if from_ not in {*own, *self.caller_ids}:
            raise _refused(
                web.HTTPBadRequest, 21210, f"The source phone number provided, {from_}, is not yet verified"
            )
        if not {"Url", "Twiml", "ApplicationSid"} & fields.keys():
            raise _refused(web.HTTPBadRequest, 21205, "Url parameter is required")
        self.created_at.append(asyncio.get_running_loop().time())
        call = FakeCall(self, new_sid("CA"), from_, to, "outbound-api")
        call.fields = fields
        self.calls[call.sid] = call
        call.place(self.callees.get(to, self.callee))
        if placed_anyhow:
            answer = await self._troubled()
            assert answer is not None
            return answer
        return web.json_response(self._told(call), status=201)

    async def _update(self, request: web.Request) -> web.Response:
        fields = await self._form(request)
        if (answer := await self._troubled()) is not None:
            return answer
        self._check(fields, UPDATE, "Calls/SID")
        call = self.calls.get(request.match_info["sid"])
        if call is None:
            raise _refused(web.HTTPNotFound, 20404, "The requested resource was not found")
        if call.over:
            raise _refused(web.HTTPBadRequest, 21220, "Call is not in-progress. Cannot redirect.")
        if "Status" in fields:
            status = fields["Status"][0]
            if status not in ("completed", "canceled"):
                raise _refused(web.HTTPBadRequest, 21218, f"Status {status}")
            if status == "completed" or call.status in ("queued", "initiated", "ringing"):
                call.end()
        elif {"Url", "Twiml"} <= fields.keys():
            raise _refused(web.HTTPBadRequest, 21218, "Url and Twiml exclude each other")
        elif {"Url", "Twiml"} & fields.keys():
            document, url = fields.get("Twiml"), fields.get("Url")
            call.redirect(document[0] if document else None, url[0] if url else None)
        return web.json_response(self._told(call))

    async def _get(self, request: web.Request) -> web.Response:
        await self._form(request)
        if (answer := await self._troubled()) is not None:
            return answer
        call = self.calls.get(request.match_info["sid"])
        if call is None:
            raise _refused(web.HTTPNotFound, 20404, "The requested resource was not found")
        return web.json_response(self._told(call))

    def _told(self, call: FakeCall) -> dict[str, Any]:
        place = {"from": call.from_, "to": call.to, "direction": call.direction}
        return {"sid": call.sid, "account_sid": self.sid, "status": call.status, "queue_time": "0", **place}

    async def _list_numbers(self, request: web.Request) -> web.Response:
        await self._form(request)
        if (answer := await self._troubled()) is not None:
            return answer
        self.faults += [f"IncomingPhoneNumbers: no {n}" for n in request.query.keys() - NUMBER_QUERY]
        # In pages of one, whatever is asked for: whoever reads only the first is found out.
        page = int(request.query.get("Page", "0"))
        found = list(self.numbers.values())
        following = f"{request.path}?PageSize=1&Page={page + 1}" if page + 1 < len(found) else None
        return web.json_response(
            {"incoming_phone_numbers": found[page : page + 1], "next_page_uri": following}
        )

    async def _list_caller_ids(self, request: web.Request) -> web.Response:
        await self._form(request)
        found = [{"sid": new_sid("PN"), "phone_number": number} for number in self.caller_ids]
        return web.json_response({"outgoing_caller_ids": found, "next_page_uri": None})

    async def _update_number(self, request: web.Request) -> web.Response:
        fields = await self._form(request)
        self._check(fields, NUMBER, "IncomingPhoneNumbers/SID")
        number = self.numbers.get(request.match_info["sid"])
        if number is None:
            raise _refused(web.HTTPNotFound, 20404, "The requested resource was not found")
        wrong = wrong_in_number(fields)
        if wrong is not None:
            raise _refused(web.HTTPBadRequest, *wrong)
        for name, (value, *_) in fields.items():
            number[_SNAKE.sub("_", name).lower()] = value if value or "sid" not in name.lower() else None
        return web.json_response(number)

    async def _account(self, request: web.Request) -> web.Response:
        await self._form(request)
        if (answer := await self._troubled()) is not None:
            return answer
        told = {"sid": self.sid, "status": self.status, "type": self.kind, "owner_account_sid": self.owner}
        return web.json_response(told)

    async def _front(self, request: web.Request) -> web.Response:
        now = datetime.now(UTC) + timedelta(seconds=self.clock_off_s)
        return web.Response(headers={"Date": format_datetime(now, usegmt=True)})

    def pointed(self, number: str) -> tuple[str, str]:
        """Voice URL and status callback of a number: its own where they lead to the server, else as if they did."""
        for one in self.numbers.values():
            if one["phone_number"] == number and one["voice_url"].startswith(self.carrier.public_url + "/"):
                return one["voice_url"], one["status_callback"]
        return self.voice_url, self.number_status_url

    async def _nothing(self, request: web.Request) -> web.Response:
        self.faults.append(f"no such resource: {request.method} {request.path}")
        raise _refused(web.HTTPNotFound, 20404, "The requested resource was not found")


def _refused(kind: type[web.HTTPException], code: int, message: str) -> web.HTTPException:
    text = json.dumps({"code": code, "message": message, "status": kind.status_code})
    return kind(text=text, content_type="application/json")
