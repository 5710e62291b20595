"""``talkwire doctor``: this machine, the account, relays, engines, and the command itself."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.commands.doctor import CHECKS, Hidden
from server.commands.doctor.findings import Finding, fail
from server.settings import Settings
from tests.e2e.chromium.relay import SECRET, coturn
from tests.e2e.doctor import found, one
from tests.e2e.harness import KEY, ROOT, free_port, running
from tests.e2e.test_process import environment
from tests.fakes.openai_endpoint import Plan, endpoint
from tests.fakes.twilio import FakeTwilio, Trouble

pytestmark = pytest.mark.e2e


# --- this machine -----------------------------------------------------------------------------------------


async def test_a_server_that_runs_is_known_and_its_keys_are_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        told = await found(server.settings, "server", "keys", "disk", "public_url", "settings")
        assert {finding.status for finding in told.values()} == {"ok"}, told
        assert "the running server takes them" in told["keys"].text
        others = server.settings.model_copy(update={"api_keys": (SecretStr("x" * 20),)})
        status, text, remedy = await one(others, "keys")
        assert (status, "does not take them" in text, "start it again" in remedy) == ("fail", True, True)


async def test_another_server_at_the_port_is_not_taken_for_this_one(tmp_path: Path) -> None:
    async with running(tmp_path / "theirs") as server:
        mine = server.settings.model_copy(update={"data_dir": tmp_path / "mine"})
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "secret").write_text("m" * 64)
        status, text, _ = await one(mine, "server")
        assert (status, "another Talkwire" in text) == ("fail", True)
        assert (await one(mine, "signature"))[0] == "skipped"
        assert (await one(mine, "public_url"))[0] == "skipped"


async def test_a_port_that_something_else_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # It takes connections, and never says anything.
        settings = Settings(data_dir=tmp_path, port=taken.getsockname()[1])
        status, text, remedy = await one(settings, "server", timeout_s=3.0)
    assert status == "fail"
    assert "not to be had" in text or "not through" in text
    assert remedy


async def test_keys_that_can_be_guessed_or_read(tmp_path: Path) -> None:
    assert (await one(Settings(data_dir=tmp_path), "keys"))[0] == "ok"
    short = Settings(data_dir=tmp_path, api_keys=(SecretStr("secret"),))
    assert (await one(short, "keys"))[0] == "warn"
    (tmp_path / "api-key").write_text("tw_" + "1" * 32)
    (tmp_path / "api-key").chmod(0o644)
    status, _, remedy = await one(Settings(data_dir=tmp_path), "keys")
    assert (status, remedy) == ("warn", f"chmod 600 {tmp_path / 'api-key'}")


async def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    status, text, remedy = await one(Settings(data_dir=tmp_path / "data"), "disk")
    assert (status, "cannot be written" in text, "TALKWIRE_DATA_DIR" in remedy) == ("fail", True, True)


async def test_the_database(tmp_path: Path) -> None:
    fresh = Settings(data_dir=tmp_path)
    assert "with the first start" in (await one(fresh, "database"))[1]
    assert not (tmp_path / "talkwire.db").exists()
    async with running(tmp_path) as server:
        status, text, _ = await one(server.settings, "database")
        assert (status, "its tables are of version" in text) == ("ok", True), text
    (tmp_path / "talkwire.db").write_bytes(b"no database " * 500)
    status, text, remedy = await one(fresh, "database")
    assert (status, "TALKWIRE_DATABASE_URL" in remedy) == ("fail", True), text
    away = f"postgresql://ann:sesame@127.0.0.1:{free_port()}/calls"
    status, text, _ = await one(Settings(data_dir=tmp_path, database_url=SecretStr(away)), "database")
    assert (status, "sesame" in text) == ("fail", False), text
    assert (await one(Settings(data_dir=tmp_path, database_url=SecretStr("memory")), "database"))[
        0
    ] == "skipped"


async def test_too_few_ports_for_browser_calls(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, webrtc_ports=(port, port), port=free_port())
        status, text, _ = await one(settings, "udp")
        assert (status, text.startswith("0 of the 1 ports")) == ("fail", True)
    assert (await one(settings, "udp"))[0] == "warn"
    assert (await one(settings.model_copy(update={"max_calls": 1}), "udp"))[0] == "ok"


async def test_the_port_for_a_pbx(tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    assert (await one(Settings(data_dir=tmp_path, port=free_port(), audiosocket=place), "audiosocket"))[
        0
    ] == "ok"
    async with running(tmp_path, audiosocket=place) as server:
        assert "listens on" in (await one(server.settings, "audiosocket"))[1]
        other = server.settings.model_copy(update={"audiosocket": f"127.0.0.1:{free_port()}"})
        status, text, _ = await one(other, "audiosocket")
        assert (status, "does not listen" in text) == ("fail", True)


# --- the account ------------------------------------------------------------------------------------------


async def test_what_an_account_can_be(tmp_path: Path) -> None:
    async with FakeTwilio() as twilio:
        settings = Settings(data_dir=tmp_path, **twilio.settings)
        assert (await one(settings, "account"))[0] == "ok"
        twilio.kind = "Trial"
        assert (await one(settings, "account"))[0] == "warn"
        twilio.kind, twilio.owner = "Full", "AC" + "9" * 32
        assert "a sub-account of AC999" in (await one(settings, "account"))[1]
        twilio.status = "suspended"
        assert (await one(settings, "account"))[0] == "fail"
        twilio.trouble.append(Trouble(503))
        assert "it is broken" in (await one(settings, "account"))[1]
        wrong = settings.model_copy(update={"twilio_account_sid": "AC" + "1" * 32})
        told = await found(wrong, "account", "numbers")
        assert {finding.status for finding in told.values()} == {"fail"}
        assert "sub-account" in told["account"].remedy
    status, text, _ = await one(settings, "account")
    assert (status, "cannot be reached" in text) == ("fail", True)
    alone = Settings(data_dir=tmp_path, twilio_auth_token=SecretStr("t" * 32))
    assert (await one(alone, "account"))[1].startswith("TWILIO_ACCOUNT_SID is unset")


async def test_where_the_numbers_point(tmp_path: Path) -> None:
    public = "https://voice.example.org/phone"
    async with FakeTwilio(("+15550002222", "+15550003333")) as twilio:
        settings = Settings(data_dir=tmp_path, public_url=public, **twilio.settings)
        first, second = twilio.numbers.values()
        second["voice_url"] = "https://ann:sesame@example.com/voice?key=sesame"
        status, text, remedy = await one(settings, "numbers")
        assert (status, remedy) == ("warn", "talkwire numbers point +15550002222")
        assert "+15550002222 -> https://demo.twilio.com/welcome/voice/" in text
        assert "+15550003333 -> https://example.com/voice?..." in text
        first |= {"voice_url": public + "/twilio/voice", "status_callback": public + "/twilio/status"}
        assert await one(settings, "numbers") == (
            "ok",
            "1 of 2 numbers point here, with their status callbacks",
            "",
        )
        for change, status, why in (
            ({"status_callback": ""}, "warn", "status callback is unset"),
            ({"voice_method": "GET"}, "fail", "asked with GET"),
            (
                {"voice_url": "https://voice.example.org/twilio/voice"},
                "fail",
                "its voice URL is https://voice",
            ),
            ({"trunk_sid": "TK" + "1" * 32}, "fail", "takes its calls"),
            ({"voice_application_sid": "AP" + "1" * 32}, "fail", "is asked, and not"),
        ):
            before = dict(first)
            first.update(change)
            found_, text, remedy = await one(settings, "numbers")
            assert (found_, why in text, remedy) == (status, True, "talkwire numbers point +15550002222"), (
                text
            )
            first.update(before)
        second["capabilities"] = {"voice": False, "sms": True}
        assert "1 of 1" in (await one(settings, "numbers"))[1]


async def test_a_clock_that_is_wrong(tmp_path: Path) -> None:
    async with FakeTwilio() as twilio:
        settings = Settings(data_dir=tmp_path, **twilio.settings)
        assert (await one(settings, "clock"))[0] == "ok"
        twilio.clock_off_s = -20.0
        status, text, remedy = await one(settings, "clock")
        assert (status, "s ahead of" in text, "NTP" in remedy) == ("warn", True, True)
        twilio.clock_off_s = 3600.0
        assert (await one(settings, "clock"))[0] == "fail"
    assert (await one(Settings(data_dir=tmp_path), "clock"))[0] == "skipped"


# --- STUN and TURN ----------------------------------------------------------------------------------------


async def test_a_relay_and_its_secret(tmp_path: Path) -> None:
    async with coturn(tmp_path) as relay:
        urls = (f"turn:127.0.0.1:{relay.port}?transport=udp", f"turn:127.0.0.1:{relay.port}?transport=tcp")
        right = Settings(data_dir=tmp_path, ice_servers=urls, turn_secret=SecretStr(SECRET))
        status, text, _ = await one(right, "turn")
        assert (status, text.count("relays for us, at 127.0.0.1")) == ("ok", 2), text
        wrong = Settings(
            data_dir=tmp_path, ice_servers=urls[:1], turn_secret=SecretStr("not the relay's own")
        )
        status, text, remedy = await one(wrong, "turn")
        assert (status, "401" in text, "static-auth-secret" in remedy) == ("fail", True, True)
        nothing = Settings(data_dir=tmp_path, ice_servers=urls[:1])
        assert (await one(nothing, "turn"))[0] == "fail"
        stun = Settings(data_dir=tmp_path, ice_servers=(f"stun:127.0.0.1:{relay.port}",))
        assert await one(stun, "stun") == (
            "ok",
            f"stun:127.0.0.1:{relay.port} sees this machine as 127.0.0.1",
            "",
        )
        elsewhere = stun.model_copy(update={"webrtc_address": ("203.0.113.5",)})
        assert (await one(elsewhere, "stun"))[0] == "warn"


async def test_relays_that_are_not_there(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(
        data_dir=tmp_path,
        ice_servers=(
            f"stun:127.0.0.1:{port}",
            f"turn:127.0.0.1:{port}",
            f"turn:127.0.0.1:{port}?transport=tcp",
        ),
        turn_secret=SecretStr("a secret"),
    )
    told = await found(settings, "stun", "turn", timeout_s=2.0)
    assert {finding.status for finding in told.values()} == {"fail"}, told
    assert (await one(Settings(data_dir=tmp_path), "turn"))[0] == "skipped"


# --- engines ----------------------------------------------------------------------------------------------


async def test_the_embedded_engines_hear_what_they_say(tmp_path: Path) -> None:
    names = ("detector", "recogniser", "voice", "mind", "speech")
    told = await found(Settings(data_dir=tmp_path), *names, timeout_s=60.0)
    assert [finding.status for finding in told.values()] == ["ok", "ok", "ok", "skipped", "ok"], told


async def test_an_endpoint_that_works_and_one_that_refuses_the_key(tmp_path: Path) -> None:
    key = "sk-of-the-endpoint-0123456789"
    async with endpoint(key=key) as service:
        settings = Settings(
            data_dir=tmp_path,
            openai_base_url=service.base_url,
            openai_api_key=SecretStr(key),
            stt_model="gpt-4o-transcribe",
            llm_model="gpt-4o-mini",
        )
        service.stt.plan = Plan(text="Please open the window and close the door.")
        names = ("recogniser", "voice", "mind", "speech")
        told = await found(settings, *names, timeout_s=60.0)
        assert {finding.status for finding in told.values()} == {"ok"}, told
        service.stt.plan = Plan(text="")
        assert (await one(settings, "speech", timeout_s=60.0))[0] == "fail"
        refused = settings.model_copy(update={"openai_api_key": SecretStr("sk-wrong")})
        told = await found(refused, "recogniser", "voice", "mind", timeout_s=60.0)
        # Behind the voice stands the embedded one.
        assert [finding.status for finding in told.values()] == ["fail", "warn", "fail"], told


async def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, stt=("openai",))
    told = await found(settings, "recogniser", "voice", "speech", timeout_s=60.0)
    assert [finding.status for finding in told.values()] == ["fail", "skipped", "skipped"]
    assert "OPENAI_API_KEY" in told["recogniser"].text


# --- the command ------------------------------------------------------------------------------------------


async def doctor(tmp_path: Path, *args: str, **variables: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server.cli", "doctor", *args),
        cwd=ROOT,
        env=environment(tmp_path, free_port(), **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_without_a_server(tmp_path: Path) -> None:
    status, out, err = await doctor(tmp_path, "--only", "settings,keys,server,signature,media", "--json")
    told = json.loads(out)
    assert (status, err, told["ok"]) == (0, "", True)
    assert [check["name"] for check in told["checks"]] == ["settings", "keys", "server", "signature", "media"]
    assert [check["status"] for check in told["checks"]][2:] == ["skipped"] * 3
    assert all({"text", "remedy", "took_ms", "needs_server"} <= check.keys() for check in told["checks"])


async def test_the_command_says_what_fails_and_exits_with_1(tmp_path: Path) -> None:
    wrong = {"TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "sesame-of-the-account"}
    status, out, _ = await doctor(
        tmp_path, "--only", "account,disk", TWILIO_API_BASE_URL=f"http://127.0.0.1:{free_port()}", **wrong
    )
    assert status == 1
    assert "FAIL     account" in out
    assert "-> let this machine reach TWILIO_API_BASE_URL" in out
    assert out.splitlines()[-1] == "1 ok, 1 fail"
    assert "sesame" not in out


@pytest.mark.parametrize(
    ("args", "told"), [(("--only", "weather"), "no check 'weather'"), (("--timeout", "0"), "0.1 to 600")]
)
async def test_wrong_options(tmp_path: Path, args: tuple[str, ...], told: str) -> None:
    status, out, err = await doctor(tmp_path, *args)
    assert (status, out, told in err) == (2, "", True)


async def test_wrong_settings_are_the_first_thing_that_is_told(tmp_path: Path) -> None:
    for only in ("settings,keys", "keys"):
        status, out, _ = await doctor(tmp_path, "--only", only, TALKWIRE_MAX_CALLS="many")
        assert status == 1
        assert "TALKWIRE_MAX_CALLS must be a whole number" in out.splitlines()[0]
        assert "skipped  keys" in out


async def test_secrets_are_taken_out_whoever_tells_them(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("tw_" + "7" * 32)
    settings = Settings(
        data_dir=tmp_path,
        twilio_auth_token=SecretStr("sesame"),
        llm_providers=(("mine", "http://127.0.0.1:1/v1"),),
        llm_keys=(("mine", SecretStr("key-of-mine")),),
        api_keys=(SecretStr(KEY),),
    )
    told = await asyncio.to_thread(Hidden, settings)
    finding = told(fail(f"sesame key-of-mine {KEY} tw_{'7' * 32} harmless", "try sesame"))
    assert (finding.text, finding.remedy) == ("*** *** *** *** harmless", "try ***")


async def test_a_check_that_breaks_takes_nobody_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Finding:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("server.commands.doctor.house._disk", broken)
    told = await found(Settings(data_dir=tmp_path), "disk", "keys")
    assert told["disk"].text == "the check itself failed: ZeroDivisionError: by nothing"
    assert told["keys"].status == "ok"


def test_the_page_has_every_check() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    rows = {row[1].strip("`"): row[2] for row in cells if not row[1].startswith("`--")}
    assert rows == {check.name: check.server for check in CHECKS}
