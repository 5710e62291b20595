"""An agent that leaves the thinking to the server's language model: it registers, and prints what happens.

The server needs OPENAI_API_KEY or OPENAI_BASE_URL (docs/engines.md).
"""

import asyncio
import json
import os

import websockets

REGISTER = {
    "event": "agent.create",
    "agent_id": "helper",
    "llm": {"enabled": True},
    "prompt": "You take table reservations for a small restaurant. Ask for day, time and number of guests.",
    "greeting": "Good evening. For when may I reserve you a table?",
}


async def main() -> None:
    async with websockets.connect("ws://127.0.0.1:8080/client") as server:
        key = os.environ["TALKWIRE_API_KEYS"]
        await server.send(json.dumps({"event": "connect", "api_key": key, "protocol": "talkwire/1"}))
        await server.send(json.dumps(REGISTER))
        await server.send(
            json.dumps({"event": "channel.add", "agent_id": "helper", "type": "phone", "ref": "+15550002222"})
        )
        async for text in server:
            event = json.loads(text)
            if event["event"] in ("user.message", "message.confirmed", "error", "server.warning"):
                print(event["event"], event.get("text") or event.get("error") or event.get("warning"))


asyncio.run(main())
