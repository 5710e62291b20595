"""``docs/browser-client.md`` tells of every event, option, reason and method that there is."""

from __future__ import annotations

import re

from server.protocol.page import ACTIONS, FIELDS, OWN
from tests.clients.sources import CLIENTS, ROOT

SOURCE = CLIENTS / "browser" / "src"
PAGE = (ROOT / "docs" / "browser-client.md").read_text(encoding="utf-8")


def between(file: str, begin: str, end: str) -> str:
    text = (SOURCE / file).read_text(encoding="utf-8")
    return text.partition(begin)[2].partition(end)[0]


def rows(heading: str) -> set[str]:
    """What stands in code in the first cells of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = (line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    return {name for cell in cells for name in re.findall(r"`([\w.]+)", cell)}


def test_every_event() -> None:
    body = between("events.ts", "export interface Events {", "\n}")
    names = set(re.findall(r'^  "?([a-z.]+)"?: ', body, re.MULTILINE))
    assert len(names) > 30
    assert rows("Events") == names


def test_every_option() -> None:
    body = between("options.ts", "export interface TalkwireOptions {", "\n}")
    names = set(re.findall(r"^  readonly (\w+)\??:", body, re.MULTILINE))
    assert rows("Options") == names


def test_the_defaults_are_those_of_the_code() -> None:
    for name, value in re.findall(r"(\w+): ([\d_]+),", between("options.ts", "DEFAULTS = {", "}")):
        assert f"| `{name}` | {int(value)} |" in PAGE


def test_every_reason_to_close() -> None:
    body = between("reasons.ts", "export const REASONS = {", "\n} satisfies")
    assert rows("Why a connection closed") == set(re.findall(r"^  (\w+): \{", body, re.MULTILINE))


def test_every_method() -> None:
    text = (SOURCE / "session.ts").read_text(encoding="utf-8")
    found = re.findall(r"^  (?:async )?(\w+)(?:<.*?>)?\(", text, re.MULTILINE)
    assert rows("Ten lines of JavaScript") == {name for name in found if name != "constructor"}


def test_every_property_of_its_looks() -> None:
    style = (SOURCE / "style.ts").read_text(encoding="utf-8")
    for name in set(re.findall(r"--talkwire-[\w-]+", style)):
        assert f"`{name}`" in PAGE


def test_the_wire_of_a_page_is_written_down() -> None:
    text = (ROOT / "docs" / "browser.md").read_text(encoding="utf-8")
    told = {*FIELDS, *(str(model.model_fields["event"].default) for model in OWN)}
    assert {name for name in told if f"`{name}`" not in text and f'"{name}"' not in text} == set()
    for model in ACTIONS:
        action = model.model_json_schema()["properties"]["action"]["const"]
        assert f'"action": "{action}"' in text
