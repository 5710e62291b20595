"""``talkwire doctor``: look at an installation from all sides, and say of each what to do.

Each check is a plain coroutine that is given the ``Case`` and returns a ``Finding``; all run at once, those that load
engines behind the others, each with its deadline. What they tell is cleared of secrets before anybody sees it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import structlog
from pydantic import SecretStr

from server.commands.doctor import carrier, engines, house, public, relays
from server.commands.doctor.case import TIMEOUT_S, Case, examined
from server.commands.doctor.findings import Check, Finding, fail, skipped, without_server
from server.secrets import API_KEY_FILE
from server.settings import Settings, SettingsError

LOADING: Final = 3
"""A small machine that is at work takes its time to load models."""
CHECKS: Final = (
    Check("settings", "are all settings known, and right", house.settings),
    Check("keys", "are the API keys good, and those of the running server", house.keys, "better"),
    Check("disk", "can the data directory be written, and is there room for recordings", house.disk),
    Check("database", "does the database answer, and has it the tables of this version", house.database),
    Check("redis", "does Redis answer, and can the other nodes be reached", house.redis),
    Check("server", "does it run, or is its port free", house.server),
    Check("audiosocket", "is the port for a PBX free, or the server's", house.audiosocket, "better"),
    Check("udp", "are there UDP ports enough for browser calls", house.udp, "better"),
    Check("stun", "do the STUN servers answer, and see the address that browsers are told", relays.stun),
    Check("turn", "does the TURN server relay for who has our credentials", relays.turn),
    Check("clock", "is this machine's clock right", relays.clock),
    Check("public_url", "does the public address lead here, for Twilio and for browsers", public.public_url, "better"),
    Check("certificate", "is its certificate trusted, and for how long", public.certificate),
    Check("signature", "is a signed webhook taken that comes by it, and an unsigned one refused", public.signed, "yes"),
    Check("media", "can a media stream be opened by it (WebSocket)", public.media, "yes"),
    Check("account", "does Twilio take the account's tokens", carrier.account),
    Check("numbers", "do the account's numbers point at this server", carrier.numbers),
    Check("detector", "is the voice detector loaded", engines.detector, patience=LOADING),
    Check("recogniser", "is speech to text loaded, or does its endpoint answer", engines.recogniser, patience=LOADING),
    Check("voice", "is text to speech loaded, or does its endpoint answer", engines.voice, patience=LOADING),
    Check("mind", "do the language models' endpoints answer", engines.mind, patience=LOADING),
    Check("speech", "is a sentence spoken, and understood again", engines.speech, patience=LOADING),
)  # fmt: skip
SHORTEST_SECRET: Final = 4
HIDDEN: Final = "***"
_MARKS: Final = {"ok": "ok     ", "warn": "warn   ", "fail": "FAIL   ", "skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding
    took_ms: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [check.name for check in CHECKS]
    parser.add_argument(
        "--only", type=_names(names), default=names, metavar="NAME,...", help=f"some of: {', '.join(names)}"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="for each check (%(default)g); those of engines may take three times as long",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(
                f"no check {', '.join(unknown) or text!r}; there are {', '.join(known)}"
            )
        return names

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is 0.1 to 600 seconds")
    return value


async def run(args: argparse.Namespace) -> int:
    """Print what was found. Returns 1 where something fails, else 0."""
    # What the engines log is told by the findings.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    chosen = [check for check in CHECKS if check.name in args.only]
    show = _nothing if args.json else _print
    results = await outcomes(chosen, args.timeout, show)
    if args.json:
        print(json.dumps(as_json(results), indent=2, ensure_ascii=False))
    else:
        print(summary(results))
    return int(any(result.finding.status == "fail" for result in results))


def _print(result: Result) -> None:
    print("\n".join(lines(result)), flush=True)


def _nothing(_: Result) -> None:
    """All is printed at the end."""


async def outcomes(chosen: Sequence[Check], timeout_s: float, show: Callable[[Result], None]) -> list[Result]:
    """What each check found. Each is shown in its turn, as soon as it and those before it are through."""
    found: list[Result] = []

    def tell(result: Result) -> None:
        found.append(result)
        show(result)

    try:
        settings = Settings.load()
    except SettingsError as error:
        text, remedy = "; ".join(str(error).splitlines()), "see docs/configuration.md"
        tell(Result(CHECKS[0], fail(text, remedy)))
        for check in chosen:
            if check is not CHECKS[0]:
                tell(Result(check, skipped("the settings are wrong")))
        return found
    hide = await asyncio.to_thread(Hidden, settings)
    # Loading models takes the loop and the cores, and what is measured meanwhile would be wrong.
    groups = [[check for check in chosen if (check.patience > 1) == loads] for loads in (False, True)]
    async with examined(settings, timeout_s=timeout_s) as case:
        for group in groups:
            async with asyncio.TaskGroup() as tasks:
                for task in [tasks.create_task(examine(check, case), name=check.name) for check in group]:
                    result = await task
                    tell(replace(result, finding=hide(result.finding)))
    return found


async def examine(check: Check, case: Case) -> Result:
    """Run one check, within its deadline. Never raises."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        async with asyncio.timeout(case.timeout_s * check.patience):
            finding = await check.run(case)
    except TimeoutError:
        finding = fail(
            f"not through within {case.timeout_s * check.patience:g} s",
            "give it longer (--timeout), and see what the others say",
        )
    except Exception as error:  # noqa: BLE001 - one check must not take the others away
        finding = fail(
            f"the check itself failed: {type(error).__name__}: {error}",
            "please report this with what it says",
        )
    return Result(check, finding, round((clock() - began) * 1000))


# --- what is told -----------------------------------------------------------------------------------------


class Hidden:
    """Takes the values of secrets out of what is told, whoever has put them there."""

    def __init__(self, settings: Settings) -> None:
        found = {secret.get_secret_value() for secret in _secrets(settings)}
        redis = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
        found |= {urlsplit(url).password or "" for url in (settings.database, redis)}
        with suppress(OSError, UnicodeDecodeError):
            found.add((settings.data_dir / API_KEY_FILE).read_text("ascii").strip())
        self._values = sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, finding: Finding) -> Finding:
        return Finding(finding.status, self._clear(finding.text), self._clear(finding.remedy))

    def _clear(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text


def _secrets(value: object) -> Iterable[SecretStr]:
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, Settings):
        for name in Settings.model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _secrets(part)


def lines(result: Result) -> list[str]:
    """As it is printed: what was found, and below it what to do."""
    finding = result.finding
    width = max(len(check.name) for check in CHECKS)
    text = " ".join(finding.text.split())
    found = [f"{_MARKS[finding.status]}  {result.check.name.ljust(width)}  {text}"]
    if finding.remedy:
        found.append(f"{'':9}{'':{width}}  -> {' '.join(finding.remedy.split())}")
    return found


def summary(results: Sequence[Result]) -> str:
    counts = {status: sum(r.finding.status == status for r in results) for status in _MARKS}
    needing = sorted(r.check.name for r in results if r.finding == without_server())
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return told + (f"; with the server running also: {', '.join(needing)}" if needing else "")


def as_json(results: Sequence[Result]) -> dict[str, object]:
    return {
        "ok": not any(result.finding.status == "fail" for result in results),
        "checks": [
            {
                "name": result.check.name,
                "status": result.finding.status,
                "text": result.finding.text,
                "remedy": result.finding.remedy,
                "needs_server": result.check.server,
                "took_ms": result.took_ms,
            }
            for result in results
        ],
    }
