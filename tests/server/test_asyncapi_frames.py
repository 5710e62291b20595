"""Each frame of the sockets that calls are watched by, held against what ``asyncapi.json`` declares for its socket."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from pipeline.events import CallEnded, CallStarted
from server.call import Call
from server.envelopes import NOT_TOLD, in_call
from server.protocol.asyncapi import ASYNCAPI
from server.protocol.export import SCHEMA
from tests.fakes.asgi import Socket
from tests.fakes.loop import run_virtual
from tests.server.site import KEY, PUBLIC, site
from tests.server.test_call_log import str_token
from tests.server.test_wire import SAMPLES

DOCUMENT: dict[str, Any] = json.loads(ASYNCAPI.read_text(encoding="utf-8"))
WIRE: Registry[Any] = Registry().with_resource(
    "schema.json", DRAFT202012.create_resource(json.loads(SCHEMA.read_text(encoding="utf-8")))
)


class Declared:
    """The messages of one socket, in one direction: ``send`` is what the server says."""

    def __init__(self, channel: str, action: str) -> None:
        operation = DOCUMENT["operations"][f"{channel}.{action}"]
        names = [message["$ref"].rpartition("/")[2] for message in operation["messages"]]
        self._validators = {name: self._validator(name) for name in names}
        self.seen: Counter[str] = Counter()

    @staticmethod
    def _validator(name: str) -> Draft202012Validator:
        payload = DOCUMENT["components"]["messages"][name]["payload"]
        return Draft202012Validator(payload.get("schema", payload), registry=WIRE)

    def check(self, frames: Iterable[Any]) -> None:
        for frame in frames:
            fitting = [name for name, made in self._validators.items() if made.is_valid(frame)]
            assert fitting, f"no declared message is like {frame}"
            self.seen.update(fitting[:1])


def happens(call: Call) -> None:
    """All that can be told of a call, each thing once."""
    for event in SAMPLES:
        if not isinstance(event, CallStarted | CallEnded):
            call.journal.append(event)


def test_it_finds_what_is_not_declared() -> None:
    declared = Declared("attach", "send")
    entry: dict[str, Any] = {
        "seq": 1,
        "ts": 1.0,
        "call": None,
        "agent": "a",
        "type": "x",
        "ephemeral": False,
        "data": {},
    }
    declared.check([entry])
    for wrong in (
        {**entry, "seq": "1"},
        {**entry, "extra": 1},
        {key: value for key, value in entry.items() if key != "agent"},
        {"event": "what"},
    ):
        with pytest.raises(AssertionError):
            declared.check([wrong])


def test_what_attached_readers_are_told_is_declared(tmp_path: Path) -> None:
    says, hears = Declared("attach", "send"), Declared("attach", "receive")

    def ask(socket: Socket, *asked: dict[str, Any]) -> None:
        hears.check(asked)
        for each in asked:
            socket.say(each)

    async def main() -> None:
        async with asyncio.timeout(60), site(tmp_path, **PUBLIC) as made:
            call = made.begin(metadata={"a": 1})
            observer = str_token(made, "tester")
            async with (
                made.web.socket(f"/v1/attach?call=CA1&token={KEY}") as socket,
                made.web.socket(f"/v1/attach?call=CA1&token={observer}") as refused,
                made.web.socket(f"/v1/attach?agent=tester&token={KEY}") as agent,
            ):
                for each in (socket, refused, agent):
                    await each.wait("log.caught_up")
                happens(call)
                ask(
                    socket,
                    {"action": "ping"},
                    {"verb": "say", "text": "Hi."},
                    {"verb": "transfer", "to": "+1"},
                )
                socket.say("nonsense")
                ask(refused, {"verb": "end"})
                await refused.wait("error")
                await socket.until(lambda: sum(frame.get("type") == "error" for frame in socket.frames) >= 3)
                made.end(call)
                assert await socket.end() == (1000, "sealed")
                await agent.wait("call.ended")
            for reader in (socket, refused, agent):
                says.check(reader.frames)
            told = {frame["type"] for frame in socket.frames if "type" in frame}
            expected = {told_of.type for each in call.events.since(0) if (told_of := in_call(each))}
            assert expected <= told
            assert len(expected) >= 20

    run_virtual(main())
    assert set(says.seen) >= {"LogEnvelope", "StreamPong", "VerbRefused"}
    assert set(hears.seen) == {"StreamPing", "SupervisorVerb"}


def test_what_streams_of_several_agents_tell_is_declared(tmp_path: Path) -> None:
    says = Declared("stream", "send")

    async def main() -> None:
        async with asyncio.timeout(60), site(tmp_path) as made:
            async with (
                made.web.socket("/ws/stream?after=1000") as all_calls,
                made.web.socket("/ws/stream?agent=tester") as one_agent,
            ):
                await all_calls.wait("log.caught_up")
                await one_agent.wait("log.caught_up")
                call = made.begin()
                async with made.web.socket("/ws/stream?session=CA1") as one_call:
                    happens(call)
                    made.end(call)
                    for each in (all_calls, one_agent, one_call):
                        Declared("stream", "receive").check([{"action": "ping"}])
                        each.say({"action": "ping"})
                        await each.wait("call.summary")
                        await each.until(lambda each=each: {"event": "pong"} in each.frames)  # type: ignore[misc]
            for each in (all_calls, one_agent, one_call):
                says.check(each.frames)
                assert len(each.frames) > 30

    run_virtual(main())
    assert set(says.seen) == {"LogEnvelope", "StreamPong"}


def test_what_watchers_are_told_is_declared(tmp_path: Path) -> None:
    says = Declared("tap", "send")
    connect = {"event": "connect", "api_key": KEY, "protocol": "talkwire/1"}
    Declared("tap", "receive").check([connect])

    async def main() -> None:
        async with asyncio.timeout(60), site(tmp_path) as made:
            async with made.web.socket("/v1/tap") as tap, made.web.socket("/v1/tap?call=CA1") as one:
                for each in (tap, one):
                    each.say(connect)
                    await each.until(lambda each=each: bool(each.frames))  # type: ignore[misc]
                call = made.begin()
                happens(call)
                made.end(call)
                for each in (tap, one):
                    await each.until(lambda each=each: each.frames[-1]["event"] == "call.ended")  # type: ignore[misc]
            async with made.web.socket("/v1/tap") as stranger:
                stranger.say({**connect, "api_key": "tw_wrong"})
                await stranger.end()
            for each in (tap, one, stranger):
                says.check(each.frames)
            told = {frame["event"] for frame in one.frames}
            assert len(told & NOT_TOLD) > 20
            assert [frame["event"] for frame in stranger.frames] == ["error"]

    run_virtual(main())
    assert len(says.seen) > 60
