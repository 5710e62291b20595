"""Draws the turn machine from its table, as Mermaid: ``python -m pipeline.turns.diagram`` renews the drawing in
ARCHITECTURE.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.turns.machine import TABLE, Row
from pipeline.turns.vocabulary import State

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
BEGIN, END = "<!-- turn machine: python -m pipeline.turns.diagram -->", "<!-- end of the turn machine -->"


def mermaid(table: Mapping[tuple[State, type], Row] = TABLE) -> str:
    """A state diagram: an arrow for each way from one state to another, with the events that take it."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), row in table.items():
        for target in row.targets:
            if target is not state:
                arrows.setdefault((state, target), []).append(event.__name__)
    order = list(State)
    lines = ["```mermaid", "stateDiagram-v2", f"  [*] --> {State.IDLE}"]
    for source, target in sorted(arrows, key=lambda pair: (order.index(pair[0]), order.index(pair[1]))):
        lines.append(f"  {source} --> {target}: {', '.join(arrows[source, target])}")
    return "\n".join([*lines, "```"])


def renewed(page: str) -> str:
    """The page with the drawing of today. Raises ``ValueError`` where it has no place for it."""
    found = re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", page, re.DOTALL)
    if found is None:
        raise ValueError(f"ARCHITECTURE.md has no lines {BEGIN} and {END}")
    return f"{page[: found.start()]}{BEGIN}\n{mermaid()}\n{END}{page[found.end() :]}"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
