"""The two doors of a PBX: ``POST /v1/audiosocket/calls`` announces a call, and a TCP port takes its audio.

A connection of AudioSocket says nothing but a UUID. Who calls, and whom, the PBX tells beforehand with an API key, in
its dialplan; the UUID that it is given is then good for one connection. Calls that were not announced are taken only
where the operator says what number they count as made to.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from structlog.contextvars import bind_contextvars

from server.call import Call, CallIsOver, CallState
from server.services import Services
from server.settings import SettingsError
from server.settings.values import host_and_port
from server.tracing.received import received
from telephony.carriers.audiosocket.carrier import ANNOUNCED, NAME, UNANNOUNCED
from telephony.carriers.audiosocket.connection import Connection, NotIdentified
from telephony.carriers.audiosocket.leg import AudioSocketLeg
from telephony.carriers.audiosocket.onward import Onward
from telephony.ports import Capabilities, HangUp, Incoming, Refuse

log = structlog.get_logger(__name__)

MAX_BODY: Final = 64 << 10
MAX_NAME: Final = 200
"""Characters of a caller or a number."""
MAX_FIELDS: Final = 100
MAX_UNKNOWN: Final = 64
"""Connections that have not said which call they are; a further one is closed."""
LOG_EVERY_S: Final = 1.0
"""Connections that are refused are told of no oftener; whoever finds the port must not fill the log."""
LOOPBACK: Final = "127.0.0.1"
ONWARD_S: Final = 2.0
"""For the process that has a call to take its connection."""
FORM: Final = "application/x-www-form-urlencoded"


class NotTaken(Exception):
    """A call or connection is refused; ``str()`` says why, and ``status`` is what HTTP says of it."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.code = code


def add_routes(app: FastAPI, services: Services) -> None:
    """Put what there is of HTTP into ``app``."""

    @app.post("/v1/audiosocket/calls")
    async def calls(request: Request) -> Response:
        return await announce(request, services)


# --- announced --------------------------------------------------------------------------------------------


async def announce(request: Request, services: Services) -> Response:
    """``POST /v1/audiosocket/calls``: the UUID for a call that is coming, as JSON; as text for a form, which is what a
    dialplan's ``CURL()`` sends."""
    plain = request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM
    try:
        told = await _read(request, services, plain=plain)
        call_id = await _announced(told, services, received(request.headers))
    except NotTaken as refusal:
        log.warning("audiosocket.not_taken", code=refusal.code, error=str(refusal))
        if plain:
            return PlainTextResponse(f"error {refusal.code}: {refusal}", refusal.status)
        return JSONResponse({"error": str(refusal), "code": refusal.code}, refusal.status)
    return PlainTextResponse(call_id) if plain else JSONResponse({"uuid": call_id, "call_id": call_id})


async def _read(request: Request, services: Services, *, plain: bool) -> Mapping[str, Any]:
    if services.settings.audiosocket is None:
        raise NotTaken(404, "SWITCHED_OFF", "this server takes no calls of a PBX: set TALKWIRE_AUDIOSOCKET")
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not services.keys.check(key.strip()):
        raise NotTaken(401, "UNAUTHORIZED", "send Authorization: Bearer <API key>")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise NotTaken(413, "BAD_REQUEST", f"at most {MAX_BODY} bytes are read")
    return _form(raw) if plain else _object(raw, "the body")


async def _announced(told: Mapping[str, Any], services: Services, trace: Mapping[str, str]) -> str:
    call_id = _call_id(told.get("uuid"))
    caller, number = _name(told, "from"), _name(told, "to")
    if not number:
        raise NotTaken(400, "BAD_REQUEST", "to is missing: the extension or number that was called")
    metadata = told.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise NotTaken(400, "BAD_REQUEST", "metadata must be an object")
    known = services.calls.get(call_id)
    if services.calls.is_over(call_id) or (known is not None and known.state is not CallState.RINGING):
        raise NotTaken(409, "CALL_EXISTS", f"the UUID {call_id} was used already: each call has its own")
    await _taken(services, Incoming(call_id, caller, number, NAME, metadata or {}, trace), ANNOUNCED)
    await services.cluster.announced(call_id)
    return call_id


