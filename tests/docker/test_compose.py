"""docker-compose.yml, as far as it can be held against the rest without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from server.settings import Settings, declared

ROOT = Path(__file__).resolve().parents[2]
FIXED = {"TALKWIRE_HOST", "TALKWIRE_DATA_DIR", "TALKWIRE_TWILIO_UNSIGNED"}
"""Set by the image, or without effect behind an address that is not loopback."""

Service = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: docker-compose.yml is not read")
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


@pytest.fixture(scope="module")
def server(compose: dict[str, Any]) -> Service:
    service: Service = compose["services"]["server"]
    return service


@pytest.fixture(scope="module")
def demo(compose: dict[str, Any]) -> Service:
    service: Service = compose["services"]["demo"]
    return service


def test_every_setting_reaches_the_server(server: Service) -> None:
    assert set(server["environment"]) == {setting.key for setting in declared()} - FIXED


def test_settings_come_from_outside_and_hold_no_secret(server: Service, demo: Service) -> None:
    given = {key: value for key, value in server["environment"].items() if value is not None}
    assert given == {
        "TALKWIRE_PORT": "${TALKWIRE_PORT:-8080}",
        "TALKWIRE_WEBRTC_PORTS": "${TALKWIRE_WEBRTC_PORTS:-40000-40099}",
        "TALKWIRE_WEBRTC_ADDRESS": "${TALKWIRE_WEBRTC_ADDRESS:-127.0.0.1}",
    }
    assert demo["environment"]["TALKWIRE_API_KEYS"] is None


def test_plain_up_starts_the_server_and_something_to_talk_to(compose: dict[str, Any]) -> None:
    plain = {name for name, service in compose["services"].items() if "profiles" not in service}
    assert plain == {"server", "demo"}


def test_what_later_issues_need_waits_in_its_profile(compose: dict[str, Any]) -> None:
    for name in ("postgres", "redis"):
        service = compose["services"][name]
        assert service["profiles"] == [name]
        assert re.fullmatch(r"[a-z]+:\d+(\.\d+)?-bookworm", service["image"]), "the image is pinned"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert "ports" not in service, "it has no door to the outside"


def test_the_relay_waits_in_its_profile_and_wants_a_secret(compose: dict[str, Any], server: Service) -> None:
    turn = compose["services"]["turn"]
    assert turn["profiles"] == ["turn"]
    assert turn["image"].endswith("-bookworm")
    assert turn["environment"] == {"SECRET": "${TALKWIRE_TURN_SECRET:-}"}
    assert "TALKWIRE_TURN_SECRET" in server["environment"], "both sides have it"
    (command,) = turn["command"]
    assert command.startswith('test -n "$$SECRET" ||')
    assert "--use-auth-secret" in command


def test_the_pbx_waits_in_its_profile_with_its_configuration(compose: dict[str, Any], demo: Service) -> None:
    pbx = compose["services"]["asterisk"]
    assert pbx["profiles"] == ["asterisk"]
    assert re.fullmatch(r"[a-z]+/asterisk:\d+\.\d+\.\d+_\S+", pbx["image"]), "the image is pinned"
    mounted = [entry.split(":") for entry in pbx["volumes"]]
    assert all(options == "ro" and (ROOT / source).is_file() for source, _, options in mounted)
    assert {Path(source).name for source, _, _ in mounted} == {
        p.name for p in (ROOT / "docker/asterisk").iterdir()
    }
    start, end = re.findall(
        r"^rtp(?:start|end)=(\d+)$", (ROOT / "docker/asterisk/rtp.conf").read_text(), re.MULTILINE
    )
    assert f"{start}-{end}:{start}-{end}/udp" in pbx["ports"]


def test_the_dialplan_asks_the_doors_that_there_are(compose: dict[str, Any]) -> None:
    dialplan = (ROOT / "docker/asterisk/extensions.conf").read_text()
    assert "TALKWIRE_URL=http://server:8080" in dialplan
    assert "${TALKWIRE_URL}/v1/audiosocket/calls," in dialplan
    assert "AudioSocket(${CALL},${TALKWIRE_AUDIO})" in dialplan
    assert "${ENV(TALKWIRE_API_KEY)}" in dialplan
    assert "TALKWIRE_API_KEY" in compose["services"]["asterisk"]["environment"]
    labels = set(re.findall(r"n\((\w+)\)", dialplan))
    assert set(re.findall(r"\]\?(\w+)\)", dialplan)) <= labels


def test_ports_are_published_and_are_the_same_inside(server: Service) -> None:
    port, media = (server["environment"][key] for key in ("TALKWIRE_PORT", "TALKWIRE_WEBRTC_PORTS"))
    assert server["ports"] == [f"127.0.0.1:{port}:{port}", f"{media}:{media}/udp"]
    first, last = map(int, re.findall(r"\d+", media.partition(":-")[2]))
    assert last - first + 1 >= 2 * Settings.model_fields["max_calls"].default
    assert f":-{Settings.model_fields['port'].default}}}" in port


def test_the_server_may_finish_its_calls(server: Service) -> None:
    grace = re.fullmatch(r"(\d+)s", server["stop_grace_period"])
    assert grace is not None
    # Behind the drain come five seconds for uvicorn and the end of the engines.
    assert int(grace[1]) >= Settings.model_fields["drain_s"].default + 10


@pytest.mark.parametrize("name", ["server", "demo"])
def test_our_containers_can_do_no_more_than_they_must(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp:size=64m,mode=1777"], "worker sockets need a place that can be written"
    assert "privileged" not in service
    assert "user" not in service, "the image's own user"


def test_volumes_are_declared_and_the_demo_only_reads(
    compose: dict[str, Any], server: Service, demo: Service
) -> None:
    used = {
        entry.split(":")[0]
        for service in compose["services"].values()
        for entry in service.get("volumes", [])
        if not entry.startswith("./")
    }
    assert used == set(compose["volumes"])
    assert server["volumes"] == ["data:/data"]
    assert demo["volumes"] == ["data:/data:ro"]
    # docker/entrypoint.sh names it in its advice.
    assert compose["volumes"]["data"]["name"] in (ROOT / "docker/entrypoint.sh").read_text()


def test_the_demo_runs_what_exists_when_the_server_is_well(demo: Service) -> None:
    assert demo["entrypoint"][0] == "python"
    assert (ROOT / demo["entrypoint"][1]).is_file()
    assert demo["depends_on"] == {"server": {"condition": "service_healthy"}}
    assert demo["environment"]["TALKWIRE_URL"] == "ws://server:${TALKWIRE_PORT:-8080}"
    assert demo["healthcheck"] == {"disable": True}, "the image's check asks for a server in this container"
    assert demo["stop_signal"] == "SIGINT"


def test_the_build_context_and_its_arguments_exist(server: Service) -> None:
    assert (ROOT / server["build"]["context"] / "Dockerfile").is_file()
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert set(server["build"]["args"]) <= known


def test_the_example_names_real_settings() -> None:
    text = (ROOT / "docker/example.env").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    assert named - {"WITH_FLITE", "TALKWIRE_DEMO_LLM", "TALKWIRE_PBX_KEY"} <= {
        setting.key for setting in declared()
    }
    assert "TWILIO_AUTH_TOKEN" in named
    assert not re.search(r"^\w+=.", text, re.MULTILINE), "nothing is set until its user sets it"


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "docker-compose.yml"
    copy.write_text((ROOT / "docker-compose.yml").read_text())
    done = subprocess.run(
        ["docker-compose", "--file", str(copy), "config"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path), "TALKWIRE_PORT": "9090"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"127\.0\.0\.1:9090:9090", done.stdout)
    assert "ws://server:9090" in done.stdout
