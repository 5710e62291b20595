"""The golden log is what would be told now, and fits the schema that clients are given."""

from __future__ import annotations

import pytest

from server.protocol import EVENTS
from tests.e2e.harness import in_order
from tests.protocol import golden
from tests.protocol.schema import DEFINITIONS, faults, fits, sample, wrong_values

KIND_OF = {str(event.model_fields["event"].default): event.__name__ for event in EVENTS}


def test_the_golden_log_is_what_is_told_now() -> None:
    assert golden.FILE.read_text(encoding="utf-8") == golden.text(), "run: python -m tests.protocol.golden"


def test_what_a_page_is_told_of_it_is_what_it_is_told_now() -> None:
    assert golden.PAGE_FILE.read_text(encoding="utf-8") == golden.page_text(), (
        "run: python -m tests.protocol.golden"
    )


def test_all_that_a_page_is_told_fits_the_schema() -> None:
    kinds = [choice["$ref"].rpartition("/")[2] for choice in DEFINITIONS["PageEvent"]["oneOf"]]
    kind_of = {DEFINITIONS[kind]["properties"]["event"]["const"]: kind for kind in kinds}
    assert len(kind_of) == len(kinds)
    frames = golden.page()
    for frame in frames:
        assert list(faults(frame, DEFINITIONS[kind_of[frame["event"]]])) == []
    names = [frame["event"] for frame in frames]
    assert (names[0], names[-2:]) == ("session.connected", ["call.ended", "session.timeout"])


def test_every_event_of_it_fits_the_schema_and_their_order_is_the_promised_one() -> None:
    frames = golden.load()
    for frame in frames:
        assert list(faults(frame, DEFINITIONS[KIND_OF[frame["event"]]])) == []
    in_order(frames)
    assert [frame["event"] for frame in frames[-2:]] == ["call.ended", "call.recording"]


@pytest.mark.parametrize("name", [event.__name__ for event in EVENTS])
def test_the_checker_sees_what_is_wrong_with_an_event(name: str) -> None:
    definition = DEFINITIONS[name]
    good = sample(definition)
    assert list(faults(good, definition)) == []
    assert not fits({**good, "undeclared": 1}, definition)
    for field in definition["required"]:
        assert not fits({key: value for key, value in good.items() if key != field}, definition)
    for field, schema in definition["properties"].items():
        for value in wrong_values(schema):
            assert not fits({**good, field: value}, definition), (field, value)
