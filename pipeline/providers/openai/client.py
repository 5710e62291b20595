"""One endpoint: its address, its connections, and what its faults mean to a call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from openai import APIStatusError, AsyncOpenAI, AsyncStream, Omit, OpenAIError

from pipeline.errors import ProviderBusy, ProviderError, ProviderUnavailable
from pipeline.ports import Probe
from pipeline.providers.openai import wire
from pipeline.providers.openai.transport import BODY, READ_S, Body, Idle, PooledTransport

NAME = "openai"
HOSTED_URL = "https://api.openai.com/v1"
PROBE_S = 5.0
WARM_S = 3.0
FRESH_S = 20.0
"""A connection that was idle so recently is still open, as far as one can tell."""
DRAIN_S = 0.05
MAX_WHOLE_BYTES = 4 << 20
"""Of an answer that is not streamed."""
_MODELS = "/models"
_RAW: dict[str, Any] = {"cast_to": httpx2.Response, "stream": True, "stream_cls": AsyncStream[Any]}
_KEY_REFUSED = (401, 403)
_NO_ROUTE = (404, 405, 501)
_BUSY = (429, 503, 529)
_TRANSIENT = (408, 409, 425)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the service is, and what opens it."""

    base_url: str | None = None
    """With its version, for example ``http://localhost:8000/v1``. None: the hosted service."""
    api_key: str = field(default="", repr=False)
    """May be empty where one runs the service oneself."""

    @property
    def hosted(self) -> bool:
        """Whether it is the service whose shape all others have."""
        return self.base_url is None or wire.is_hosted(self.base_url)

    @property
    def url(self) -> str:
        return HOSTED_URL if self.base_url is None else self.base_url

    @property
    def shown(self) -> str:
        """The address without credentials, for errors and logs."""
        return wire.without_credentials(self.url)

    def __repr__(self) -> str:
        return f"Endpoint({self.shown!r}, key {'set' if self.api_key else 'not set'})"


class Reply:
    """An answer whose head is here, and whose body comes."""

    def __init__(self, client: Client, response: httpx2.Response) -> None:
        self._client = client
        body = response.extensions[BODY]
        assert isinstance(body, Body)
        self.body = body
        self.content_type: str = response.headers.get("content-type", "")
        self.encoding: str = response.headers.get("content-encoding", "identity")

    async def read(self) -> bytes:
        """What has come since; empty at the end. Raises ``ProviderError``."""
        try:
            return await self.body.read()
        except httpx2.TransportError as error:
            raise self._client.error(f"its answer was cut off: {error}") from error

    async def whole(self) -> bytes:
        """All of it. Raises ``ProviderError``."""
        data = bytearray()
        while piece := await self.read():
            data += piece
            if len(data) > MAX_WHOLE_BYTES:
                raise self._client.error(f"an answer of more than {MAX_WHOLE_BYTES >> 20} MB")
        return bytes(data)

    async def drain(self) -> None:
        """What matters has been read: take the end of the body too, where it is here already, so that the
        connection can be used again."""
        with contextlib.suppress(TimeoutError, ProviderError):
            async with asyncio.timeout(DRAIN_S):
                while await self.read():
                    pass


