"""What a connection has registered, as a node that comes later is told."""

from __future__ import annotations

from typing import Any

import orjson

from server.cluster.registrations import Registrations
from server.protocol import parse_command


def noted(registrations: Registrations, **fields: Any) -> bool:
    return registrations.note(parse_command(orjson.dumps(fields)), fields)


def test_what_was_changed_since_is_in_it_and_what_is_gone_is_not() -> None:
    kept = Registrations()
    assert noted(kept, event="agent.create", agent_id="My Agent", ack="1", greeting="Hello.", language="en")
    assert noted(kept, event="agent.configure", agent_id="my-agent", greeting="Hi.", ack="2")
    noted(kept, event="channel.add", agent_id="My Agent", type="phone", ref="+1 555 000 2222")
    noted(kept, event="channel.configure", agent_id="My Agent", ref="+15550002222", language="de")
    noted(kept, event="channel.add", agent_id="My Agent", type="phone", ref="*")
    noted(kept, event="channel.remove", agent_id="My Agent", ref="*")
    noted(kept, event="line.create", number="+15550003333")
    noted(kept, event="dev.config", callers=["+15550001111"])
    assert not noted(kept, event="call.hangup", call_id="CA1")
    create, channel, line, callers = kept.all()
    assert create == {"event": "agent.create", "agent_id": "my-agent", "greeting": "Hi.", "language": "en"}
    assert channel == {
        "event": "channel.add",
        "agent_id": "My Agent",
        "type": "phone",
        "ref": "+15550002222",
        "language": "de",
    }
    assert (line["number"], callers["callers"]) == ("+15550003333", ["+15550001111"])
    for fields in kept.all():
        parse_command(orjson.dumps(fields))
    kept.drop("my-agent")
    assert [fields["event"] for fields in kept.all()] == ["line.create", "dev.config"]
