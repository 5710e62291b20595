"""Browser calls at one node whose pages ask another one: the load balancer sends each request where it likes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, browser, post_offer
from tests.e2e.harness import in_order, registered
from tests.e2e.test_nodes import Node, known, nodes
from tests.e2e.test_webrtc import LONG, lose

pytestmark = [pytest.mark.e2e, pytest.mark.alone]


async def resumed(node: Node, page: Browser, last_seq: int) -> Browser:
    """The same page by another connection, which it asks this node for."""
    token = (await page.wait("session.connected"))["resume_token"]
    other = Browser()
    answer = await post_offer(node.server, await other.offer(resume=token, last_seq=last_seq))
    assert answer.status_code == 200, answer.text
    await other.accept(answer.json())
    return other


@pytest.mark.parametrize("lost", [True, False])
async def test_a_page_comes_back_to_its_call_by_way_of_the_other_node(tmp_path: Path, lost: bool) -> None:
    """``lost``: its network is gone, and it offers anew once the call is held; else it changes its network."""
    async with (
        nodes(tmp_path, webrtc_resume_s=10) as (a, b),
        registered(b.ws, greeting=LONG) as agent,
    ):
        await known(a)
        async with browser(a.server) as page:
            assert a.server.services.calls.get(page.call_id) is not None
            await agent.wait("bot.word", 5)
            if lost:
                lose(page)
                assert (await agent.wait("call.held"))["by"] == "network"
            spoken = (await page.wait("bot.speaking"))["seq"]
            other = await resumed(b, page, spoken)
            await page.close()
            try:
                assert other.call_id == page.call_id
                assert b.server.services.calls.get(page.call_id) is None, "it stays where it is"
                if lost:
                    await agent.wait("call.unheld")
                await agent.wait("bot.finished")
                await asyncio.sleep(0.3)
                assert other.ear.heard_ms() > 500
                told = [frame["seq"] for frame in other.frames if "seq" in frame]
                assert told == sorted(set(told))
                missed = [frame["seq"] for frame in page.frames if frame.get("seq", 0) > spoken]
                assert told[: len(missed)] == missed, "from where it says that it is"
                # Once more, by the node that has it, with the token that it was given on the way.
                third = await resumed(a, other, told[-1])
                await other.close()
                other = third
                other.send(action="ping")
                await other.wait("pong")
            finally:
                await other.close()
        assert (await agent.wait("call.ended"))["reason"] == "client_hangup"
        in_order(agent.frames)


async def test_a_page_whose_node_has_stopped_is_told_that_its_call_is_over(tmp_path: Path) -> None:
    async with nodes(tmp_path, webrtc_resume_s=10) as (a, b), registered(b.ws, greeting=LONG) as agent:
        await known(a)
        async with browser(a.server) as page:
            token = (await page.wait("session.connected"))["resume_token"]
            await agent.wait("call.started")
            await a.server.services.calls.drain(0.0)
            await agent.wait("call.ended")
            other = Browser()
            refused = await post_offer(b.server, await other.offer(resume=token))
            await other.close()
            assert refused.status_code == 410, refused.text
