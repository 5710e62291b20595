"""Calls from pages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr

from server.settings.declaring import Group, setting
from server.settings.values import Addresses, IceUrls, Ports

BROWSER = "Browser calls"


def _some_places(settings: dict[str, Any]) -> int:
    return int(max(2, settings["max_calls"] // 4))


class Browser(Group):
    """WebRTC, and how much pages without a key may do."""

    webrtc: bool = setting(
        BROWSER,
        "TALKWIRE_WEBRTC",
        True,
        "Take calls from browsers (WebRTC). Their audio comes by UDP.",
    )
    webrtc_ports: Ports | None = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_PORTS",
        None,
        "UDP ports on which it comes, for a firewall to let through and a container to publish: one for each call and "
        "address of this machine. Unset: the system chooses.",
        allowed="two ports from 1024 to 65535 with a hyphen between them, for example 40000-40099",
    )
    webrtc_address: Addresses = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_ADDRESS",
        (),
        "IP addresses by which browsers reach those ports, where they are not those of this machine's network cards: "
        "behind a NAT that maps each port to the same port, or in a container. Then no STUN server is asked.",
        allowed="IP addresses separated by commas, for example 203.0.113.5",
    )
    webrtc_lead_ms: Annotated[int, Field(ge=0, le=200)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_LEAD_MS",
        80,
        "How far ahead of its being heard audio is sent to a page without Talkwire's client (with it: 160 ms). More "
        "bridges longer stalls of the server; so much is heard more of a bot that is interrupted.",
        unit="ms",
    )
    webrtc_opening_ms: Annotated[int, Field(ge=0, le=5000)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_OPENING_MS",
        600,
        "How long the greeting of a call whose token carries metadata waits for the agent to configure that call "
        "(`session.configure`); it goes on with the first. Agents that never do are not waited for after three calls. "
        "0: nobody is.",
        unit="ms",
    )
    webrtc_resume_s: Annotated[float, Field(ge=0, le=300)] = setting(
        BROWSER,
        "TALKWIRE_WEBRTC_RESUME_S",
        15.0,
        "How long a call whose network is gone waits for the browser to come back.",
        unit="s",
    )
    page_tokens_per_minute: Annotated[int, Field(ge=0, le=100_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_TOKENS_PER_MINUTE",
        30,
        "Tokens that pages in `allowed_origins`, without a key, get from one address; one origin gets ten times as many. "
        "0: any number.",
        unit="tokens",
    )
    page_calls: Annotated[int, Field(ge=0, le=10_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_CALLS",
        _some_places,
        "Calls at the same time of such pages from one address; unset: a quarter of `TALKWIRE_MAX_CALLS`, and two at "
        "least. 0: any number.",
        unit="calls",
    )
    page_connecting: Annotated[int, Field(ge=0, le=10_000)] = setting(
        BROWSER,
        "TALKWIRE_PAGE_CONNECTING",
        4,
        "Of these, those that were answered and have not connected yet, which may take 15 s; to one agent five times as "
        "many from all addresses. 0: any number.",
        unit="calls",
    )
    ice_servers: IceUrls = setting(
        BROWSER,
        "TALKWIRE_ICE_SERVERS",
        (),
        "STUN and TURN servers that browsers are given, and that the server asks for its own address: "
        "`stun:stun.example.org:3478`, `turn:turn.example.org:3478?transport=udp`. Without any a call needs a server "
        "that the browser reaches by an address of its own network card.",
        allowed="stun:, turn: and turns: addresses separated by commas",
    )
    turn_secret: SecretStr | None = setting(
        BROWSER,
        "TALKWIRE_TURN_SECRET",
        None,
        "The secret that is shared with the TURN server (coturn: `static-auth-secret`): each browser gets "
        "credentials of its own, that expire.",
        allowed="text",
    )
    turn_username: Annotated[str, Field(max_length=500)] | None = setting(
        BROWSER,
        "TALKWIRE_TURN_USERNAME",
        None,
        "User of the TURN server, where it has no shared secret. All browsers get it.",
        allowed="text of at most 500 characters",
    )
    turn_password: SecretStr | None = setting(
        BROWSER, "TALKWIRE_TURN_PASSWORD", None, "The password of `TALKWIRE_TURN_USERNAME`.", allowed="text"
    )
