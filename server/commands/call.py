"""``talkwire call``: ring a running server as Twilio would, speak recordings, and watch both ends.

Two kinds of lines are printed against one clock, the caller's: the events that the agent gets (from the
server's tap), and behind a dot what was true at the far end, so that one can be held against the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from telephony.carriers.twilio.simulator import (
    CallOptions,
    CallOver,
    CallRejected,
    Clip,
    Fact,
    SimulatedCall,
    SimulatedCarrier,
    SimulatorError,
    Speech,
    new_sid,
)

PAUSE_MS: Final = 1000
"""Quiet after which the bot has finished: longer than it pauses between two sentences."""
LONGEST_ANSWER_S: Final = 120.0
LONGEST_FIELD: Final = 1000
"""Characters of one field that are printed: a recording is a thousand times as long."""
_TAP_TIMEOUT_S: Final = 3.0
_LAST_EVENTS_S: Final = 1.0
_FLITE_TIMEOUT_S: Final = 60.0

_FACTS: Final = {
    "call.started": "the call is answered",
    "bot.audible": "the bot can be heard",
    "bot.quiet": "the bot is quiet",
    "caller.speaking": "the caller speaks",
    "caller.quiet": "the caller is quiet",
    "caller.dtmf": "the caller presses",
    "mark": "mark returned",
    "clear": "play-out cleared",
    "fault": "the carrier would drop this",
    "call.ended": "the call is over",
}
_UNPRINTED_EVENTS: Final = frozenset({"audio.metrics"})
_UNPRINTED_FIELDS: Final = frozenset(
    "event agent_id call_id session_id seq ts timestamp message_id turn_id correlation_id segment_id word_index "
    "started_at ended_at".split()
)
_QUOTED_FIELDS: Final = frozenset({"text", "word", "error"})


class CommandFailed(Exception):
    """What ends the command with a sentence instead of a traceback."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing for the caller to say: a file, or a text for flite."""

    file: str | None
    text: str | None = None
    barge_in_s: float | None = None
    """Say it so long after the bot began to speak; None: when the bot has finished."""


class _Turns(argparse.Action):
    """Files, ``--say`` and ``--barge-in`` in the order in which they are written."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        words = [str(value) for value in values or ()]
        if option == "--barge-in":
            try:
                namespace.barge_in_s = float(words.pop(0))
            except ValueError:
                parser.error("--barge-in takes seconds, such as 1.5")
            if not 0 <= namespace.barge_in_s < LONGEST_ANSWER_S:
                parser.error(f"--barge-in takes 0 to {LONGEST_ANSWER_S:g} seconds")
        elif option == "--say":
            self._add(namespace, Turn(None, text=words.pop(0), barge_in_s=namespace.barge_in_s))
        for word in words:
            self._add(namespace, Turn(word, barge_in_s=namespace.barge_in_s))

    def _add(self, namespace: argparse.Namespace, turn: Turn) -> None:
        namespace.turns = [*namespace.turns, turn]
        namespace.barge_in_s = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments. Turns are taken in the order in which they stand on the command line."""
    parser.set_defaults(turns=[], barge_in_s=None)
    parser.add_argument("files", nargs="*", action=_Turns, metavar="FILE.wav", help="recorded speech to say")
    parser.add_argument(
        "--say",
        nargs="+",
        action=_Turns,
        default=argparse.SUPPRESS,
        metavar=("TEXT", "FILE.wav"),
        help="say a text with the flite program, then more files",
    )
    parser.add_argument(
        "--barge-in",
        nargs="+",
        action=_Turns,
        default=argparse.SUPPRESS,
        metavar=("SECONDS", "FILE.wav"),
        help="say the next turn so many seconds after the bot began to speak, without waiting for its end",
    )
    parser.add_argument(
        "--server", help="where it listens (http://127.0.0.1 with the port of TALKWIRE_PORT, or else 8080)"
    )
    parser.add_argument(
        "--public-url",
        help="what the server has as TALKWIRE_PUBLIC_URL, for signatures (that variable, or --server)",
    )
    parser.add_argument("--to", default="+15550002222", help="number to call (%(default)s)")
    parser.add_argument("--from", dest="from_", default="+15550001111", help="caller's number (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=8.0,
        metavar="SECONDS",
        help="wait so long for the bot (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("call.wav"), help="recording: left caller, right bot (%(default)s)"
    )
    parser.add_argument("--marks", action="store_true", help="print returned marks, too")


