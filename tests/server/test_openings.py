"""Which agents are waited for as their calls begin."""

from __future__ import annotations

from server.openings import MAX_AGENTS, SILENT_CALLS, Openings


def test_an_agent_that_never_configures_a_call_is_not_waited_for_any_more() -> None:
    openings = Openings(600)
    for _ in range(SILENT_CALLS):
        assert openings.wait_ms("clock") == 600
        openings.seen("clock", configured=False)
    assert openings.wait_ms("clock") == 0
    assert openings.wait_ms("other") == 600


def test_one_call_that_it_configures_makes_it_waited_for_again() -> None:
    openings = Openings(600)
    for _ in range(SILENT_CALLS + 2):
        openings.seen("clock", configured=False)
    openings.seen("clock", configured=True)
    assert openings.wait_ms("clock") == 600


def test_only_calls_in_a_row_count() -> None:
    openings = Openings(600)
    for _ in range(3 * SILENT_CALLS):
        openings.seen("clock", configured=False)
        openings.seen("clock", configured=True)
    assert openings.wait_ms("clock") == 600


def test_it_remembers_a_bounded_number() -> None:
    openings = Openings(600)
    for number in range(MAX_AGENTS + 10):
        for _ in range(SILENT_CALLS):
            openings.seen(f"agent-{number}", configured=False)
    assert openings.wait_ms("agent-0") == 600
    assert openings.wait_ms(f"agent-{MAX_AGENTS + 9}") == 0
    assert len(openings._silent) == MAX_AGENTS
