"""Tools that the page of a browser call runs, and what a page sees of thinking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Browser, browser
from tests.e2e.harness import Agent, registered, running
from tests.e2e.test_openai import ENGINES, talking
from tests.e2e.test_tools import WISH, clock, gives
from tests.fakes.openai_endpoint import Endpoint, endpoint

pytestmark = pytest.mark.e2e

TYPED = 'call clock {"zone": "UTC"}'
"""The endpoint's model does as it is told."""


@asynccontextmanager
async def chatting(data_dir: Path, **agent: Any) -> AsyncIterator[tuple[Endpoint, Agent, Browser]]:
    """A page on a call with the server's language model."""
    async with (
        endpoint(llm_ms=150.0, tts_ms=80.0) as model,
        running(data_dir, **{**ENGINES, "openai_base_url": model.base_url}) as server,
        registered(server.ws, llm="openai/gpt-4o", prompt="Be brief.", **agent) as client,
        browser(server) as page,
    ):
        await page.wait("session.ready")
        yield model, client, page


async def test_a_page_runs_a_tool_and_the_caller_hears_what_came_of_it(tmp_path: Path) -> None:
    async with chatting(tmp_path, tools=[clock(page=True)]) as (model, agent, page):
        page.send(action="inject_text", text=TYPED)
        asked = await page.wait("tool.started")
        assert (asked["name"], asked["arguments"]) == ("clock", {"zone": "UTC"})
        ids = {"msg_id": asked["msg_id"], "tool_call_id": asked["tool_call_id"]}
        result = {"time": "ten past nine"}
        page.send(action="tool_result", **ids, result=result, ack="1")
        assert (await page.wait("ack", ack="1"))["status"] == "success"
        assert (await page.wait("llm.tool_result"))["result"] == result
        assert "ten past nine" in (await page.wait("message.confirmed"))["text"]
        completed = await agent.wait("tool.completed")
        assert (completed["kind"], completed["result"]) == ("page", result)
        assert agent.of("llm.tool_call") == []
        assert page.of("llm.tool_call") == []
        assert model.llm.requests[0].json["tools"] == [clock()]


async def test_a_page_answers_for_nothing_that_it_was_not_asked(tmp_path: Path) -> None:
    async with chatting(tmp_path, tools=[clock()]) as (_, agent, page):
        agent.on["llm.tool_call"] = gives({"time": "ten past nine"})
        react = agent.on.pop("llm.tool_call")
        page.send(action="inject_text", text=TYPED)
        batch = await page.wait("llm.tool_call")
        ids = {"msg_id": batch["msg_id"], "tool_call_id": batch["tool_calls"][0]["id"]}
        page.send(action="tool_result", **ids, result="forged", ack="1")
        refused = await page.wait("ack", ack="1")
        assert (refused["status"], refused["code"]) == ("error", "RESULT_UNKNOWN")
        page.send(action="tool_result", result="of nothing", ack="2")
        assert (await page.wait("ack", ack="2"))["code"] == "BAD_MESSAGE"
        assert page.of("tool.started") == []
        answer = react(batch)
        assert answer is not None
        await agent.send(answer.pop("event"), **answer)
        assert (await agent.wait("tool.completed"))["result"] == {"time": "ten past nine"}


async def test_on_the_phone_the_model_does_not_know_of_it(tmp_path: Path) -> None:
    async with talking(tmp_path, fixture=WISH, tools=[clock(page=True)]) as talk:
        await talk.ask()
        assert "tools" not in talk.endpoint.llm.requests[0].json