async def run(args: argparse.Namespace) -> int:
    """Make the call. Returns 0, or 1 with a sentence on stderr."""
    try:
        return await _run(args)
    except CommandFailed as error:
        print(f"talkwire call: {error}", file=sys.stderr)
        return 1


async def _run(args: argparse.Namespace) -> int:
    turns: list[Turn] = args.turns
    if not turns:
        raise CommandFailed("nothing to say: name a WAV file or give --say TEXT")
    if args.barge_in_s is not None:
        raise CommandFailed("--barge-in needs a file or a --say behind it")
    environment = await asyncio.to_thread(_environment)
    server = args.server or f"http://127.0.0.1:{environment.get('TALKWIRE_PORT') or 8080}"
    if not server.startswith(("http://", "https://")):
        raise CommandFailed(f"--server must be an http or https address (got {server!r})")
    clips = [await asyncio.to_thread(_load, turn) for turn in turns]
    printer = Printer(show_marks=args.marks)
    carrier = SimulatedCarrier(
        server,
        auth_token=environment.get("TWILIO_AUTH_TOKEN") or None,
        public_url=args.public_url or environment.get("TALKWIRE_PUBLIC_URL") or None,
    )
    call_sid = new_sid("CA")
    async with carrier, tapped(server, call_sid, environment, printer):
        options = CallOptions(on_fact=printer.fact)
        try:
            call = await carrier.place_call(args.from_, args.to, call_sid=call_sid, options=options)
        except SimulatorError as error:
            raise CommandFailed(_explain(error, args.to)) from None
        printer.begin(call.started_s)
        speeches: list[Speech] = []
        try:
            await _converse(call, list(zip(turns, clips, strict=True)), speeches, args.patience)
            call.hang_up()
            await call.ended(timeout_s=10)
        except (CallOver, TimeoutError):
            pass  # The report says how it ended.
        finally:
            call.hang_up()
            try:
                await asyncio.to_thread(call.write_wav, args.out)
            except OSError as error:
                raise CommandFailed(f"cannot write {args.out}: {error.strerror}") from None
    print()
    for line in report(call, speeches):
        print(line)
    print(f"{args.out}: left the caller, right the bot")
    if len(speeches) < len(turns):
        raise CommandFailed(f"the call ended before turn {len(speeches) + 1} of {len(turns)} was said")
    return 0


async def _converse(
    call: SimulatedCall, turns: list[tuple[Turn, Clip]], speeches: list[Speech], patience_s: float
) -> None:
    """Speak turn by turn. Raises ``CallOver`` where the call ends before all is said."""
    heard_from_s = call.started_s
    for turn, clip in turns:
        at_s: float | None = None
        if turn.barge_in_s is None:
            await _listen(call, heard_from_s, patience_s)
        else:
            with contextlib.suppress(TimeoutError):
                began_s = await call.bot_speaking(after_s=heard_from_s, timeout_s=patience_s)
                at_s = began_s + turn.barge_in_s
        speech = call.say(clip, at_s=at_s)
        await speech.finished()
        if call.end is not None:
            raise CallOver("the call ended while the caller spoke")
        speeches.append(speech)
        heard_from_s = speech.voice_end_s
    await _listen(call, heard_from_s, patience_s)


