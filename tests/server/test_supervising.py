"""What a person does in a live call: over HTTP, and as a socket gives it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.agents import Agent
from server.call import Call
from server.doors.browser import STREAM, issued
from server.protocol import AgentCreate
from server.supervising import NAMES, SOMEBODY, SupervisionRefused, verb_of
from tests.fakes.leg import FakeLeg
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, PUBLIC, Site, site

PATH = "/v1/calls/CA1/supervise"


def told(call: Call, *names: str) -> list[dict[str, Any]]:
    return [orjson.loads(entry.data) for entry in call.events.since(0) if entry.event in names]


def live(made: Site) -> tuple[Call, FakeLeg]:
    call = made.ring()
    return call, made.live(call)[0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "one of say"),
        ({"verb": "shout"}, "one of say"),
        ({"verb": 1}, "one of say"),
        ([], "one of say"),
        (None, "one of say"),
        ({"verb": "say"}, "text is missing"),
        ({"verb": "say", "text": ""}, "text: "),
        ({"verb": "say", "text": 5}, "text: "),
        ({"verb": "whisper", "text": "x" * 4001}, "text: "),
        ({"verb": "release", "text": "x"}, "text is no part"),
        ({"verb": "transfer"}, "to is missing"),
        ({"verb": "end", "by": "x" * 101}, "by: "),
    ],
)
def test_what_is_wrong_with_a_verb_is_told(given: object, why: str) -> None:
    with pytest.raises(SupervisionRefused, match=why):
        verb_of(given)


def test_all_of_them_in_one_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call, leg = live(made)
            await leg.silence(1)

            async def ask(**body: Any) -> dict[str, Any]:
                reply = await made.web.post(PATH, body, **BEARER)
                assert reply.status in (200, 202), reply.body
                answer: dict[str, Any] = reply.json()
                assert answer.pop("verb") == body["verb"]
                return answer

            said = await ask(verb="say", text="One moment.", by="Ann")
            assert (said["status"], said["queue_length"]) == ("processing", 1)
            assert await ask(verb="whisper", text="He is a friend.") == {"status": "done"}
            assert await ask(verb="takeover", by="Ann") == {"status": "done"}
            await leg.silence(3)
            assert await ask(verb="release") == {"status": "done"}
            await ask(verb="say", text="Good bye now.", by="Ann")
            before = asyncio.get_running_loop().time()
            assert await ask(verb="end", by="Ann") == {"status": "processing"}
            while not call.is_over:
                await leg.silence(0.1)
            assert asyncio.get_running_loop().time() - before < 5
            assert [event["text"] for event in told(call, "message.confirmed")][-1] == "Good bye now."
            names = ("supervisor.said", "supervisor.whispered", "handoff.requested", "handoff.active")
            facts = told(call, *names, "handoff.released")
            assert [(event["event"], event["by"]) for event in facts] == [
                ("supervisor.said", "Ann"),
                ("supervisor.whispered", SOMEBODY),
                ("handoff.requested", "Ann"),
                ("handoff.active", "Ann"),
                ("handoff.released", SOMEBODY),
                ("supervisor.said", "Ann"),
            ]
            (ended,) = told(call, "call.ended")
            assert (ended["reason"], ended["detail"]) == ("client_hangup", "ended by Ann")

    run_virtual(main())


def test_refusals_have_their_status(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call, leg = live(made)
            await leg.silence(0.5)
            for body, status, code in (
                ({"verb": "sing"}, 400, "BAD_MESSAGE"),
                ({"verb": "release"}, 409, "REQUEST_REFUSED"),
                ({"verb": "transfer", "to": "+15550003333"}, 501, "CARRIER_UNSUPPORTED"),
            ):
                reply = await made.web.post(PATH, body, **BEARER)
                assert (reply.status, reply.json()["code"]) == (status, code), reply.body
                assert reply.detail
            await made.web.post(PATH, {"verb": "takeover", "by": "Ann"}, **BEARER)
            twice = await made.web.post(PATH, {"verb": "takeover", "by": "Bob"}, **BEARER)
            assert (twice.status, "Ann has taken" in twice.detail) == (409, True)
            assert (await made.web.ask(PATH, "POST", b"nonsense", **BEARER)).status == 400
            assert not call.is_over
            made.ring("CA2")
            early = await made.web.post("/v1/calls/CA2/supervise", {"verb": "say", "text": "x"}, **BEARER)
            assert (early.status, early.json()["code"]) == (404, "CALL_UNKNOWN")
            ghost = await made.web.post("/v1/calls/CA9/supervise", {"verb": "end"}, **BEARER)
            assert ghost.status == 404

    run_virtual(main())


def test_who_may(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            call, leg = live(made)
            await leg.silence(0.5)
            other = made.services.agents.create("Other", made.agent.owner, AgentCreate(agent_id="Other"), 0.0)

            def token(agent: Agent = made.agent, **sealed: Any) -> dict[str, str]:
                return {"authorization": f"Bearer {issued(STREAM, [agent], made.services, **sealed)}"}

            whisper = {"verb": "whisper", "text": "x", "by": "Bob"}
            for headers, status in (
                ({}, 401),
                ({"authorization": "Bearer nope"}, 401),
                (token(), 403),
                (token(scope="observe"), 403),
                (token(scope="supervise", call_id="CA2"), 404),
                (token(other, scope="supervise"), 404),
                (token(scope="supervise"), 200),
                (token(scope="supervise", call_id="CA1", metadata={"name": "Ann"}), 200),
                (BEARER, 200),
            ):
                reply = await made.web.post(PATH, whisper, **headers)
                assert reply.status == status, (headers, reply.body)
            # Who was named by the token's maker is not somebody else by his own word.
            assert [event["by"] for event in told(call, "supervisor.whispered")] == ["Bob", "Ann", "Bob"]
            login = await made.web.post("/console/login", {"key": KEY})
            cookie = {"cookie": login.cookies[0].partition(";")[0]}
            assert (await made.web.post(PATH, whisper, **cookie, sec_fetch_site="same-origin")).status == 200
            foreign = await made.web.post(PATH, whisper, **cookie, origin="https://evil.example.net")
            assert foreign.status == 403
        async with site(tmp_path, supervising=False) as made:
            live(made)
            assert (await made.web.post(PATH, whisper, **BEARER)).status == 404

    run_virtual(main())


def test_as_a_socket_gives_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call, leg = live(made)
            await leg.silence(0.5)
            token = issued(STREAM, [made.agent], made.services, scope="supervise", metadata={"name": "Ann"})
            async with made.web.socket(f"/v1/attach?call=CA1&token={token}") as socket:
                await socket.wait("log.caught_up")

                async def ask(told: object, count: int) -> Any:
                    socket.say(told)
                    await socket.until(lambda: len(answers()) == count)
                    return answers()[-1]

                def answers() -> list[Any]:
                    return [frame for frame in socket.frames if frame.get("type") in ("verb", "error")]

                took = await ask({"verb": "takeover", "by": "Ann"}, 1)
                assert took == {"type": "verb", "verb": "takeover", "status": "done"}
                said = await ask({"verb": "say", "text": "Hello."}, 2)
                assert (said["verb"], said["status"]) == ("say", "processing")
                wrong = await ask({"verb": "shout"}, 3)
                assert (wrong["type"], wrong["code"]) == ("error", "BAD_MESSAGE")
                assert all(name in wrong["error"] for name in NAMES)
                await ask({"verb": "end"}, 4)
                while not call.is_over:
                    await leg.silence(0.1)
                await socket.end()
            types = [frame["type"] for frame in socket.frames if frame["type"].startswith(("hand", "super"))]
            assert types == ["handoff.requested", "handoff.active", "supervisor.said"]

    run_virtual(main())


def test_what_is_taken_over_stays_so_when_the_agent_resumes_it_goes_or_hands_it_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call, leg = live(made)
            await leg.silence(0.5)
            calls = made.calls
            calls.pausing.take_over(call, "Ann")
            assert call.session is not None
            calls.pausing.pause(call.slug, None, None)
            calls.pausing.resume(call.slug, None, None)
            assert call.session.answering.paused
            calls.owners.left(made.agent.owner, [], lambda _: None)
            await leg.silence(40)
            assert not call.is_over, "a person has it: it does not end for want of its agent"
            other = made.services.agents.create("Other", made.agent.owner, AgentCreate(agent_id="Other"), 0.0)
            calls.hand_over(call, other, call.facts, call.config, history=True)
            assert call.session.answering.paused
            assert told(call, "handoff.active")[-1]["by"] == "Ann"
            assert [event["event"] for event in told(call, "call.started", "handoff.active")][-2:] == [
                "call.started",
                "handoff.active",
            ]
            calls.pausing.release(call, "Ann")
            assert not call.session.answering.paused

    run_virtual(main())


def test_an_agents_own_pause_outlives_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call, leg = live(made)
            await leg.silence(0.5)
            made.calls.pausing.pause(call.slug, call.call_id, None)
            made.calls.pausing.take_over(call, "Ann")
            made.calls.pausing.release(call, "Ann")
            assert call.session is not None
            assert call.session.answering.paused
            made.calls.pausing.resume(call.slug, call.call_id, None)
            assert not call.session.answering.paused

    run_virtual(main())