async def _taken(services: Services, incoming: Incoming, capabilities: Capabilities) -> Call:
    """The call, taken; it may ring until its agent has decided. Raises ``NotTaken``."""
    if services.agents.answering(incoming.to, incoming.from_) is None:
        raise NotTaken(404, "NO_AGENT", f"no agent is online for {incoming.to}")
    if services.calls.is_full and services.calls.get(incoming.call_id) is None:
        raise NotTaken(503, "SERVER_AT_CAPACITY", "no further call is taken at the moment")
    verdict = await services.ringing.decide(incoming, capabilities)
    call = services.calls.get(incoming.call_id)
    if isinstance(verdict, Refuse):
        raise NotTaken(403, verdict.reason.upper(), f"the call was refused: {verdict.reason}")
    if isinstance(verdict, HangUp) or call is None:
        raise NotTaken(410, "CALL_OVER", "the call is over already")
    call.carrier = services.carriers[NAME]
    return call


# --- what an announcement says ----------------------------------------------------------------------------


def _call_id(given: object) -> str:
    if given is None or given == "":
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(given if isinstance(given, str) else ""))
    except ValueError:
        raise NotTaken(400, "BAD_REQUEST", "uuid must be a UUID, or be left out") from None


def _name(told: Mapping[str, Any], key: str) -> str:
    given = told.get(key) or ""
    if not isinstance(given, str) or len(given) > MAX_NAME or not given.isprintable():
        raise NotTaken(400, "BAD_REQUEST", f"{key} must be printable text of at most {MAX_NAME} characters")
    return given


