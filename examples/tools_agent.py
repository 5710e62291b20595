"""An agent that leaves the thinking to the server's language model and gives it a tool.

The server needs OPENAI_API_KEY or OPENAI_BASE_URL (docs/engines.md).
"""

import asyncio
import datetime
import json
import os

import websockets

TIME = {
    "name": "time_now",
    "description": "The date and the time now, in UTC.",
    "parameters": {"type": "object", "properties": {}},
    "filler": "Let me look at the clock.",
}
REGISTER = {
    "event": "agent.create",
    "agent_id": "clock",
    "llm": {"enabled": True},
    "prompt": "You tell callers the time and the date. Ask the tool each time.",
    "greeting": "This is the speaking clock. What do you want to know?",
    "tools": [{"type": "function", "function": TIME}],
}


def run(name: str) -> object:
    """What the model is told; an object of nothing but ``error`` says that it failed."""
    if name != "time_now":
        return {"error": f"there is no tool {name}"}
    return {"now": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")}


async def main() -> None:
    async with websockets.connect("ws://127.0.0.1:8080/client") as server:

        async def send(event: str, **fields: object) -> None:
            await server.send(json.dumps({"event": event, **fields}))

        await send("connect", api_key=os.environ["TALKWIRE_API_KEYS"], protocol="talkwire/1")
        await server.send(json.dumps(REGISTER))
        await send("channel.add", agent_id="clock", type="phone", ref="+15550002222")
        async for text in server:
            event = json.loads(text)
            if event["event"] == "llm.tool_call":
                results = [
                    {"tool_call_id": call["id"], "result": run(call["name"])} for call in event["tool_calls"]
                ]
                await send(
                    "llm.tool_result", call_id=event["call_id"], msg_id=event["msg_id"], results=results
                )


if __name__ == "__main__":
    asyncio.run(main())
