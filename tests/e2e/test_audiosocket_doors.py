"""The doors of a PBX: who may bring calls, and what is said of an announcement that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from telephony.carriers.audiosocket import wire
from telephony.errors import Unsupported
from tests.e2e.harness import registered, running
from tests.e2e.pbx import AUTH, announced, called, linked, pbx, post

pytestmark = pytest.mark.e2e


async def test_a_call_that_was_not_announced_is_refused(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws) as agent:
        async with linked(server, uuid4()) as call:
            assert await call.ended == "hangup"
        assert "call.started" not in agent.names()


async def test_unless_the_operator_says_whom_it_is_for(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path, audiosocket_to="700") as server,
        registered(server.ws, ref="700", greeting="Hello.") as agent,
        linked(server, uuid4()) as call,
    ):
        await call.bot_speaking()
        started = await agent.wait("call.started")
        assert (started["from"], started["to"]) == ("", "700")


async def test_a_uuid_is_good_for_one_connection(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server, registered(server.ws, greeting="Hello.") as agent:
        uuid = await announced(server)
        async with linked(server, uuid) as call:
            await agent.wait("bot.finished")
            async with linked(server, uuid) as second:
                assert await second.ended == "hangup"
            assert not call.ended.done()
            again = await post(server, json={"to": "100", "uuid": str(uuid)})
            assert (again.status_code, again.json()["code"]) == (409, "CALL_EXISTS")
        await agent.wait("call.ended")
        async with linked(server, uuid) as third:
            assert await third.ended == "hangup"
        assert len(agent.of("call.started")) == 1


async def test_whoever_says_nothing_or_nonsense_first_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telephony.carriers.audiosocket.connection.IDENTIFY_S", 0.3)
    async with pbx(tmp_path) as server:
        async with linked(server, None) as silent:
            assert await silent.ended == "hangup"
        for data in (b"GET / HTTP/1.1\r\n\r\n" * 400, wire.dtmf("1"), wire.hangup()):
            async with linked(server, None) as call:
                call.raw(data)
                assert await call.ended in ("hangup", "closed", "reset")


async def test_only_named_addresses_may_connect(tmp_path: Path) -> None:
    async with pbx(tmp_path, audiosocket_allow=("10.0.0.0/8",)) as server, registered(server.ws):
        uuid = await announced(server)
        async with linked(server, uuid) as call:
            assert await call.ended in ("closed", "reset")


async def test_a_dialplan_announces_with_a_form_and_reads_text(tmp_path: Path) -> None:
    form = {"from": "+15550001111", "to": "100", "metadata": '{"did": "5550002222"}'}
    async with pbx(tmp_path, max_calls=1) as server:
        nobody = await post(server, data=form)
        assert (nobody.status_code, nobody.text[:15]) == (404, "error NO_AGENT:")
        async with registered(server.ws, greeting="Hello.") as agent:
            answer = await post(server, data=form)
            async with linked(server, UUID(answer.text)):
                started = await agent.wait("call.started")
                assert started["metadata"] == {"did": "5550002222"}
                full = await post(server, data=form)
                assert (full.status_code, full.text[:26]) == (503, "error SERVER_AT_CAPACITY: ")


async def test_an_announcement_rings_until_the_agent_has_decided(tmp_path: Path) -> None:
    async with (
        pbx(tmp_path) as server,
        registered(server.ws, greeting="Hello.") as agent,
    ):
        await agent.send("channel.configure", agent_id="tester", ref="*", ringing=True)
        await agent.wait("channel.configured")
        agent.on["call.ringing"] = lambda told: {
            "event": "call.accept" if told["to"] == "100" else "call.reject",
            "agent_id": told["agent_id"],
            "call_id": told["call_id"],
            **({} if told["to"] == "100" else {"reason": "busy"}),
        }
        async with called(server) as call:
            await call.bot_speaking()
            ringing, started = agent.of("call.ringing")[0], agent.of("call.started")[0]
            assert (ringing["from"], ringing["to"]) == ("+15550001111", "100")
            assert started["call_id"] == ringing["call_id"]
        refused = await post(server, data={"to": "200"})
        assert (refused.status_code, refused.text) == (403, "error BUSY: the call was refused: busy")


async def test_what_a_pbx_cannot_be_asked_is_said(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server:
        carrier = server.services.carriers["audiosocket"]
        assert not carrier.capabilities.confirms_playout
        assert not carrier.capabilities.takes_back
        with pytest.raises(Unsupported, match=r"audiosocket cannot send digits: .* dialplan"):
            await carrier.send_digits("call", "1")


WRONG: list[tuple[dict[str, Any], dict[str, str], int, str]] = [
    ({"json": {"to": "100"}}, {}, 401, "UNAUTHORIZED"),
    ({"json": {"to": "100"}}, {"Authorization": "Bearer tw_wrong"}, 401, "UNAUTHORIZED"),
    ({"json": {"from": "100"}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": "100", "uuid": "no"}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": "100", "metadata": [1]}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": 100}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": "1" * 201}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": "a\x00b"}}, AUTH, 400, "BAD_REQUEST"),
    ({"json": {"to": "100", "metadata": []}}, AUTH, 400, "BAD_REQUEST"),
    ({"content": b"\xff{"}, AUTH, 400, "BAD_REQUEST"),
    ({"content": b" " * 70_000}, AUTH, 413, "BAD_REQUEST"),
]


async def test_what_is_wrong_with_an_announcement_is_said(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server:
        for content, headers, status, code in WRONG:
            answer = await post(server, headers, **content)
            assert (answer.status_code, answer.json()["code"]) == (status, code), content
            assert answer.json()["error"]


async def test_a_form_of_too_many_fields_is_refused_in_words(tmp_path: Path) -> None:
    async with pbx(tmp_path) as server:
        form = {"Content-Type": "application/x-www-form-urlencoded", **AUTH}
        answer = await post(server, form, content=b"a=b&" * 1000)
        assert (answer.status_code, answer.text) == (400, "error BAD_REQUEST: at most 100 fields are read")


async def test_where_it_is_switched_off_that_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        answer = await post(server, json={"to": "100"})
        assert (answer.status_code, answer.json()["code"]) == (404, "SWITCHED_OFF")
