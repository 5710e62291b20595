"""What a page may do, decided without a socket: origins, tokens, its configuration, what it is told, ICE."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from server.ice import LIFETIME_S, Turn, servers, stun_servers
from server.origins import allowed
from server.page_config import PageConfigError, filtered, joined
from server.page_events import MAX_RESULT, for_page
from server.protocol import EVENTS
from server.protocol.page import FIELDS, parse_action
from server.tokens import TokenError, Tokens

NOW = 4_000_000_000.0
SHOP = "https://shop.example.org"


@pytest.mark.parametrize(
    ("origin", "entry"),
    [
        (SHOP, SHOP),
        (SHOP, SHOP + "/"),
        (SHOP, SHOP + ":443"),
        ("https://SHOP.example.org", SHOP),
        (SHOP, "https://*.example.org"),
        ("https://a.b.example.org", "https://*.example.org"),
        ("http://localhost:5173", "http://localhost:*"),
        ("http://localhost", "http://localhost:*"),
    ],
)
def test_an_origin_that_is_allowed(origin: str, entry: str) -> None:
    assert allowed(origin, ["https://other.example.net", entry])


@pytest.mark.parametrize(
    ("origin", "entry"),
    [
        ("http://shop.example.org", SHOP),
        (SHOP + ":8443", SHOP),
        ("https://example.org", "https://*.example.org"),
        ("https://evilexample.org", "https://*.example.org"),
        ("https://shop.example.org.evil.net", SHOP),
        ("https://shop.example.org@evil.net", SHOP),
        ("https://evil.net", "*"),
        ("https://evil.net", "https://*"),
        ("https://evil.net", "https://*."),
        ("https://*.example.org", "https://*.example.org"),
        ("null", "null"),
        ("", ""),
        ("https://evil.net/https://shop.example.org", SHOP),
        ("https://shop.example.org:x", SHOP),
        ("http://localhost.evil.net:80", "http://localhost:*"),
    ],
)
def test_an_origin_that_is_not(origin: str, entry: str) -> None:
    assert not allowed(origin, [entry])


def test_a_token_is_redeemed_once_and_says_what_was_sealed() -> None:
    tokens = Tokens("s" * 64)
    token = tokens.issue("clock", "call", NOW, 60, metadata={"name": "Ana"}, sub="other")
    claims = tokens.redeem(token, "call", NOW)
    assert (claims["sub"], claims["metadata"]) == ("clock", {"name": "Ana"})
    with pytest.raises(TokenError, match="used already"):
        tokens.redeem(token, "call", NOW)
    other = tokens.issue("clock", "call", NOW, 60)
    with pytest.raises(TokenError):
        tokens.redeem(other, "chat", NOW)
    with pytest.raises(TokenError):
        tokens.redeem(other[:-3] + "abc", "call", NOW)
    assert tokens.redeem(other, "call", NOW)
    with pytest.raises(TokenError, match="too long"):
        tokens.redeem("x" * 10_000, "call", NOW)


def test_used_tokens_are_forgotten_when_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.tokens.MAX_REDEEMED", 2)
    tokens = Tokens("s" * 64)
    for _ in range(2):
        tokens.redeem(tokens.issue("a", "call", NOW, 60), "call", NOW)
    with pytest.raises(TokenError, match="too many"):
        tokens.redeem(tokens.issue("a", "call", NOW, 60), "call", NOW)
    assert tokens.redeem(tokens.issue("a", "call", NOW, 60), "call", NOW + 61)


def test_of_a_pages_configuration_only_its_sound_is_taken() -> None:
    wanted, refused = filtered(
        {"tts": "openai/nova", "language": "es", "flash": True, "prompt": "Be rude.", "tools": [], "llm": "x"}
    )
    assert wanted.model_fields_set == {"voice", "language"}
    assert refused == ["prompt", "tools", "llm"]
    with pytest.raises(PageConfigError, match=r"config\.language"):
        filtered({"language": 5})


def test_what_is_sealed_wins() -> None:
    assert joined({"plan": "gold", "page": "/"}, {"plan": "free"}) == {"plan": "free", "page": "/"}


def told(event: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"agent_id": "a", "call_id": "c", "session_id": "c", "seq": 3, "ts": 1.5}
    return list(for_page(json.dumps({**common, **event}).encode()))


def test_a_page_is_told_what_its_caller_hears_and_nothing_else() -> None:
    (started,) = told(
        {"event": "call.started", "from": "webrtc", "metadata": {"secret": 1}, "language": "en", "to": "a"}
    )
    assert started == {
        "event": "call.started",
        "call_id": "c",
        "seq": 3,
        "ts": 1.5,
        "agent_id": "a",
        "language": "en",
    }
    for name in (
        "llm.reasoning",
        "llm.response",
        "history.snapshot",
        "session.timeout",
        "call.recording",
        "error",
    ):
        assert told({"event": name, "text": "x"}) == []
    assert set(FIELDS) <= {model.model_fields["event"].default for model in EVENTS}
    by_name = {model.model_fields["event"].default: model for model in EVENTS}
    for name, fields in FIELDS.items():
        assert set(fields) <= set(by_name[name].model_fields), name


def test_each_tool_has_a_result_of_its_own() -> None:
    ids = {"msg_id": "m", "tool_call_id": "t", "name": "clock", "kind": "client"}
    (done,) = told({"event": "tool.completed", **ids, "result": {"at": 8}})
    assert (done["event"], done["tool_call_id"], done["result"]) == ("llm.tool_result", "t", {"at": 8})
    (failed,) = told({"event": "tool.failed", **ids, "error": "no such zone"})
    assert failed["result"] == {"error": "no such zone"}
    (large,) = told({"event": "tool.completed", **ids, "result": "x" * MAX_RESULT})
    assert large["result"] is None


def test_a_page_is_asked_for_its_own_tools_only() -> None:
    ids = {"msg_id": "m", "tool_call_id": "t", "name": "open_page", "arguments": {"page": "cart"}}
    (asked,) = told({"event": "tool.started", **ids, "kind": "page"})
    assert (asked["tool_call_id"], asked["arguments"], "kind" in asked) == ("t", {"page": "cart"}, False)
    for kind in ("client", "system"):
        assert told({"event": "tool.started", **ids, "kind": kind}) == []


def test_a_page_sees_what_the_model_thinks_where_its_agent_says_so() -> None:
    event = {"event": "llm.reasoning", "call_id": "c", "seq": 1, "ts": 1.0, "message_id": "m", "text": "Hm."}
    data = json.dumps(event).encode()
    assert list(for_page(data)) == []
    assert list(for_page(data, reasoning=True)) == [event]


def test_relays_are_given_with_credentials_that_expire() -> None:
    urls = ("stun:s.example.org", "turn:t.example.org:3478?transport=udp")
    stun, turn = servers(urls, Turn(secret="shared"), 1000.0, "label", relay=True)
    assert stun.as_json() == {"urls": ["stun:s.example.org"]}
    assert turn.username == f"{int(1000 + LIFETIME_S)}:label"
    digest = hmac.new(b"shared", turn.username.encode(), hashlib.sha1).digest()
    assert turn.credential == base64.b64encode(digest).decode()
    assert servers(urls, Turn(secret="shared"), 1000.0, "label", relay=False) == [stun]
    assert servers(urls, Turn(), 1000.0, "label", relay=True) == [stun], "a relay that nobody can enter"
    (_, static) = servers(urls, Turn(username="u", password="p"), 1000.0, "label", relay=True)
    assert static.as_json() == {"urls": [urls[1]], "username": "u", "credential": "p"}


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ({}, "action must be one of"),
        ({"action": "fly"}, "action must be one of"),
        ({"action": "inject_text"}, "text"),
        ({"action": "inject_text", "text": ""}, "text"),
        ({"action": "set_context", "key": "k", "value": 5}, "value"),
    ],
)
def test_an_action_that_makes_no_sense_is_told_why(action: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_action(action)


@pytest.mark.parametrize(
    ("urls", "found"),
    [
        (("stun:stun.example.org:19302",), [("stun.example.org", 19302)]),
        (("stun:stun.example.org", "turn:turn.example.org:3478"), [("stun.example.org", 3478)]),
        (("stun:[2001:db8::1]:3479", "stun:[2001:db8::1]"), [("2001:db8::1", 3479), ("2001:db8::1", 3478)]),
        (("turns:turn.example.org:5349?transport=tcp",), []),
    ],
)
def test_the_stun_servers_that_our_own_side_asks(urls: tuple[str, ...], found: list[tuple[str, int]]) -> None:
    assert stun_servers(urls) == found
