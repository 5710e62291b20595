"""aiortc alone, for comparison: each call's audio is decoded and resampled, and speech is encoded and sent, as its
examples do. Offers come as lines of JSON on the standard input, answers go to the output.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import sys
from contextlib import suppress

import numpy as np
import uvloop
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from av.audio.resampler import AudioResampler

RATE = 48_000
STEP = RATE // 50


class Voice(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        noise = np.random.default_rng(1).integers(-3000, 3000, (50, 1, STEP), dtype=np.int16)
        self._frames = [AudioFrame.from_ndarray(pcm, format="s16", layout="mono") for pcm in noise]
        self._count, self._began = 0, 0.0

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + self._count * 0.02 - loop.time()))
        frame = self._frames[self._count % len(self._frames)]
        frame.sample_rate, frame.time_base = RATE, fractions.Fraction(1, RATE)
        frame.pts = self._count * STEP
        self._count += 1
        return frame


async def hear(track: MediaStreamTrack) -> None:
    resampler = AudioResampler(format="s16", layout="mono", rate=16_000)
    with suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            assert isinstance(frame, AudioFrame)
            for part in resampler.resample(frame):
                part.to_ndarray()


async def main() -> None:
    loop = asyncio.get_running_loop()
    calls: list[RTCPeerConnection] = []
    async with asyncio.TaskGroup() as tasks:

        def on_track(track: MediaStreamTrack) -> None:
            tasks.create_task(hear(track))

        while line := await loop.run_in_executor(None, sys.stdin.readline):
            pc = RTCPeerConnection()
            calls.append(pc)
            pc.on("track", on_track)
            pc.addTrack(Voice())
            await pc.setRemoteDescription(RTCSessionDescription(json.loads(line), "offer"))
            await pc.setLocalDescription(await pc.createAnswer())
            print(json.dumps(pc.localDescription.sdp), flush=True)
        for pc in calls:
            await pc.close()


if __name__ == "__main__":
    uvloop.run(main())
