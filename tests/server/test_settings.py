"""Settings are read once, from two places, and a wrong one is told so that its user can put it right."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from server.commands import config
from server.providers import HOSTED
from server.secrets import load_or_create_secret
from server.settings import Settings, SettingsError, declared
from server.settings.endpoints import PROVIDERS

KEYS = [setting.key for setting in declared()]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in os.environ:
        if key.startswith(("TALKWIRE_", "TWILIO_")) or key in KEYS:
            monkeypatch.delenv(key)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def wrong(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for key, value in values.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load(None)
    return str(caught.value)


# --- where values come from -------------------------------------------------------------------------------


def test_nothing_set_gives_the_defaults() -> None:
    settings = Settings.load(None)
    assert settings.host == "127.0.0.1"
    assert settings.port == 8080
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.api_keys == ()
    assert settings.data_dir == Path("data")
    assert settings.max_calls == 40
    assert settings.recording is False
    assert settings.stt_workers == 2
    assert settings.twilio_unsigned == "never"
    assert settings.twilio_lead_ms == 300
    assert settings.sources == {}
    assert settings.warnings == ()
    assert settings == Settings()


def test_every_default_lies_within_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in declared():
        monkeypatch.setenv(setting.key, setting.default)
    assert Settings.load(None).model_dump(exclude={"sources"}) == Settings().model_dump(exclude={"sources"})


def test_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("TALKWIRE_PORT=9001\nTALKWIRE_MAX_CALLS=7\n")
    monkeypatch.setenv("TALKWIRE_PORT", "9002")
    settings = Settings.load(env_file)
    assert (settings.port, settings.max_calls) == (9002, 7)
    assert settings.sources == {"TALKWIRE_PORT": "environment", "TALKWIRE_MAX_CALLS": ".env"}


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text('TALKWIRE_LANGUAGE=\nTALKWIRE_PORT="9001"\n')
    monkeypatch.setenv("TALKWIRE_PORT", "")
    monkeypatch.setenv("TALKWIRE_API_KEYS", "")
    settings = Settings.load(env_file)
    assert (settings.port, settings.language) == (9001, "en")
    assert settings.sources == {"TALKWIRE_PORT": ".env"}


def test_a_file_that_is_not_there_is_no_fault(env_file: Path) -> None:
    assert Settings.load(env_file) == Settings()


def test_a_file_that_is_no_text_stops_the_start(env_file: Path) -> None:
    env_file.write_bytes(b"TALKWIRE_PORT=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        Settings.load(env_file)


def test_a_file_is_quoted_as_usual(env_file: Path) -> None:
    env_file.write_text("# a comment\nexport TALKWIRE_VOICE='en us' # another\nOTHER=1\n")
    settings = Settings.load(env_file)
    assert settings.voice == "en us"
    assert settings.warnings == ()


def test_names_are_written_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("talkwire_port", "9001")
    assert Settings.load(None).port == 8080


def test_settings_made_by_hand_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKWIRE_PORT", "9001")
    settings = Settings(host="::1", api_keys=(SecretStr("k"),))
    assert (settings.host, settings.port) == ("::1", 8080)
    with pytest.raises(ValidationError):
        Settings(twilio_lead_ms=99)


def test_settings_are_frozen() -> None:
    settings = Settings.load(None)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # what is tested


# --- kinds of values --------------------------------------------------------------------------------------


def test_keys_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKWIRE_API_KEYS", " one, two,,three ,")
    settings = Settings.load(None)
    assert [key.get_secret_value() for key in settings.api_keys] == ["one", "two", "three"]
    assert "two" not in repr(settings)


def test_words_may_be_written_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKWIRE_LOG_LEVEL", "WARNING")
    assert Settings.load(None).log_level == "warning"


def test_the_data_directory_may_lie_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("TALKWIRE_DATA_DIR", "~/talkwire")
    assert Settings.load(None).data_dir == Path("/home/somebody/talkwire")


@pytest.mark.parametrize(
    ("given", "base", "stream"),
    [
        ("https://voice.example.org", "https://voice.example.org", "wss://voice.example.org"),
        ("https://voice.example.org/", "https://voice.example.org", "wss://voice.example.org"),
        ("http://example.org:81/a/b/", "http://example.org:81/a/b", "ws://example.org:81/a/b"),
        ("http://[::1]:81", "http://[::1]:81", "ws://[::1]:81"),
        ("HTTPS://example.org", "https://example.org", "wss://example.org"),
    ],
)
def test_the_public_url_is_an_origin_with_an_optional_path(given: str, base: str, stream: str) -> None:
    settings = Settings(public_url=given)
    assert (settings.public_url, settings.stream_url) == (base, stream)


def test_without_a_public_url_it_is_this_machine() -> None:
    settings = Settings(host="0.0.0.0", port=9001)
    assert (settings.public_url, settings.stream_url) == ("http://127.0.0.1:9001", "ws://127.0.0.1:9001")


def test_ports_and_addresses_of_browser_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKWIRE_WEBRTC_PORTS", "40000 - 40099")
    monkeypatch.setenv("TALKWIRE_WEBRTC_ADDRESS", "203.0.113.5, 2001:DB8::5")
    settings = Settings.load(None)
    assert settings.webrtc_ports == (40_000, 40_099)
    assert settings.webrtc_address == ("203.0.113.5", "2001:db8::5")
    told = {setting.key: setting.value_in(settings) for setting in declared()}
    assert told["TALKWIRE_WEBRTC_PORTS"] == "40000-40099"


@pytest.mark.parametrize(("max_calls", "of_a_page"), [(40, 10), (10, 2), (1, 2), (100, 25)])
def test_pages_of_one_address_get_a_quarter_of_all_calls(max_calls: int, of_a_page: int) -> None:
    assert Settings(max_calls=max_calls).page_calls == of_a_page


# --- wrong values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["0.0.0.0:9092", "[::]:9092", "192.168.1.5:9092", "pbx.example.org:9092"])
def test_a_port_without_credentials_is_open_to_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("TALKWIRE_AUDIOSOCKET", where)
    with pytest.raises(SettingsError, match=r"^TALKWIRE_AUDIOSOCKET must be .*TALKWIRE_AUDIOSOCKET_ALLOW"):
        Settings.load(None)
    monkeypatch.setenv("TALKWIRE_AUDIOSOCKET_ALLOW", "192.168.1.0/24, 10.0.0.5")
    settings = Settings.load(None)
    assert settings.audiosocket == where
    assert settings.audiosocket_allow == ("192.168.1.0/24", "10.0.0.5/32")


@pytest.mark.parametrize("where", ["127.0.0.1:9092", "localhost:9092", "[::1]:9092"])
def test_on_loopback_nobody_need_be_named(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("TALKWIRE_AUDIOSOCKET", where)
    assert Settings.load(None).audiosocket == where


@pytest.mark.parametrize(
    "where", ["9092", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:9092", "a b:1"]
)
def test_what_is_no_address_with_a_port_is_told(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("TALKWIRE_AUDIOSOCKET", where)
    with pytest.raises(SettingsError, match=r"^TALKWIRE_AUDIOSOCKET must be"):
        Settings.load(None)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("TALKWIRE_PORT", "0", "a whole number from 1 to 65535 (got '0' from the environment)"),
        ("TALKWIRE_PORT", "http", "a whole number from 1 to 65535 (got 'http' from"),
        ("TALKWIRE_STT_WORKERS", "33", "a whole number from 1 to 32"),
        ("TALKWIRE_TWILIO_LEAD_MS", "99", "a whole number from 100 to 500"),
        ("TALKWIRE_TWILIO_LEAD_MS", "501", "a whole number from 100 to 500"),
        ("TALKWIRE_DRAIN_S", "inf", "a number from 0 to 3600"),
        ("TALKWIRE_DRAIN_S", "nan", "a number from 0 to 3600"),
        ("TALKWIRE_RECORDING", "maybe", "true or false"),
        ("TALKWIRE_VAD", "energy", "one of auto, silero, webrtc (got 'energy'"),
        ("TALKWIRE_TWILIO_UNSIGNED", "always", "one of never, loopback"),
        ("TALKWIRE_LANGUAGE", "english please", "a BCP-47 language tag"),
        ("TALKWIRE_HOST", "http://127.0.0.1", "an IP address or a host name"),
        ("TALKWIRE_PUBLIC_URL", "voice.example.org", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "ws://voice.example.org", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "https://", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "https://example.org?x=1", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "https://example.org:99999", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "https://example.org:0", "an http or https URL"),
        ("TALKWIRE_PUBLIC_URL", "https://exa mple.org", "an http or https URL"),
        ("TWILIO_ACCOUNT_SID", "AC1", "AC and 32 hexadecimal digits"),
        ("TALKWIRE_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "networks separated by commas"),
        ("TALKWIRE_TRUSTED_PROXIES", "10.0.0.1/8", "networks separated by commas"),
        ("TALKWIRE_WEBRTC_PORTS", "40099-40000", "two ports from 1024 to 65535 with a hyphen"),
        ("TALKWIRE_WEBRTC_PORTS", "80-90", "two ports from 1024"),
        ("TALKWIRE_WEBRTC_PORTS", "40000-", "two ports from 1024"),
        ("TALKWIRE_WEBRTC_PORTS", "many", "two ports from 1024"),
        ("TALKWIRE_WEBRTC_ADDRESS", "voice.example.org", "IP addresses separated by commas"),
    ],
)
def test_a_wrong_value_is_told_by_its_key_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, says: str
) -> None:
    text = wrong(monkeypatch, **{key: value})
    assert text.startswith(f"{key} must be ")
    assert says in text
    assert "\n" not in text


def test_a_second_auth_token_needs_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = wrong(monkeypatch, TWILIO_AUTH_TOKEN_SECONDARY="sesame-next")
    assert text.startswith("TWILIO_AUTH_TOKEN_SECONDARY must be another auth token of the account, besides")
    assert "sesame" not in text
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "sesame-now")
    tokens = Settings.load(None).twilio_auth_tokens
    assert tokens == {"TWILIO_AUTH_TOKEN": "sesame-now", "TWILIO_AUTH_TOKEN_SECONDARY": "sesame-next"}


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("TALKWIRE_MAX_CALLS=0\n")
    monkeypatch.setenv("TALKWIRE_PORT", "x")
    with pytest.raises(SettingsError) as caught:
        Settings.load(env_file)
    first, second = str(caught.value).splitlines()
    assert first.startswith("TALKWIRE_PORT ")
    assert second == "TALKWIRE_MAX_CALLS must be a whole number from 1 to 10000 (got '0' from the file .env)"


def test_no_error_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "sesame-token")
    monkeypatch.setenv("TALKWIRE_API_KEYS", "sesame-key" * 52)
    text = wrong(monkeypatch, TALKWIRE_PORT="x", TALKWIRE_PUBLIC_URL="https://me:sesame@example.org")
    assert "TALKWIRE_API_KEYS must be keys separated by commas, each of at most 512 characters (from" in text
    assert "TALKWIRE_PUBLIC_URL" in text
    assert "sesame" not in text


def test_a_misspelt_setting_is_warned_about(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("TALKWIRE_MAXCALLS=3\n")
    monkeypatch.setenv("TALKWIRE_API_KEY", "sesame")
    monkeypatch.setenv("TALKWIRE_XYZZY", "1")
    monkeypatch.setenv("TALKWIRE_URL", "ws://127.0.0.1:8080")
    warnings = Settings.load(env_file).warnings
    assert [warning.split()[0] for warning in warnings] == [
        "TALKWIRE_API_KEY",
        "TALKWIRE_MAXCALLS",
        "TALKWIRE_XYZZY",
    ]
    assert "did you mean TALKWIRE_API_KEYS" in warnings[0]
    assert "TALKWIRE_MAX_CALLS" in warnings[1]
    assert "talkwire config" in warnings[2]
    assert "sesame" not in "".join(warnings)


# --- the declaration --------------------------------------------------------------------------------------


def test_every_setting_is_declared_whole() -> None:
    assert len(KEYS) == len(set(KEYS))
    for setting in declared():
        assert (
            setting.key.startswith(("TALKWIRE_", "TWILIO_", "OPENAI_", "OTEL_"))
            or setting.section == PROVIDERS
        )
        assert setting.description.endswith(".")
        assert setting.allowed
        assert setting.unit or not setting.key.endswith(("_S", "_MS"))
    assert [setting.key for setting in declared() if setting.secret] == [
        "TALKWIRE_API_KEYS",
        "TALKWIRE_CONSOLE_PASSWORD",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "TALKWIRE_DATABASE_URL",
        "TALKWIRE_REDIS_URL",
        "TALKWIRE_SECRET",
        "OPENAI_API_KEY",
        "TALKWIRE_STT_API_KEY",
        "TALKWIRE_TTS_API_KEY",
        "TALKWIRE_LLM_API_KEY",
        *(hosted.key for hosted in HOSTED.values()),
        "TALKWIRE_LLM_KEYS",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_AUTH_TOKEN_SECONDARY",
        "TALKWIRE_TURN_SECRET",
        "TALKWIRE_TURN_PASSWORD",
    ]


# --- keys -------------------------------------------------------------------------------------------------


def test_configured_keys_are_used_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", api_keys=(SecretStr("one"), SecretStr("two")))
    assert settings.load_api_keys() == ("one", "two")
    assert not (tmp_path / "data").exists()


def test_without_configured_keys_one_is_made_and_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    (key,) = settings.load_api_keys()
    assert key.startswith("tw_")
    assert settings.load_api_keys() == (key,)
    assert load_or_create_secret(tmp_path / "data" / "api-key") == key


# --- talkwire config --------------------------------------------------------------------------------------


def test_the_table_shows_value_default_and_source(monkeypatch: pytest.MonkeyPatch, env_file: Path) -> None:
    env_file.write_text("TALKWIRE_DRAIN_S=2.5\n")
    monkeypatch.setenv("TALKWIRE_PORT", "9001")
    monkeypatch.setenv("TALKWIRE_PROT", "9001")
    lines = config.table(Settings.load(env_file)).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["SETTING"] == ["VALUE", "UNIT", "DEFAULT", "FROM"]
    assert rows["TALKWIRE_PORT"] == ["9001", "-", "8080", "environment"]
    assert rows["TALKWIRE_DRAIN_S"] == ["2.5", "s", "30", ".env"]
    assert rows["TALKWIRE_RECORDING"] == ["false", "-", "false", "default"]
    assert rows["TALKWIRE_DATA_DIR"] == ["./data", "-", "./data", "default"]
    assert rows["TALKWIRE_PUBLIC_URL"] == ["http://127.0.0.1:9001", "-", "-", "default"]
    assert set(KEYS) <= set(rows)
    assert lines[-1].startswith("warning: TALKWIRE_PROT ")


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    config.run(Settings())
    assert capsys.readouterr().out == config.table(Settings()) + "\n"


def test_the_table_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "TWILIO_AUTH_TOKEN unset" in " ".join(config.table(Settings.load(None)).split())
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "sesame")
    monkeypatch.setenv("TALKWIRE_API_KEYS", "sesame,open")
    table = config.table(Settings.load(None))
    assert "sesame" not in table
    rows = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    assert (rows["TWILIO_AUTH_TOKEN"], rows["TALKWIRE_API_KEYS"]) == ("set", "set")


def test_the_committed_page_is_the_declared_one() -> None:
    assert config.PAGE.read_text(encoding="utf-8") == config.page(), "run: python -m server.commands.config"


def test_the_committed_example_is_the_declared_one() -> None:
    assert config.EXAMPLE.read_text(encoding="utf-8") == config.example(), (
        "run: python -m server.commands.config"
    )


def test_the_example_with_all_its_lines_in_force_changes_nothing(env_file: Path) -> None:
    lines = config.example().splitlines()
    env_file.write_text(
        "\n".join(line if line.startswith("# ") else line.removeprefix("#") for line in lines)
    )
    settings = Settings.load(env_file)
    assert settings.model_dump(exclude={"sources"}) == Settings().model_dump(exclude={"sources"})
    assert settings.warnings == ()
    assert len(settings.sources) == len([setting for setting in declared() if setting.default])


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"REDIS_URL": "redis://:pw@cache:6379/1"}, "redis://:pw@cache:6379/1"),
        ({"REDIS_URL": "redis://cache", "TALKWIRE_REDIS_URL": "rediss://other"}, "rediss://other"),
        ({}, None),
    ],
)
def test_the_usual_name_of_a_redis_counts_where_ours_is_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], url: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = Settings.load(tmp_path / "none").redis_url
    assert (found.get_secret_value() if found is not None else None) == url
    assert "pw@" not in repr(found)


def test_a_redis_of_an_unknown_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = wrong(monkeypatch, TALKWIRE_REDIS_URL="http://:pw@cache")
    assert told.startswith("TALKWIRE_REDIS_URL must be redis://")
    assert "pw" not in told


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "sqlite:///data/talkwire.db"),
        ({"DATABASE_URL": "postgres://u:p@db/calls"}, "postgres://u:p@db/calls"),
        ({"DATABASE_URL": "postgres://u:p@db/calls", "TALKWIRE_DATABASE_URL": "MEMORY"}, "memory"),
        ({"TALKWIRE_DATABASE_URL": "sqlite:////var/lib/calls.db"}, "sqlite:////var/lib/calls.db"),
    ],
)
def test_the_database_is_named_by_either_variable_and_is_a_file_by_default(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings = Settings.load(None)
    assert settings.database == url
    assert "u:p" not in repr(settings)
    assert "u:p" not in config.table(settings)


@pytest.mark.parametrize(
    "given", ["mysql://u:secret@db/calls", "calls.db", "postgresql://db", "sqlite://", "a b"]
)
def test_what_is_no_database_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    told = wrong(monkeypatch, TALKWIRE_DATABASE_URL=given)
    assert told.startswith("TALKWIRE_DATABASE_URL must be sqlite:///path")
    assert "secret" not in told
    monkeypatch.delenv("TALKWIRE_DATABASE_URL")
    assert "DATABASE_URL counts" in wrong(monkeypatch, DATABASE_URL=given)


def test_each_section_stands_once() -> None:
    sections = [title for title, _ in groupby(declared(), key=lambda one: one.section)]
    assert len(sections) == len(set(sections))
    assert (sections[0], sections[-1]) == ("Network", "Browser calls")