class Client:
    """The connections of one engine to its endpoint. ``stage`` is ``stt``, ``tts`` or ``llm``, ``route`` the
    path that it asks for, ``name`` the engine's in faults."""

    def __init__(self, endpoint: Endpoint, stage: str, route: str, name: str = NAME) -> None:
        self.endpoint = endpoint
        self.name = name
        self.stage = stage
        self.route = route
        self._api: AsyncOpenAI | None = None
        self._idle = Idle()
        self._warming = False
        # The package refuses an empty key, and takes a header only away if each request says so.
        self._auth: dict[str, Any] = {} if endpoint.api_key else {"Authorization": Omit()}

    # --- life ---------------------------------------------------------------------------------------------

    def check_open(self) -> AsyncOpenAI:
        """Raises ``ProviderUnavailable`` before ``start`` and after ``aclose``."""
        if self._api is None:
            raise self.unavailable("it is not started, or closed already")
        return self._api

    async def start(self) -> None:
        """Connects nowhere yet. Raises ``ProviderUnavailable`` for what cannot be an endpoint."""
        if self._api is not None:
            return
        url = self.endpoint.url
        if self.endpoint.hosted and not self.endpoint.api_key:
            raise self.unavailable("the hosted service needs an API key")
        if not wire.is_header_text(self.endpoint.api_key):
            raise self.unavailable("its API key holds white space or characters that no key has")
        if not wire.is_http_url(url):
            raise self.unavailable(f"{self.endpoint.shown!r} is not the address of an http or https service")
        secure = url.lower().startswith("https:")
        tls = await asyncio.to_thread(httpx2.create_ssl_context) if secure else None
        transport = PooledTransport(url, tls)
        self._idle = transport.idle
        headers: dict[str, Any] = {"Accept-Encoding": "identity"}
        if not self.endpoint.hosted:
            # What the environment says of an account is meant for the hosted service.
            headers |= {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
        self._api = AsyncOpenAI(
            api_key=self.endpoint.api_key or "none",
            base_url=wire.reachable(url),
            max_retries=0,
            timeout=READ_S,
            default_headers=headers,
            http_client=httpx2.AsyncClient(
                transport=transport, auth=wire.credentials(url), follow_redirects=True
            ),
        )
        if not self.endpoint.hosted:
            # The package adds what OPENAI_CUSTOM_HEADERS holds, secrets perhaps, and has no way to be told not to.
            self._api._custom_headers = headers

    async def aclose(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def warm(self) -> None:
        """Open a connection, unless one lies ready. Its faults are left to the request."""
        now = asyncio.get_running_loop().time()
        ready = self._idle.count > 0 and now - self._idle.since < FRESH_S
        if self._api is None or self._warming or ready:
            return
        self._warming = True
        try:
            async with asyncio.timeout(WARM_S):
                await self._status(_MODELS)
        except (ProviderError, TimeoutError):
            return
        finally:
            self._warming = False

    # --- requests -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def ask(self, content: bytes | wire.Form) -> AsyncIterator[Reply | wire.Refusal]:
        """Ask the route of the stage. Leaving the context ends the request, at once where its answer is not
        whole. Raises ``ProviderError`` where there is no answer."""
        answer = await self._request(self.route, content)
        if isinstance(answer, wire.Refusal):
            yield answer
            return
        try:
            reply = Reply(self, answer)
            self._check(reply)
            yield reply
        finally:
            await answer.aclose()

    @asynccontextmanager
    async def post(self, content: bytes | wire.Form) -> AsyncIterator[Reply]:
        """``ask``, where a refusal is raised too."""
        async with self.ask(content) as answer:
            if isinstance(answer, wire.Refusal):
                raise self.refused(answer)
            yield answer

    def _check(self, reply: Reply) -> None:
        """Raises ``ProviderError`` for what no service of this kind answers with."""
        if reply.content_type.startswith("text/html"):
            raise self.unavailable(f"{self.endpoint.shown} answers with a web page: is /v1 missing?")
        if reply.encoding != "identity":
            raise self.error(f"its answers are compressed ({reply.encoding}) unasked", retryable=False)

    async def _request(
        self, path: str, content: bytes | wire.Form | None = None
    ) -> httpx2.Response | wire.Refusal:
        """``POST`` where there is something to send, else ``GET``."""
        api = self.check_open()
        try:
            # The package's way for what it has no types for: they cost some tenths of a millisecond a request.
            answer: object
            if content is None:
                answer = await api.get(path, options={"headers": self._auth}, **_RAW)
            elif isinstance(content, bytes):
                answer = await api.post(path, content=content, options={"headers": self._auth}, **_RAW)
            else:
                headers = {**self._auth, "Content-Type": "multipart/form-data"}
                file = {"file": (content.filename, content.file, content.content_type)}
                answer = await api.post(
                    path, body=content.fields, files=file, options={"headers": headers}, **_RAW
                )
            assert isinstance(answer, httpx2.Response)
            return answer
        except APIStatusError as error:
            refusal = wire.refusal(error.status_code, error.body)
            return replace(refusal, retry_after_s=wire.retry_after_s(error.response.headers))
        except OpenAIError as error:
            fault = self._fault(error)
        raise fault  # outside of the handler: the package's error, which holds the request, is left behind

    async def _status(self, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        """Ask, and take any answer. Raises ``ProviderError`` where there is none."""
        answer = await self._request(path, content)
        if isinstance(answer, wire.Refusal):
            return answer.status, b""
        try:
            reply = Reply(self, answer)
            self._check(reply)
            return answer.status_code, await reply.whole()
        finally:
            await answer.aclose()

    # --- would it work? -----------------------------------------------------------------------------------

    async def probe(self) -> Probe:
        """See ``Probed``: the list of models, and the route with a request that lacks everything. The route says
        whether the key is taken: some want another header for their list, or none."""
        try:
            async with asyncio.timeout(PROBE_S):
                return await self._probe()
        except TimeoutError:
            return Probe(self.error(f"{self.endpoint.shown} did not answer within {PROBE_S:g} s"), None)
        except ProviderError as error:
            return Probe(error, None)

    async def _probe(self) -> Probe:
        status, body = await self._status(_MODELS)
        models = wire.model_ids(body) if status == 200 else None
        lists_chat = bool(models) and self.stage == "llm"
        if lists_chat and (self.endpoint.hosted or not self.endpoint.api_key):
            return Probe(None, models)
        if status >= 500 and status != 501:
            return Probe(self.error(f"{self.endpoint.shown} answers with HTTP {status}"), None)
        status, _ = await self._status(self.route, b"{}")
        if status in _KEY_REFUSED:
            return Probe(self._key_refused(), models)
        if status in _NO_ROUTE and not lists_chat:
            return Probe(self.unavailable(self._no_route()), models, missing=True)
        return Probe(None, models)

    def _no_route(self) -> str:
        what = "chat" if self.stage == "llm" else "speech"
        return (
            f"{self.endpoint.shown} has no {self.route}: is /v1 missing, or does the server offer no {what}?"
        )

    # --- faults -------------------------------------------------------------------------------------------

    def error(self, cause: str, *, retryable: bool | None = None) -> ProviderError:
        return ProviderError(self.name, self.stage, cause, retryable=retryable)

    def unavailable(self, cause: str) -> ProviderUnavailable:
        return ProviderUnavailable(self.name, self.stage, cause)

    def refused(self, refusal: wire.Refusal) -> ProviderError:
        """What an answer of HTTP 4xx or 5xx means."""
        status, reason = refusal.status, self.quoted(refusal.reason)
        said = f": {reason}" if reason else ""
        if status in _KEY_REFUSED:
            return self._key_refused()
        if refusal.code == "insufficient_quota":
            return self.unavailable(f"the account has no credit left (HTTP {status}){said}")
        if status in _BUSY:
            busy = ProviderBusy(self.name, self.stage, f"too much is asked of it (HTTP {status}){said}")
            busy.retry_after_s = refusal.retry_after_s
            return busy
        if status == 404 and "model" in f"{refusal.code} {refusal.reason}".lower():
            # The route is there. What one request asked for in vain says nothing about others.
            return self.error(reason, retryable=False)
        if status in _NO_ROUTE:
            return self.unavailable(reason or self._no_route())
        retryable = status >= 500 or status in _TRANSIENT
        return self.error(f"HTTP {status}{said}", retryable=retryable)

    def gave_up(self, refusal: wire.Refusal) -> ProviderError:
        """What an error in the middle of an answer means."""
        return self.error(f"it gave up: {self.quoted(refusal.reason) or 'no reason given'}")

    def quoted(self, said: str) -> str:
        """What the server says, short, and without the key: some repeat what they were sent."""
        key = self.endpoint.api_key
        return wire.shortened(said.replace(key, "[key]") if key else said)

    def _key_refused(self) -> ProviderUnavailable:
        given = "was refused" if self.endpoint.api_key else "is missing"
        return self.unavailable(f"its API key {given} at {self.endpoint.shown}")

    def _fault(self, error: OpenAIError) -> ProviderError:
        """Where there was no answer."""
        cause = error.__cause__
        match cause:
            case httpx2.ReadTimeout():
                return self.error(f"no answer from {self.endpoint.shown} ({cause})")
            case httpx2.ReadError() | httpx2.RemoteProtocolError():
                return self.error(f"no answer from {self.endpoint.shown}: {cause}")
            case httpx2.TransportError():
                return self.error(f"cannot be reached at {self.endpoint.shown}: {cause}")
        return self.error(f"cannot be asked: {type(error).__name__}")
