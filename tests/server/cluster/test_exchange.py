"""Commands and answers arrive once, however often a link breaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.cluster.exchange import MAX_KEPT, Received, Sent


@given(st.lists(st.sampled_from(["send", "lose", "again", "confirm"]), max_size=60))
def test_each_arrives_once_in_order(what_happens: list[str]) -> None:
    sent, received = Sent(), Received()
    said: list[str] = []
    got: list[str] = []
    broken = False

    def deliver(number: int | None, text: str) -> None:
        assert number is not None
        if not broken and received.is_new(number):
            got.append(text)

    for step in [*what_happens, "again"]:
        if step == "send":
            said.append(f"{len(said)}")
            deliver(sent.add(said[-1]), said[-1])
        elif step == "lose":
            broken = True
        elif step == "confirm":
            sent.arrived(received.last)
        else:
            broken = False
            for number, text in sent.rest():
                deliver(number, text)
    assert got == said


def test_what_nobody_confirms_is_kept_within_a_bound() -> None:
    sent = Sent()
    assert all(sent.add("x") for _ in range(MAX_KEPT))
    assert sent.add("x") is None
    sent.arrived(1)
    assert sent.add("x") == MAX_KEPT + 1
