"""What Prometheus is told, read back by its own parser."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.events import (
    BotInterrupted,
    CallEnded,
    CallStarted,
    EndReason,
    EngineFault,
    ToolCompleted,
    TurnMetrics,
    TurnRef,
)
from server.call import Call
from server.doors import readers
from server.followed import DOORS, REASONS
from tests.fakes.loop import run_virtual
from tests.server.site import BEARER, KEY, Site, site

TURN = TurnRef(1, "c0ffee")


async def figures(made: Site) -> dict[str, float]:
    """By name and labels, as they are written."""
    reply = await made.web.get("/metrics", **BEARER)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        sample.name
        + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def answered(call: Call, total_ms: int) -> None:
    call.journal.append(TurnMetrics(TURN, "m1", 300, 350, 250, None, 120, 40, total_ms, 900, 30, "llm"))


def test_calls_and_their_turns_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            before = await figures(made)
            assert before["talkwire_agents_online"] == 1
            assert before["talkwire_calls_max"] == made.services.settings.max_calls
            assert not any(name.startswith("talkwire_calls{") for name in before)
            call = made.begin(transport="webrtc")
            made.ring("CA2")
            answered(call, 800)
            answered(call, 1600)
            call.journal.append(BotInterrupted(TURN, "m1", 900, 3, "the", "user_spoke"))
            call.journal.append(
                ToolCompleted(TURN, "batch", "t1", "weather", "client", {"sky": "clear"}, 200)
            )
            # Handed over, it is one call still.
            call.journal.append(CallEnded(EndReason.ROUTED, "", 0.0, 1.0, ()))
            call.journal.hand_over(replace(call.facts, routed_from="agent:first"), "tester")
            call.journal.append(CallStarted("en"))
            live = await figures(made)
            assert live["talkwire_calls{state=connecting}{transport=webrtc}"] == 1
            assert "talkwire_calls_ended_total{reason=routed}" not in live
            assert live["talkwire_calls{state=ringing}{transport=phone}"] == 1
            assert live["talkwire_calls_started_total{direction=inbound}{transport=webrtc}"] == 1
            assert live["talkwire_turn_seconds_count{part=total}"] == 2
            assert live["talkwire_turn_seconds_sum{part=total}"] == pytest.approx(2.4)
            assert live["talkwire_turn_seconds_bucket{le=0.8}{part=total}"] == 1
            assert "talkwire_turn_seconds_count{part=agent}" not in live
            assert live["talkwire_llm_tokens_total{kind=input}"] == 1800
            assert live["talkwire_interruptions_total{reason=user_spoke}"] == 1
            assert live["talkwire_tools_total{outcome=completed}"] == 1
            made.end(call)
            after = await figures(made)
            assert after["talkwire_calls_ended_total{reason=hangup}"] == 1
            assert after["talkwire_call_seconds_count"] == 1
            assert "talkwire_calls{state=connecting}{transport=webrtc}" not in after

    run_virtual(main())


def test_faults_are_counted_by_engine_and_nobody_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            fault = EngineFault(
                TURN,
                "PROVIDER_ERROR",
                "openai: it does not answer +15551234567",
                "openai",
                "llm",
                retryable=True,
            )
            call.journal.append(fault)
            call.journal.append(fault)
            told = await figures(made)
            assert told["talkwire_errors_total{code=PROVIDER_ERROR}{provider=openai}{stage=llm}"] == 2
            text = (await made.web.get("/metrics", **BEARER)).body.decode()
            assert "Tester" not in text
            assert "555" not in text

    run_virtual(main())


def test_refusals_are_counted_by_their_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            made.services.ringing.refused["capacity"] += 3
            assert (await figures(made))["talkwire_calls_refused_total{reason=capacity}"] == 3

    run_virtual(main())


def test_the_board_and_its_page_show_what_there_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            reply = await made.web.get("/metrics", **BEARER)
            families = list(text_string_to_metric_families(reply.body.decode()))
            assert len(families) > 15
            names = {family.name for family in families}
            told = {family.name + ("_total" if family.type == "counter" else "") for family in families}
            root = Path(__file__).parents[2]
            shown = set(
                re.findall(r"\b(?:talkwire|process)_\w+", (root / "docker/grafana/talkwire.json").read_text())
            )
            assert {re.sub(r"_(total|bucket)$", "", name) for name in shown} <= names
            page = (root / "docs/monitoring.md").read_text()
            assert {name for name in told if name.startswith("talkwire")} <= set(
                re.findall(r"talkwire_\w+", page)
            )

    run_virtual(main())


def test_readers_are_counted_by_their_door_and_those_that_were_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_READERS", 2)
    connect = {"event": "connect", "api_key": KEY}

    async def main() -> None:
        async with site(tmp_path) as made:
            call = made.begin()
            assert {name: value for name, value in (await figures(made)).items() if "reader" in name} == {
                **{f"talkwire_readers{{door={door}}}": 0 for door in DOORS},
                **{
                    f"talkwire_readers_closed_total{{door={door}}}{{reason={reason}}}": 0
                    for door in DOORS
                    for reason in REASONS
                },
            }
            async with (
                made.web.socket("/v1/attach?call=CA1") as slow,
                made.web.socket("/v1/attach?agent=tester") as quick,
                made.web.socket("/v1/attach?call=CA1") as refused,
                made.web.socket("/ws/stream"),
                made.web.socket("/v1/tap") as tap,
                made.web.stream("/v1/calls"),
                made.web.stream("/v1/calls/CA1/events"),
                made.web.stream("/v1/agents/tester/stream"),
                made.web.stream("/v1/calls/CA1/stream"),
            ):
                tap.say(connect)
                await tap.until(lambda: bool(tap.frames))
                await slow.wait("log.caught_up")
                await quick.wait("log.caught_up")
                assert (await refused.end())[0] == 1013
                await asyncio.sleep(0.1)
                now = await figures(made)
                assert {door: now[f"talkwire_readers{{door={door}}}"] for door in DOORS} == {
                    **dict.fromkeys(DOORS, 1),
                    "attach": 2,
                }
                slow.hold()
                tap.hold()
                for _ in range(5000):
                    answered(call, 800)
                await slow.end()
                await tap.end()
            after = await figures(made)
            assert all(after[f"talkwire_readers{{door={door}}}"] == 0 for door in DOORS)
            closed = {
                name: value
                for name, value in after.items()
                if name.startswith("talkwire_readers_closed") and value
            }
            assert closed == {
                "talkwire_readers_closed_total{door=attach}{reason=full}": 1,
                "talkwire_readers_closed_total{door=attach}{reason=slow_consumer}": 1,
                "talkwire_readers_closed_total{door=tap}{reason=slow_consumer}": 1,
            }

    run_virtual(main())
