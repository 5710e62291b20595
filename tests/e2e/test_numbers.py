"""``talkwire numbers`` against the account of the fake Twilio."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.commands import numbers
from server.commands.numbers import Line, Wanted, shown, state_of
from server.settings import Settings, SettingsError
from tests.e2e.harness import connected, running
from tests.fakes.twilio import FakeTwilio, Trouble

pytestmark = pytest.mark.e2e

PUBLIC = "https://voice.example.org/phone"
FIRST, SECOND, THIRD = "+15550002222", "+15550003333", "+15550004444"


def parsed(*args: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    numbers.add_arguments(parser)
    return parser.parse_args(args)


async def command(twilio: FakeTwilio, *args: str, public_url: str = PUBLIC) -> int:
    settings = Settings(public_url=public_url, **twilio.settings)
    return await numbers.run(await asyncio.to_thread(parsed, *args), settings)


async def test_all_numbers_of_all_pages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeTwilio((SECOND, FIRST, THIRD)) as twilio:
        first = next(number for number in twilio.numbers.values() if number["phone_number"] == FIRST)
        first |= {"voice_url": f"{PUBLIC}/twilio/voice", "status_callback": "", "friendly_name": "Front desk"}
        third = next(number for number in twilio.numbers.values() if number["phone_number"] == THIRD)
        third["voice_url"] = "https://ann:secret@example.com/voice?token=secret"
        assert await command(twilio) == 0
        lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["NUMBER", FIRST, SECOND, THIRD]
    assert lines[1].split()[1:] == [f"{PUBLIC}/twilio/voice", "this", "server", "(!)", "Front", "desk"]
    assert lines[2].split()[1] == "https://demo.twilio.com/welcome/voice/"
    assert lines[3].split()[1] == "https://example.com/voice?..."
    assert lines[4].startswith(f"(!) {FIRST}: its status callback is unset")


async def test_a_number_is_pointed_here_called_and_set_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        FakeTwilio((FIRST, SECOND)) as twilio,
        running(tmp_path, public_url=PUBLIC, **twilio.settings) as server,
        connected(server.ws) as agent,
    ):
        await twilio.serve(server.url, public_url=PUBLIC)
        sid, number = next(item for item in twilio.numbers.items() if item[1]["phone_number"] == SECOND)
        number |= {
            "trunk_sid": "TK" + "1" * 32,
            "voice_method": "GET",
            "status_callback": "https://x.example/s?a=b c",
        }
        before = dict(number)
        assert await command(twilio, "point", "+1 (555) 000-3333", "--yes") == 0
        told = capsys.readouterr().out
        assert f"voice url: https://demo.twilio.com/welcome/voice/ -> {PUBLIC}/twilio/voice" in told
        assert f"trunk sid: TK{'1' * 32} -> unset" in told
        assert (number["voice_url"], number["voice_method"]) == (f"{PUBLIC}/twilio/voice", "POST")
        assert (number["status_callback"], number["trunk_sid"]) == (f"{PUBLIC}/twilio/status", None)

        await agent.send("agent.create", agent_id="tester")
        await agent.send("channel.add", agent_id="tester", type="phone", ref=SECOND)
        await agent.wait("channel.added")
        call = twilio.call("+15550001111", SECOND)
        await agent.wait("call.started", to=SECOND)
        call.hang_up()
        await agent.wait("call.ended")

        assert await command(twilio, "point", sid, "--yes") == 0
        assert "like that already" in capsys.readouterr().out
        undo = shlex.split(told.splitlines()[-1])
        assert undo[:4] == ["talkwire", "numbers", "point", SECOND]
        assert await command(twilio, *undo[2:], "--yes") == 0
        assert {name: value for name, value in number.items() if value} == {
            n: v for n, v in before.items() if v
        }


async def test_nothing_is_changed_without_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeTwilio((FIRST,)) as twilio:
        (number,) = twilio.numbers.values()
        for answer, status in (("n", 1), ("", 1), ("y", 0)):
            monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
            assert (
                await command(twilio, "point", FIRST, "--to", "https://other.example/twilio/voice") == status
            )
            assert (number["voice_url"] == "https://other.example/twilio/voice") == (status == 0)

        def closed(_: str) -> str:
            raise EOFError

        monkeypatch.setattr("builtins.input", closed)
        assert await command(twilio, "point", FIRST) == 1
        assert "--yes does not ask" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "http://voice.example.org",
        "https://127.0.0.1:8080",
        "https://localhost",
        "voice.example.org",
        "wss://x.org",
    ],
)
async def test_an_address_that_twilio_cannot_use_is_refused(url: str) -> None:
    async with FakeTwilio((FIRST,)) as twilio:
        with pytest.raises(SettingsError, match="https address"):
            await command(twilio, "point", FIRST, "--to", url, "--yes")
        with pytest.raises(SettingsError, match="TALKWIRE_PUBLIC_URL is http"):
            await command(twilio, "point", FIRST, "--yes", public_url="http://127.0.0.1:8080")
        assert not [request for request in twilio.requests if request[0] == "POST"]


async def test_a_number_that_the_account_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeTwilio((FIRST,)) as twilio:
        with pytest.raises(SettingsError, match="sub-account") as error:
            await command(twilio, "point", THIRD, "--yes")
        assert FIRST in str(error.value)
    async with FakeTwilio(()) as twilio:
        assert await command(twilio) == 0
        assert "has no numbers" in capsys.readouterr().out


async def test_what_twilio_refuses_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeTwilio((FIRST,)) as twilio:
        assert await command(twilio, "point", FIRST, "--voice-method", "PUT", "--yes") == 1
        assert "21403" in capsys.readouterr().err
        twilio.trouble.append(Trouble(500))
        assert await command(twilio) == 1
        assert "it is broken" in capsys.readouterr().err
        twilio.token = "another"
        assert await command(twilio) == 0  # The settings follow it.
        settings = Settings(**twilio.settings).model_copy(update={"twilio_auth_token": SecretStr("wrong")})
        assert await numbers.run(argparse.Namespace(what=None), settings) == 1
        assert "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="TWILIO_ACCOUNT_SID"):
        await numbers.run(argparse.Namespace(what=None), Settings())


async def test_both_ways_of_saying_where_exclude_each_other() -> None:
    async with FakeTwilio((FIRST,)) as twilio:
        with pytest.raises(SettingsError, match="or exact values"):
            await command(twilio, "point", FIRST, "--to", PUBLIC, "--voice-url", "https://x.org/v", "--yes")


def test_what_twilio_leaves_out_is_as_it_is_by_itself() -> None:
    line = Line.of({"phone_number": FIRST, "voice_url": f"{PUBLIC}/twilio/voice", "voice_method": None})
    assert state_of(line, Wanted.of(PUBLIC + "/"))[0] == "odd"
    assert shown("") == ""
