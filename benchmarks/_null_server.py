"""The server under load, in a process of its own: all of it is real but for the providers.

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
from typing import TypedDict

import uvloop

from benchmarks._engines import NullStt, NullTts
from server import logs
from server.app import create_app
from server.compose import services, voice_detector
from server.engines import EnginePool
from server.serve import bind, listener
from server.settings import Settings


class Options(TypedDict):
    port: int
    data_dir: str
    key: str
    max_calls: int
    vad: str
    recording: bool
    stt_ms: float
    tts_ms: float


@asynccontextmanager
async def load(options: Options, settings: Settings) -> AsyncIterator[EnginePool]:
    vad = await asyncio.to_thread(voice_detector, options["vad"])
    yield EnginePool(vad, (NullStt(options["stt_ms"]),), (NullTts(options["tts_ms"]),))


async def main(options: Options) -> None:
    settings = Settings(
        port=options["port"],
        data_dir=Path(options["data_dir"]),
        api_keys=(options["key"],),
        max_calls=options["max_calls"],
        recording=options["recording"],
        twilio_unsigned="loopback",
        log_level="error",
    )
    logs.configure(settings.log_level, settings.log_format)
    sock = bind(settings)
    async with services(settings, partial(load, options)) as made:
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
