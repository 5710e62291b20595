"""Who is here, which numbers and voices there are."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from server.preview import RATE_HZ, Previews, encoded
from server.protocol import AgentCreate, Configuration
from server.selection import Available, Offer
from server.voices import catalogue
from telephony.errors import CarrierUnreachable
from telephony.ports import OwnNumber
from tests.fakes.loop import run_virtual
from tests.fakes.tts import FakeTts
from tests.server.site import BEARER, PUBLIC, site
from tests.server.test_calls import Owner


class Numbers:
    """As far as a directory asks a carrier."""

    name = "twilio"

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    async def numbers(self) -> list[OwnNumber]:
        if self.fault is not None:
            raise self.fault
        return [OwnNumber("+15550002222", "PN1", "Front desk"), OwnNumber("+15550003333", "PN2", "Spare")]

    async def balance(self) -> tuple[str, str]:
        if self.fault is not None:
            raise self.fault
        return "12.30", "USD"


class Kicked(Owner):
    def __init__(self) -> None:
        super().__init__()
        self.displaced: list[tuple[str, str]] = []

    def displace(self, agent_id: str, reason: str) -> None:
        self.displaced.append((agent_id, reason))


def test_agents_are_listed_with_their_numbers_and_lines_where_they_are_wanted(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            agents, owner = made.services.agents, Owner()
            desk = agents.create("Front Desk", owner, AgentCreate(agent_id="Front Desk"), 0.0)
            agents.add_number(desk, "+1 (555) 000-2222", Configuration())
            agents.create_line("+15550004444", owner, None, 2500, 0.0)
            assert (await made.web.get("/api/sdk/agents")).status == 401
            told = (await made.web.get("//api/sdk/agents", **BEARER)).json()
            assert (told["success"], told["total"], told["dev_overrides"]) == (True, 2, None)
            assert told["agents"][1] == {
                "slug": "front-desk",
                "org_id": "local",
                "phones": ["+15550002222"],
                "channels": {"phone": {"count": 1, "refs": ["+1 (555) 000-2222"]}},
                "active": True,
            }
            assert told["phone_map"] == {
                "+15550002222": "front-desk",
                "+15550004444": "line:+15550004444",
            }
            lines = (await made.web.get("/api/sdk/agents?include_lines=1", **BEARER)).json()
            assert lines["total"] == 3

    run_virtual(main())


def test_an_agent_that_is_removed_is_told_so_and_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            owner = Kicked()
            made.services.agents.create("Old One", owner, AgentCreate(agent_id="Old One"), 0.0)
            path = "/api/sdk/agents/old-one"
            assert (await made.web.ask(path, "DELETE")).status == 401
            reply = await made.web.ask(path, "DELETE", b"", **BEARER)
            assert reply.json() == {"success": True, "displaced": 1, "org_id": "local"}
            ((agent_id, reason),) = owner.displaced
            assert (agent_id, "displaced" in reason) == ("Old One", True), "clients do not come back"
            assert (await made.web.ask(path, "DELETE", b"", **BEARER)).status == 404

    run_virtual(main())


@pytest.mark.parametrize("fault", [None, CarrierUnreachable("Twilio gave no answer within 5 s")])
def test_numbers_and_balance_are_the_carriers(tmp_path: Path, fault: Exception | None) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            bare = (await made.web.get("/api/sdk/twilio-balance", **BEARER)).json()
            assert bare["success"] is False
            made.services.carriers["twilio"] = Numbers(fault)  # type: ignore[index]
            agents, owner = made.services.agents, Owner()
            desk = agents.create("Desk", owner, AgentCreate(agent_id="Desk"), 0.0)
            agents.add_number(desk, "+15550002222", Configuration())
            numbers = (await made.web.get("/api/sdk/phone-numbers", **BEARER)).json()
            balance = (await made.web.get("/api/sdk/twilio-balance", **BEARER)).json()
            if fault is not None:
                text = str(fault)
                assert numbers == {"success": False, "phones": [], "error": text}
                assert balance == {"success": False, "error": text}
                return
            assert [(p["number"], p["sid"], p["isSdk"]) for p in numbers["phones"]] == [
                ("+15550002222", "PN1", True),
                ("+15550003333", "PN2", False),
            ]
            assert balance == {"success": True, "balance": "12.30", "currency": "USD"}

    run_virtual(main())


# --- voices -----------------------------------------------------------------------------------------------

ESPEAK = Available("espeak", ("en", "pt"), voices=frozenset({"en-us", "pt-br", "f3"}))
BARE = Available("openai", voice="alloy")


def test_voices_are_listed_with_languages_as_objects() -> None:
    offer = Offer("tts", (ESPEAK, BARE))
    assert [voice["id"] for voice in catalogue(offer, None, None)] == ["en-us", "f3", "pt-br", "alloy"]
    assert [voice["id"] for voice in catalogue(offer, "espeak", "pt")] == ["f3", "pt-br"]
    assert [voice["id"] for voice in catalogue(offer, "elevenlabs", "en-GB")] == ["en-us", "f3"]
    (brazil,) = (voice for voice in catalogue(offer, "espeak", None) if voice["id"] == "pt-br")
    assert brazil["languages"] == [
        {"code": "pt-br", "name": "Portuguese", "flag": "🇧🇷", "nativeName": "Português", "region": "BR"}
    ]
    assert (brazil["provider"], brazil["alias"]) == ("espeak", "espeak/pt-br")


def test_voices_are_for_everybody_and_samples_for_key_holders(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path, **PUBLIC) as made:
            reply = await made.web.get("/api/sdk/voices", origin="https://shop.example")
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
            assert reply.json()["success"] is True
            path = "/api/sdk/voice-preview?provider=x&voice=y"
            assert (await made.web.get(path)).status == 401
            assert (await made.web.get(path, **BEARER)).status == 404, "no engine speaks here"
            assert (await made.web.get(path + "&lang=../x", **BEARER)).status == 400

    run_virtual(main())


def test_a_sample_is_made_once_and_is_mp3() -> None:
    async def main() -> Any:
        voice = FakeTts()
        await voice.start()
        previews = Previews((voice,))
        first = await previews.mp3(None, None, "es")
        assert await previews.mp3("nobody", None, "es") is first
        return first

    with av.open(io.BytesIO(asyncio.run(main())), "r") as file:
        assert (file.format.name, file.streams.audio[0].codec_context.name) == ("mp3", "mp3float")


def test_what_is_encoded_sounds_as_long_and_as_loud() -> None:
    tone = (10_000 * np.sin(np.arange(2 * RATE_HZ) * 2 * np.pi * 440 / RATE_HZ)).astype(np.int16)
    with av.open(io.BytesIO(encoded(tone)), "r") as file:
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)])
    assert 1.9 * RATE_HZ < len(heard) < 2.2 * RATE_HZ
    assert np.abs(heard[RATE_HZ // 2 : RATE_HZ]).max() == pytest.approx(10_000 / 32768, rel=0.1)
