"""``talkwire config``: all settings, and where each came from.

``python -m server.commands.config`` rewrites ``docs/configuration.md`` and ``.env.example`` from the
declaration; the tests say when that was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import wrap

from server.settings import Settings, declared
from server.settings.texts import Declared

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
EXAMPLE = ROOT / ".env.example"


def run(settings: Settings) -> None:
    """Print the table."""
    print(table(settings))


def table(settings: Settings) -> str:
    """Value, unit, default and source of each setting. Of a secret only whether it is set."""
    rows = [("SETTING", "VALUE", "UNIT", "DEFAULT", "FROM")]
    for one in declared():
        source = settings.sources.get(one.key, "default")
        default = one.default or ("unset" if one.secret else "-")
        rows.append((one.key, one.value_in(settings) or "-", one.unit or "-", default, source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join((*lines, *(f"warning: {warning}" for warning in settings.warnings)))


def page() -> str:
    """``docs/configuration.md``."""
    parts = [
        "# Configuration",
        "<!-- Made from server/settings by `python -m server.commands.config`. Do not edit. -->",
        "Settings are read once at the start, from the environment and from a file `.env` in the working "
        "directory. The environment wins. An empty value means unset. A wrong value stops the start and "
        "names the setting; an unknown `TALKWIRE_*` variable is warned about.",
        "`talkwire config` prints the settings in force and where each came from. Secrets are shown as `set` "
        "or `unset` only.",
    ]
    for title, settings in _sections():
        parts += [f"## {title}", _rows(settings)]
    return "\n\n".join(parts) + "\n"


def _rows(settings: list[Declared]) -> str:
    lines = ["| Setting | Default | Unit | Allowed | Meaning |", "| --- | --- | --- | --- | --- |"]
    for one in settings:
        default = f"`{one.default}`" if one.default else "unset"
        meaning = one.description + (" A secret." if one.secret else "")
        lines.append(f"| `{one.key}` | {default} | {one.unit} | {one.allowed} | {meaning} |")
    return "\n".join(lines)


def example() -> str:
    """``.env.example``: every setting at its default, commented out."""
    lines = [
        "# Copy to .env and take the # away from what you change. The environment wins over this file.",
        "# Made from server/settings by `python -m server.commands.config`. See docs/configuration.md.",
    ]
    for title, settings in _sections():
        lines += ["", f"# --- {title} ---"]
        for one in settings:
            unit = f" Unit: {one.unit}." if one.unit else ""
            text = f"{one.description.replace('`', '')} Allowed: {one.allowed}.{unit}"
            lines += ["", *(f"# {line}" for line in wrap(text, 100)), f"#{one.key}={one.default}"]
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, list[Declared]]]:
    for title, settings in groupby(declared(), key=lambda one: one.section):
        yield title, list(settings)


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")


if __name__ == "__main__":
    main()
