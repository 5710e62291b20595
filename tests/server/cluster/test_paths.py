"""Of which call a request is."""

from __future__ import annotations

import jwt
import pytest

from server.cluster.ids import made_at, new_id
from server.cluster.paths import Belongs, belongs, belongs_by_body

NODE = "0123abcd"
TOKEN = jwt.encode({"sub": "CA1", "node": NODE}, "s" * 32, algorithm="HS256")
"""Always the same, for it stands in the names of tests."""


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("WS", f"/twilio/media/{TOKEN}", "", Belongs(node=NODE)),
        ("WS", "/twilio/media/a.b.c", "", Belongs()),
        ("WS", "/twilio/media/a.W10.c", "", Belongs()),
        ("WS", "/twilio/media/" + "x" * 20_000, "", Belongs()),
        ("POST", "/twilio/voice", "", Belongs(in_body=True)),
        ("POST", f"/twilio/dial/status/dial-0123abcd-{'5' * 24}", "", Belongs(node=NODE, in_body=True)),
        ("POST", "/twilio/dial/status/dial-0123", "", Belongs(in_body=True)),
        ("GET", "/v1/calls/CA1/events", "after=3", Belongs(call_id="CA1")),
        ("GET", "/v1/calls/a%2Fb", "", Belongs(call_id="a/b")),
        ("GET", "/v1/calls", "", None),
        ("POST", "/v1/calls", "", Belongs(new=True)),
        ("WS", "/v1/attach", "call=CA1&after=3", Belongs(call_id="CA1")),
        ("WS", "/v1/attach", "agent=front-desk", Belongs()),
        ("WS", "/ws/stream", "agent=a&session=CA1", Belongs(call_id="CA1")),
        ("GET", "/live/CA1/player", "", Belongs(call_id="CA1")),
        ("WS", "/v1/tap", "call=CA1&x=2", Belongs(call_id="CA1")),
        ("WS", "/v1/tap", "", Belongs()),
        ("WS", "/live/CA1/ws", "token=x", Belongs(call_id="CA1")),
        ("GET", "/live/a%2Fb/player", "", Belongs(call_id="a/b")),
        ("POST", "/v1/calls/CA1/supervise", "", Belongs(call_id="CA1")),
        ("GET", "/metrics", f"node={NODE}", Belongs(node=NODE)),
        ("POST", "/webrtc/offer", "", Belongs(in_body=True)),
        ("OPTIONS", "/webrtc/offer", "", None),
        ("WS", "/client", "", None),
    ],
)
def test_by_its_path(method: str, path: str, query: str, expected: Belongs | None) -> None:
    assert belongs(method, path, query) == expected


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/twilio/voice", b"From=%2B1&CallSid=CA1", Belongs(call_id="CA1", new=True)),
        ("/twilio/status", b"From=%2B1&CallSid=CA1", Belongs(call_id="CA1")),
        ("/twilio/voice", b"\xff\xfe", Belongs(new=True)),
        ("/webrtc/offer", b'{"resume":"' + TOKEN.encode() + b'"}', Belongs(node=NODE)),
        ("/webrtc/offer", b'{"resume":5}', Belongs()),
        ("/webrtc/offer", b'{"resume":', Belongs(new=True)),
        ("/webrtc/offer", b'{"token":"' + TOKEN.encode() + b'"}', Belongs(new=True)),
    ],
)
def test_by_its_body(path: str, body: bytes, expected: Belongs) -> None:
    assert belongs_by_body(path, body) == expected


def test_ids_say_which_node_made_them() -> None:
    assert made_at(new_id("transfer", NODE)) == NODE
    assert made_at(new_id("dial", "")) is None
    assert len({new_id("dial", NODE) for _ in range(100)}) == 100
