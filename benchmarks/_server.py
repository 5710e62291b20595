"""The server under load, in a process of its own: all of it is real, but for the providers where it is given none.

Run by ``benchmarks.phone`` with its options as one JSON argument; prints ``ready``, and ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import uvloop

from benchmarks._engines import NullStt, NullTts
from server import logs
from server.app import create_app
from server.compose import services, started, voice_detector
from server.engines import EnginePool
from server.serve import listener, settle
from server.settings import Settings
from server.sockets import bind

MODELS = {"stt": "whisper-1", "tts": "tts-1", "llm": "gpt-4o-mini"}
"""Of the endpoint, by stage. This recogniser gives its text in one piece."""


class Options(TypedDict):
    port: int
    data_dir: str
    key: str
    max_calls: int
    vad: str
    recording: bool
    stt_ms: float
    tts_ms: float
    base_url: str | None
    """Of an endpoint of OpenAI's shape, by which the server hears, thinks and speaks. None: providers of its own
    process, with the delays above."""


@asynccontextmanager
async def load(options: Options, settings: Settings) -> AsyncIterator[EnginePool]:
    vad = await asyncio.to_thread(voice_detector, options["vad"])
    yield EnginePool(vad, (NullStt(options["stt_ms"]),), (NullTts(options["tts_ms"]),))


def _endpoint(options: Options) -> dict[str, Any]:
    """The settings of a server that has no engine of its own but the detector."""
    if options["base_url"] is None:
        return {}
    own: dict[str, Any] = dict.fromkeys(MODELS, ("openai",))
    models = {f"{stage}_model": model for stage, model in MODELS.items()}
    return {**own, **models, "vad": options["vad"], "openai_base_url": options["base_url"]}


async def main(options: Options) -> None:
    settings = Settings(
        port=options["port"],
        data_dir=Path(options["data_dir"]),
        api_keys=(options["key"],),
        max_calls=options["max_calls"],
        recording=options["recording"],
        twilio_unsigned="loopback",
        log_level="error",
        max_lag_ms=0.0,  # What too many calls are like is what is to be measured.
        **_endpoint(options),
    )
    logs.configure(settings.log_level, settings.log_format)
    sock = bind(settings)
    engines = started if options["base_url"] else partial(load, options)
    async with services(settings, engines) as made:
        settle()
        server = listener(create_app(made))

        def stop() -> None:
            server.should_exit = True

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[sock]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            print("ready", flush=True)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))