async def _listen(call: SimulatedCall, from_s: float, patience_s: float) -> None:
    """Wait until the bot has said its part, or for ``patience_s`` where it says nothing."""
    with contextlib.suppress(TimeoutError):
        await call.bot_speaking(after_s=from_s, timeout_s=patience_s)
        await call.bot_quiet(PAUSE_MS, timeout_s=LONGEST_ANSWER_S)


def report(call: SimulatedCall, speeches: Sequence[Speech]) -> list[str]:
    """What the call amounts to, as measured at the far end."""
    playback = call.playback
    lines = []
    for number, speech in enumerate(speeches, 1):
        following = speeches[number].onset_s if number < len(speeches) else float("inf")
        found = []
        stopped = [u for u in playback.utterances(300) if u.start_s < speech.onset_s < u.end_s]
        if stopped:
            found.append(f"barge-in, bot quiet after {(stopped[0].end_s - speech.onset_s) * 1000:.0f} ms")
        answers = [s for s, _ in playback.loud if speech.voice_end_s <= s < following]
        found.append(
            f"answered after {(answers[0] - speech.voice_end_s) * 1000:.0f} ms" if answers else "no answer"
        )
        lines.append(f"turn {number}  {speech.clip.name}: {', '.join(found)}")
    holes = [hole for hole in playback.underruns() if hole.in_speech]
    end = call.end
    lines.append(
        f"heard {playback.heard_ms() / 1000:.1f} s, cleared unheard {playback.cleared / 8000:.1f} s, "
        f"{len(holes)} holes in speech, {len(call.faults)} faults; "
        f"{'still connected' if end is None else f'ended by the {end.reason} ({end.code})'}"
    )
    return lines


