"""A language model by ``/chat/completions``."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace

from pipeline.errors import ProviderError
from pipeline.ports import LlmEnd, LlmEvent, LlmReasoning, LlmRequest, LlmText, LlmToolCalls, Probe, ToolCall
from pipeline.providers.openai import wire
from pipeline.providers.openai.calls import CallJoiner
from pipeline.providers.openai.client import NAME, Client, Endpoint, Reply
from pipeline.providers.openai.dialect import Dialect

DEFAULT_MODEL = "gpt-5.4-mini"
"""Small, and of those that the package names one without an announced end."""
MAX_DIALECTS = 256
REST_S = 0.5
"""For what follows the end of the text, which nobody hears."""

_log = logging.getLogger(__name__)


class OpenAiLlm:
    """``LanguageModel`` by ``/chat/completions``.

    A field that the endpoint refuses is left out or renamed, at the cost of one more request; that is
    remembered for the model. One that takes no tools answers without.
    """

    def __init__(self, endpoint: Endpoint, model: str = DEFAULT_MODEL, name: str = NAME) -> None:
        self._client = Client(endpoint, "llm", "/chat/completions", name)
        self.name = name
        """As in settings: of several services of this shape each has its own."""
        self.model = model
        """Where a request names none."""
        self._dialects: dict[str, Dialect] = {}

    async def start(self) -> None:
        await self._client.start()

    async def warm(self) -> None:
        await self._client.warm()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def probe(self) -> Probe:
        return await self._client.probe()

    async def generate(self, request: LlmRequest) -> AsyncGenerator[LlmEvent, None]:
        """See the port."""
        model = request.model or self.model
        dialect = self._dialects.get(model) or Dialect.of(model, hosted=self._client.endpoint.hosted)
        end: LlmEnd | None = None
        while end is None:
            options = dialect.options(request)
            async with self._client.ask(wire.chat_body(request, model, options)) as answer:
                if isinstance(answer, Reply):
                    self._remember(model, dialect)
                    follower = _Follower(self._client, answer)
                    while (events := await follower.next()) is not None:
                        for event in events:
                            yield event
                    end = follower.end
                    if calls := follower.calls:
                        yield LlmToolCalls(calls)
                    continue
                other = dialect.after(answer, options)
                if other is None:
                    raise self._client.refused(answer)
                # Not its own words: they may repeat what was said.
                why = " ".join(filter(None, (str(answer.status), answer.code, answer.param)))
                if other.toolless and not dialect.toolless:
                    _log.warning("%s takes no tools, and answers without them: %s", model, why)
                else:
                    _log.info("%s did not take the request: %s", model, why)
                dialect = other
        yield end

    def _remember(self, model: str, dialect: Dialect) -> None:
        if not dialect.proven:
            if len(self._dialects) >= MAX_DIALECTS:
                self._dialects.clear()
            self._dialects[model] = replace(dialect, proven=True)


class _Follower:
    """Reads one answer to its end."""

    def __init__(self, client: Client, reply: Reply) -> None:
        self._client = client
        self._reply = reply
        self._decoder = wire.EventDecoder()
        self._reason: str | None = None
        self._usage: tuple[int | None, int | None] = (None, None)
        self._joiner = CallJoiner()
        self._model: str | None = None
        self._done = False
        self._fault: ProviderError | None = None
        """Found behind what that are given first."""

    async def next(self) -> list[LlmText | LlmReasoning] | None:
        """What came with the next piece of the answer; None at its end. Raises ``ProviderError``."""
        if self._fault is not None:
            raise self._fault
        if self._done:
            return None
        if self._reply.content_type.startswith("application/json"):  # it does not stream
            self._done = True
            return self._events([await self._reply.whole()])
        data = await (self._read_on() if self._reason else self._reply.read())
        self._done = not data
        try:
            events = self._decoder.feed(data) if data else self._decoder.flush()
        except ValueError as error:
            raise self._unreadable() from error
        found = self._events(events)
        if self._done and data:
            await self._reply.drain()
        return found

    async def _read_on(self) -> bytes:
        """Behind the end of the text, which is not lost by what happens to the rest: the counts and the last
        word."""
        try:
            async with asyncio.timeout(REST_S):
                return await self._reply.read()
        except (TimeoutError, ProviderError):
            return b""

    def _events(self, events: list[bytes]) -> list[LlmText | LlmReasoning]:
        found: list[LlmText | LlmReasoning] = []
        for event in events:
            if event == wire.DONE:
                self._done = True
                self._reason = self._reason or "stop"
                break
            try:
                piece = wire.chat_piece(event)
                if isinstance(piece, wire.ChatPiece):
                    for call in piece.calls:
                        self._joiner.feed(call)
            except (ValueError, TypeError, AttributeError, LookupError):
                self._fault = self._unreadable()
                break
            if isinstance(piece, wire.Refusal):
                self._fault = self._client.gave_up(piece)
                break
            if piece.reasoning or (piece.calls and not piece.text):
                found.append(LlmReasoning(piece.reasoning))
            if piece.text:
                found.append(LlmText(piece.text))
            self._model = piece.model or self._model
            self._reason = piece.finish_reason or self._reason
            self._usage = piece.usage or self._usage
        return found

    def _unreadable(self) -> ProviderError:
        return self._client.error("its answer cannot be read")

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """What the answer wants done, once it is whole."""
        return self._joiner.calls(lambda: f"call_{uuid.uuid4().hex[:24]}")

    @property
    def end(self) -> LlmEnd:
        """Raises ``ProviderError`` where the answer is not whole."""
        if self._reason is None:
            raise self._client.error("its answer was cut off")
        return LlmEnd(self._reason, *self._usage, self._model)