def _form(raw: bytes) -> dict[str, Any]:
    try:
        form: dict[str, Any] = dict(parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        raise NotTaken(400, "BAD_REQUEST", f"at most {MAX_FIELDS} fields are read") from None
    if "metadata" in form:
        form["metadata"] = _object(form["metadata"].encode(), "metadata")
    return form


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise NotTaken(400, "BAD_REQUEST", f"{what} must be a JSON object")
    return found


# --- connected --------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(services: Services) -> AsyncIterator[None]:
    """Take the connections of the PBX, where the operator wants that. Raises ``SettingsError`` where the address is not
    to be had."""
    where = services.settings.audiosocket
    if where is None:
        yield
        return
    door = _Door(services)
    host, port = host_and_port(where)
    loop, shared = asyncio.get_running_loop(), services.settings.workers > 1
    try:
        server = await loop.create_server(lambda: Connection(door.opened), host, port, reuse_port=shared)
    except OSError as error:
        raise SettingsError(
            f"cannot listen for AudioSocket on {where}: {error.strerror or error}. Stop what uses it, or set "
            "TALKWIRE_AUDIOSOCKET to another address"
        ) from None
    servers = [server]
    if shared:
        # The kernel deals connections out to all processes: the others pass on here those of calls that are here.
        own = await loop.create_server(lambda: Connection(door.passed_on), LOOPBACK, 0)
        services.cluster.audio_port = own.sockets[0].getsockname()[1]
        servers.append(own)
    log.info("audiosocket.ready", address=where, allowed=services.settings.audiosocket_allow)
    try:
        yield
    finally:
        for each in servers:
            each.close()
        door.close()


class _Door:
    """The connections of the PBX."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._allowed = tuple(map(ip_network, services.settings.audiosocket_allow))
        self._unknown: set[Connection] = set()
        self._told_at = -LOG_EVERY_S
        self._untold = 0

    def close(self) -> None:
        """Wait no longer for those that have not said which call they are."""
        for connection in self._unknown:
            connection.abort()

    def opened(self, connection: Connection) -> None:
        if not self._may_come(connection.peer):
            connection.abort()
            self._tell(connection, "its address is not among TALKWIRE_AUDIOSOCKET_ALLOW")
        elif len(self._unknown) >= MAX_UNKNOWN:
            connection.abort()
            self._tell(connection, f"{MAX_UNKNOWN} others have not said yet which call they are")
        else:
            self._unknown.add(connection)
            self._services.tasks.create_task(self._serve(connection), name="audiosocket")

    def passed_on(self, connection: Connection) -> None:
        """By another process on this machine, to which the PBX came."""
        self._services.tasks.create_task(self._serve(connection, passed_on=True), name="audiosocket")

    def _may_come(self, peer: str) -> bool:
        if not self._allowed:
            return True  # The address that is listened on is loopback.
        found = ip_address(peer.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._allowed)

    async def _serve(self, connection: Connection, *, passed_on: bool = False) -> None:
        try:
            try:
                call_id = str(await connection.identified())
            finally:
                self._unknown.discard(connection)
            if not passed_on and await self._elsewhere(connection, call_id):
                await connection.closed()
            else:
                await self._carry(connection, await self._called(call_id, announced=passed_on))
        except (NotIdentified, NotTaken) as refusal:
            self._tell(connection, str(refusal))
            connection.end()
        except Exception:
            # In the group of all calls an exception would end all of them.
            log.exception("audiosocket.crashed", peer=connection.peer)
        finally:
            connection.close()
            await connection.let_go()

    async def _elsewhere(self, connection: Connection, call_id: str) -> bool:
        """Pass it on where the call is in another process. Raises ``NotTaken`` where that does not take it."""
        calls, cluster = self._services.calls, self._services.cluster
        if not cluster.audio_port or calls.get(call_id) is not None or calls.is_over(call_id):
            return False
        node = await cluster.node_of(call_id)
        port = cluster.audio_port_of(node) if node is not None else 0
        if not port:
            return False
        try:
            async with asyncio.timeout(ONWARD_S):
                await self._loop.create_connection(lambda: Onward(connection), LOOPBACK, port)
        except (OSError, TimeoutError):
            raise NotTaken(
                502, "CALL_OVER", f"the process that has the call {call_id} does not answer"
            ) from None
        return True

    async def _called(self, call_id: str, *, announced: bool = False) -> Call:
        """``announced``: it must have been."""
        call = self._services.calls.get(call_id)
        number = None if announced else self._services.settings.audiosocket_to
        if call is not None and call.state is CallState.RINGING:
            return call
        if call is not None or self._services.calls.is_over(call_id):
            raise NotTaken(409, "CALL_EXISTS", f"the UUID {call_id} was used already: each call has its own")
        if number is None:
            raise NotTaken(
                404,
                "NOT_ANNOUNCED",
                f"the call {call_id} was not announced (POST /v1/audiosocket/calls), and TALKWIRE_AUDIOSOCKET_TO is "
                "not set",
            )
        return await _taken(self._services, Incoming(call_id, "", number, NAME), UNANNOUNCED)

    async def _carry(self, connection: Connection, call: Call) -> None:
        bind_contextvars(call_id=call.call_id)
        calls = self._services.calls
        calls.connecting(call)
        rate_hz = await connection.rate_hz()
        if connection.gone:
            log.info("audiosocket.given_up", call_id=call.call_id)
            calls.forget(call)
            return
        settings = self._services.settings
        lead_ms, way_ms = settings.audiosocket_lead_ms, settings.audiosocket_way_ms
        leg = AudioSocketLeg(connection, rate_hz, lead_ms=lead_ms, way_ms=way_ms)
        try:
            listener = calls.start(call, leg)
        except CallIsOver:
            raise NotTaken(409, "CALL_OVER", "the call was given up before its audio came") from None
        await leg.run(listener)

    def _tell(self, connection: Connection, why: str) -> None:
        now = self._loop.time()
        if now - self._told_at < LOG_EVERY_S:
            self._untold += 1
            return
        log.warning("audiosocket.refused", peer=connection.peer, error=why, untold=self._untold)
        self._told_at, self._untold = now, 0