class Printer:
    """One line for each thing that happens, with the seconds since the call's start."""

    def __init__(self, *, show_marks: bool = False) -> None:
        self._show_marks = show_marks
        self._origin_s: float | None = None
        self._early: list[tuple[float, str]] = []

    def begin(self, origin_s: float) -> None:
        """The call has started; print what happened before."""
        self._origin_s = origin_s
        early, self._early = self._early, []
        for at_s, text in early:
            self._print(at_s, text)

    def fact(self, fact: Fact) -> None:
        if fact.kind != "mark" or self._show_marks:
            self._print(fact.at_s, f"\N{MIDDLE DOT} {_FACTS[fact.kind]} {fact.detail}".rstrip())

    def event(self, at_s: float, event: Mapping[str, Any]) -> None:
        name = str(event.get("event"))
        if name not in _UNPRINTED_EVENTS:
            self._print(at_s, f"{name:<18}  {describe(event)}".rstrip())

    def note(self, text: str) -> None:
        print(text)

    def _print(self, at_s: float, text: str) -> None:
        if self._origin_s is None:
            self._early.append((at_s, text))
        else:
            try:
                print(f"+{at_s - self._origin_s:6.3f}  {text}", flush=True)
            except BrokenPipeError:
                # Nobody reads on (``| head``): the call goes on, and no further line fails.
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def describe(event: Mapping[str, Any]) -> str:
    """The fields of an event that a reader wants, on one line."""
    parts = [f"turn {event['turn_id']}"] if event.get("turn_id") is not None else []
    for name, value in event.items():
        if name in _QUOTED_FIELDS:
            parts.append(json.dumps(_short(value), ensure_ascii=False))
        elif name not in _UNPRINTED_FIELDS and isinstance(value, str | int | float) and value != "":
            parts.append(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {_short(value)}")
    return "  ".join(parts)


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_FIELD:
        return f"({len(value)} characters)"
    return value


# --- the events of the call -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def tapped(
    server: str, call_id: str, environment: Mapping[str, str], printer: Printer
) -> AsyncIterator[None]:
    """Print the call's events as they come. Where there is no tap, say so and go on without."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            socket = await _open_tap(stack, server, call_id, environment)
        except CommandFailed as error:
            printer.note(f"no events of the agent are shown: {error}")
            yield
            return
        reader = asyncio.get_running_loop().create_task(_read_tap(socket, printer), name="tap")
        try:
            yield
            await asyncio.wait([reader], timeout=_LAST_EVENTS_S)
        finally:
            reader.cancel()
            await asyncio.wait([reader])


async def _open_tap(
    stack: contextlib.AsyncExitStack, server: str, call_id: str, environment: Mapping[str, str]
) -> ClientConnection:
    key = await asyncio.to_thread(_api_key, environment)
    base = server.rstrip("/").replace("http", "ws", 1)
    try:
        async with asyncio.timeout(_TAP_TIMEOUT_S):
            connection = connect(f"{base}/v1/tap?call={call_id}", compression=None, proxy=None)
            socket = await stack.enter_async_context(connection)
            await socket.send(json.dumps({"event": "connect", "api_key": key}))
            answer = json.loads(await socket.recv())
    except TimeoutError:
        raise CommandFailed(f"the tap of {server} does not answer") from None
    except (WebSocketException, OSError, ValueError) as error:
        raise CommandFailed(f"the tap of {server} cannot be opened: {error}") from None
    if not isinstance(answer, dict) or answer.get("event") != "connected":
        raise CommandFailed(f"the tap refused the key: {answer}")
    return socket


async def _read_tap(socket: ClientConnection, printer: Printer) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(WebSocketException, ValueError):
        async for message in socket:
            event = json.loads(message)
            if isinstance(event, dict):
                printer.event(loop.time(), event)
                if event.get("event") == "call.recording":
                    return  # nothing comes after it


def _api_key(environment: Mapping[str, str]) -> str:
    key = environment.get("TALKWIRE_API_KEYS", "").split(",")[0].strip()
    if key:
        return key
    path = Path(environment.get("TALKWIRE_DATA_DIR") or "data") / "api-key"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        raise CommandFailed(f"no API key in TALKWIRE_API_KEYS or {path}") from None


def _environment() -> dict[str, str]:
    """As the server reads it: ``.env`` of the working directory, and the environment over it."""
    return {name: value for name, value in dotenv_values(".env").items() if value is not None} | dict(
        os.environ
    )


# --- what the caller says ---------------------------------------------------------------------------------


def _load(turn: Turn) -> Clip:
    """Blocks. Raises ``CommandFailed``."""
    if turn.file is None:
        return _speak(turn.text or "")
    try:
        return Clip.from_wav(turn.file)
    except OSError as error:
        raise CommandFailed(f"cannot read {turn.file}: {error.strerror or error}") from None
    except ValueError as error:
        raise CommandFailed(str(error)) from None


def _speak(text: str) -> Clip:
    program = shutil.which("flite")
    if program is None:
        raise CommandFailed(
            "--say needs the program flite (Debian: apt install flite); or name a WAV file, such as "
            "`talkwire say TEXT --out FILE.wav` makes with the configured voice"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "say.wav"
        try:
            subprocess.run([program, "-t", text, "-o", str(path)], check=True, timeout=_FLITE_TIMEOUT_S)
            clip = Clip.from_wav(path)
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            raise CommandFailed(f"flite cannot say {text!r}: {error}") from None
    return Clip.from_ulaw(clip.ulaw, f'"{text}"')


def _explain(error: SimulatorError, to: str) -> str:
    shown = str(error)
    if isinstance(error, CallRejected):
        why = (
            f"no agent that is connected answers {to}"
            if error.reason == "rejected"
            else "it is at capacity, too busy or about to stop"
        )
        return f"{shown} ({why})"
    if getattr(error, "status", None) == 403:
        shown += (
            " (is TWILIO_AUTH_TOKEN here the server's, and --public-url its TALKWIRE_PUBLIC_URL? A server "
            "without the token takes unsigned calls only with TALKWIRE_TWILIO_UNSIGNED=loopback)"
        )
    return shown
