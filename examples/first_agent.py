"""The README's first agent: a greeting, and every turn echoed back."""

import asyncio
import json
import os

import websockets


async def main() -> None:
    async with websockets.connect("ws://127.0.0.1:8080/client") as server:
        await server.send(
            json.dumps(
                {"event": "connect", "api_key": os.environ["TALKWIRE_API_KEYS"], "protocol": "talkwire/1"}
            )
        )
        await server.send(
            json.dumps({"event": "agent.create", "agent_id": "echo", "greeting": "Hello. Say something."})
        )
        await server.send(
            json.dumps({"event": "channel.add", "agent_id": "echo", "type": "phone", "ref": "+15550002222"})
        )
        async for text in server:
            event = json.loads(text)
            if event["event"] == "turn.end":
                reply = {
                    "call_id": event["call_id"],
                    "message_id": f"m{event['seq']}",
                    "in_reply_to": event["message_id"],
                }
                await server.send(
                    json.dumps({"event": "bot.reply", "text": f"You said {event['text']}.", **reply})
                )


asyncio.run(main())
