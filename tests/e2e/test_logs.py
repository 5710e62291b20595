"""What a server writes of a call at its most talkative: which call a line is about, no secret and no spoken word."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from telephony.carriers.twilio.simulator import Clip, SimulatedCarrier
from tests.e2e.harness import CLIPS, ROOT, connected, free_port
from tests.fakes.openai_endpoint import Endpoint, Plan, endpoint

pytestmark = [pytest.mark.e2e]

KEY, TOKEN, OPENAI = "tw_deskdrawerkey", "twiliodrawertoken", "sk-drawer-openai"
SECRETS = {
    "TALKWIRE_API_KEYS": KEY,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "OPENAI_API_KEY": OPENAI,
    "TALKWIRE_CONSOLE_PASSWORD": "drawerpassword",
    "TALKWIRE_TURN_SECRET": "drawerturnsecret",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20drawercollector",
}
GUESSED = "drawerguess"
"""What a stranger tries as key, token or password."""
HEARD, SAID, GREETED = "persimmon marmalade", "quincunx lighthouse", "welcome to zanzibar"
ASKS = Clip.from_wav(CLIPS / "time.wav")
WORDS = [word for said in (HEARD, SAID, GREETED[11:]) for word in said.split()]


@asynccontextmanager
async def serving(folder: Path, engines: Endpoint, **env: str) -> AsyncIterator[tuple[str, Path]]:
    """The real server: its address, and where its lines go."""
    port, log = free_port(), folder / "log"
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("TALKWIRE_", "TWILIO_", "OPENAI_", "OTEL_"))
    }
    settings = {
        **kept,
        **SECRETS,
        "TALKWIRE_DATA_DIR": str(folder / "data"),
        "TALKWIRE_PORT": str(port),
        "TALKWIRE_MAX_LAG_MS": "0",
        "TALKWIRE_LOG_LEVEL": "debug",
        "TALKWIRE_LOG_FORMAT": "json",
        "TALKWIRE_RECORDING": "1",
        "TALKWIRE_STT_MODEL": "gpt-4o-transcribe",
        "TALKWIRE_TTS_MODEL": "tts-1",
        "TALKWIRE_LLM_MODEL": "gpt-4o",
        "OPENAI_BASE_URL": engines.base_url,
        # Nobody is there.
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        **env,
    }
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as lines:
        command = [sys.executable, "-m", "server.cli", "serve"]
        process = subprocess.Popen(command, env=settings, stdout=lines, stderr=lines, cwd=ROOT)
        try:
            async with httpx.AsyncClient() as web:
                for _ in range(600):
                    try:
                        await web.get(f"{url}/healthz")
                        break
                    except httpx.TransportError:
                        assert process.poll() is None, log.read_text()
                        await _moment()
            yield url, log
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                await _moment()
        finally:
            process.kill()
            process.wait()


async def _moment() -> None:
    await asyncio.sleep(0.05)


async def converse(url: str, engines: Endpoint) -> tuple[str, list[str]]:
    """A call with some turns, an engine that repeats what it was asked, an agent that does nonsense, and strangers: its
    id, and the tokens that the server gave."""
    engines.llm.next(Plan(status=400, message=f"what is {HEARD}? your key is {{key}}"))
    async with (
        connected(url.replace("http", "ws"), KEY) as agent,
        SimulatedCarrier(url, auth_token=TOKEN) as carrier,
    ):
        await agent.send(
            "agent.create", agent_id="desk", llm="openai/gpt-4o", prompt="Brief.", greeting=GREETED
        )
        await agent.send("channel.add", agent_id="desk", type="phone", ref="*")
        await agent.send("channel.add", agent_id="desk", type="webrtc", ref="desk")
        await agent.wait("channel.added", count=2)
        call = await carrier.place_call("+15550001111", "+15550002222")
        call_id: str = (await agent.wait("call.started"))["call_id"]
        await agent.wait("message.confirmed")
        for count in (2, 3):
            await call.say(ASKS).finished()
            await agent.wait("message.confirmed", count=count)
        await agent.wait("llm.response")
        await agent.send("bot.reply", call_id=call_id, message_id="m", text=SAID, api_key=GUESSED)
        await agent.wait("message.confirmed", message_id="m")
        await agent.send("call.transfer", call_id=call_id, to=GUESSED)
        call.hang_up()
        await agent.wait("call.recording")
        return call_id, await try_doors(url, call_id)


async def try_doors(url: str, call_id: str) -> list[str]:
    """What strangers try, with their secrets in every place; returns the tokens that the server gave."""
    owner = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url) as web:
        told = (await web.get("/webrtc/token", params={"agent_id": "desk"}, headers=owner)).json()
        events = (await web.get(f"/v1/calls/{call_id}/events?format=wire&limit=1000", headers=owner)).json()[
            "events"
        ]
        recording = next(event for event in events if event["event"] == "call.recording")["url"]
        await web.get(recording[len(url) :])
        for path in ("/v1/calls", f"/v1/calls/{call_id}/recording", "/metrics", "/webrtc/token", "/nowhere"):
            for how in ({"Authorization": f"Bearer {GUESSED}"}, {"X-Twilio-Signature": GUESSED}):
                await web.get(path, params={"token": GUESSED, "api_key": GUESSED}, headers=how)
        await web.post("/console/login", json={"password": GUESSED})
        await web.post("/webrtc/offer", json={"sdp": "v=0", "type": "offer", "token": GUESSED})
        await web.post("/twilio/voice", params={"token": GUESSED}, data={"CallSid": "CA1", "x": GUESSED})
    address = url.replace("http", "ws")
    sockets = (
        "/client?",
        "/v1/tap?api_key=x&",
        f"/v1/attach?call={call_id}&",
        "/ws/stream?",
        f"/live/{call_id}/ws?",
    )
    for path in (*(f"{socket}token={GUESSED}" for socket in sockets), f"/twilio/media/{GUESSED}"):
        try:
            async with websockets.connect(address + path) as sock:
                await sock.send(json.dumps({"event": "connect", "api_key": GUESSED}))
                await sock.recv()
        except websockets.WebSocketException:
            pass
    return [told["token"], recording.partition("token=")[2]]


async def test_no_secret_and_no_word_of_a_call_gets_into_the_log(tmp_path: Path) -> None:
    async with endpoint(key=OPENAI, transcript=HEARD, reply=f"{SAID} {HEARD}") as engines:
        async with serving(tmp_path, engines) as (url, log):
            call_id, tokens = await converse(url, engines)
            sealed = (tmp_path / "data" / "secret").read_text().strip()
        text = log.read_text()
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        for secret in (*SECRETS.values(), GUESSED, "drawercollector", sealed, *tokens):
            assert secret not in text, f"{secret} in {[line for line in lines if secret in str(line)]}"
        for word in WORDS:
            assert word not in text.lower(), [line for line in lines if word in str(line).lower()]
        assert len(lines) > 8
        assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
        of_call = [
            line for line in lines if line["event"].startswith("call.") or "did not take" in line["event"]
        ]
        assert {"call.started", "call.ended"} <= {line["event"] for line in of_call}
        assert {line.get("call_id") for line in of_call} == {call_id}, of_call
        assert call_id in {line.get("call_id") for line in lines if line["logger"].startswith("pipeline.")}
