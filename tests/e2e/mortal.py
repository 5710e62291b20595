"""An agent process that is there to be killed: it prints each frame that it is told, a line of JSON for each.

Its one argument is JSON: ``url``, ``key``, ``create`` (the fields of ``agent.create``), and ``says``, frames by the
name of the event that they answer, sent with the ``call_id`` of that event.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import websockets


async def main(url: str, key: str, create: dict[str, Any], says: dict[str, list[dict[str, Any]]]) -> None:
    async with websockets.connect(f"{url}/client", compression=None) as sock:
        agent_id = create["agent_id"]
        for frame in (
            {"event": "connect", "api_key": key, "protocol": "talkwire/1", "resume": {}},
            {"event": "agent.create", **create},
            {"event": "channel.add", "agent_id": agent_id, "type": "phone", "ref": "*"},
        ):
            await sock.send(json.dumps(frame))
        async for text in sock:
            print(text, flush=True)
            told = json.loads(text)
            for answer in says.pop(told["event"], []):
                await sock.send(json.dumps({**answer, "call_id": told["call_id"]}))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
