"""The endpoint as a process: prints ``ready``, serves until SIGTERM, and then prints what it has served."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import signal
from contextlib import AsyncExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

import uvloop

from tests.fakes.openai_endpoint.ears import Ears, EngineEars
from tests.fakes.openai_endpoint.plan import FOREVER, Plan, Settings
from tests.fakes.openai_endpoint.record import Recorded
from tests.fakes.openai_endpoint.server import Endpoint, Route, endpoint
from tests.fakes.openai_endpoint.voice import EngineVoice, Voice

_DEFAULT = Settings()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.openai_endpoint", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", help="the bearer key that is wanted (default: any)")
    parser.add_argument("--stt-ms", type=float, default=200.0, help="to the transcript (%(default)g)")
    parser.add_argument("--llm-ms", type=float, default=300.0, help="to the first token (%(default)g)")
    parser.add_argument("--tts-ms", type=float, default=150.0, help="to the first audio (%(default)g)")
    parser.add_argument(
        "--transcript", default=_DEFAULT.transcript, help="what is heard, whatever is said; {n}: a number"
    )
    parser.add_argument(
        "--reply",
        action="append",
        default=[],
        dest="replies",
        help="what is answered (default: two sentences with the last message in them); of several each in "
        "its turn, by the number of the user's messages",
    )
    parser.add_argument(
        "--token-ms", type=float, default=_DEFAULT.token_ms, help="a piece of text (%(default)g)"
    )
    parser.add_argument(
        "--token-chars", type=int, default=_DEFAULT.token_chars, help="of a piece (%(default)d)"
    )
    parser.add_argument(
        "--tts-speed",
        type=float,
        default=_DEFAULT.tts_speed,
        help="of the audio's coming, as a multiple of its playing; inf: at once (%(default)g)",
    )
    parser.add_argument("--tts-chunk-ms", type=float, default=_DEFAULT.tts_chunk_ms, help="(%(default)g)")
    parser.add_argument("--voice", choices=("buzz", "espeak"), default="buzz")
    parser.add_argument("--ears", choices=("fixed", "pocketsphinx"), default="fixed")
    parser.add_argument("--log", type=Path, help="write a JSON line about each request when it is over")
    parser.add_argument(
        "--plan",
        action="append",
        default=[],
        metavar="ROUTE=JSON",
        help='what happens to all requests of models, stt, tts or llm, e.g. tts={"cut_after":3}',
    )
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    given = vars(arguments)
    values: dict[str, Any] = {f.name: given[f.name] for f in fields(Settings) if f.name in given}
    return Settings(record=False, **{**values, "replies": tuple(given["replies"])})


def _plan(server: Endpoint, text: str) -> None:
    name, _, plan = text.partition("=")
    routes: dict[str, Route] = {r.name: r for r in (server.models, server.stt, server.tts, server.llm)}
    given: dict[str, Any] = json.loads(plan)
    values: dict[str, Any] = {k: FOREVER if v == "forever" else v for k, v in given.items()}
    routes[name].plan = Plan(**values)


def _write(log: TextIO, record: Recorded) -> None:
    log.write(record.line() + "\n")


async def _engines(arguments: argparse.Namespace, stack: AsyncExitStack) -> tuple[Ears | None, Voice | None]:
    """The recogniser first: what it preloads must be known before the first worker is forked."""
    ears: Ears | None = None
    voice: Voice | None = None
    if arguments.ears == "pocketsphinx":
        from pipeline.providers.pocketsphinx.engine import PocketsphinxStt

        stt = PocketsphinxStt(workers=1)
        stack.push_async_callback(stt.aclose)
        await stt.start()
        ears = EngineEars(stt)
    if arguments.voice == "espeak":
        from pipeline.providers.espeak.engine import EspeakTts

        tts = EspeakTts()
        stack.push_async_callback(tts.aclose)
        await tts.start()
        voice = EngineVoice(tts)
    return ears, voice


async def main(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        ears, voice = await _engines(arguments, stack)
        serving = endpoint(
            _settings(arguments), host=arguments.host, port=arguments.port, ears=ears, voice=voice
        )
        server = await stack.enter_async_context(serving)
        if arguments.log is not None:
            log = stack.enter_context(arguments.log.open("w", 1, encoding="utf-8"))
            server.on_over = lambda record: _write(log, record)
        for text in arguments.plan:
            _plan(server, text)
        print("ready", flush=True)
        await stop.wait()
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = round(used.ru_utime + used.ru_stime, 2)
        print(json.dumps({"connections": server.connections, "cpu_s": cpu_s, **server.counts}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(_arguments()))
