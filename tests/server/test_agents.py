from __future__ import annotations

import pytest

from server.agents import AgentConflict, AgentRegistry, NumberInUse, merged, slug
from server.protocol import AgentConfigure, AgentCreate, ChannelAdd
from server.ring import Entry


class FakeOwner:
    modern = True
    resume = None

    def __init__(self) -> None:
        self.last_heard = 0.0
        self.displaced: list[str] = []

    def offer(self, data: bytes, entry: Entry | None = None) -> bool:
        return True

    def displace(self, agent_id: str, reason: str) -> None:
        self.displaced.append(agent_id)


def create(registry: AgentRegistry, agent_id: str, owner: FakeOwner, now: float = 0.0) -> str:
    return registry.create(agent_id, owner, AgentCreate(agent_id=agent_id), now).slug


@pytest.mark.parametrize(
    ("agent_id", "form"),
    [("My Agent", "my-agent"), (" a__b ", "a-b"), ("Ünïcode!", "ncode"), ("a--b-", "a-b"), ("!!", "")],
)
def test_the_form_in_which_ids_are_compared(agent_id: str, form: str) -> None:
    assert slug(agent_id) == form


def test_an_id_without_a_letter_is_refused() -> None:
    with pytest.raises(ValueError, match="letter or digit"):
        create(AgentRegistry(), "!!", FakeOwner())


def test_the_same_connection_may_register_again_and_keeps_its_channels() -> None:
    registry, owner = AgentRegistry(), FakeOwner()
    create(registry, "My Agent", owner)
    agent = registry.find("my_agent", owner)
    assert agent is not None
    registry.add_number(agent, "+1 555 000 1111", ChannelAdd(agent_id="x", type="phone", ref="+1"))
    create(registry, "my agent", owner)
    assert registry.answering("+15550001111") is not None
    assert agent.agent_id == "my agent"


def test_a_live_holder_stays_and_a_silent_one_goes() -> None:
    registry, first, second = AgentRegistry(), FakeOwner(), FakeOwner()
    create(registry, "a", first)
    first.last_heard = 10.0
    with pytest.raises(AgentConflict) as conflict:
        create(registry, "a", second, now=20.0)
    assert conflict.value.retry_after_s == 35.0
    create(registry, "a", second, now=55.1)
    assert first.displaced == ["a"]
    assert registry.find("a", first) is None
    assert registry.find("a", second) is not None
    # The old connection closes later: it must not take the new one with it.
    assert registry.leave(first) == []
    assert registry.get("a") is not None


def test_a_number_belongs_to_one_agent_and_is_free_when_it_leaves() -> None:
    registry, first, second = AgentRegistry(), FakeOwner(), FakeOwner()
    create(registry, "a", first)
    create(registry, "b", second)
    a, b = registry.get("a"), registry.get("b")
    assert a is not None
    assert b is not None
    channel = ChannelAdd(agent_id="x", type="phone", ref="+1")
    registry.add_number(a, "+1 (555) 000-2222", channel)
    with pytest.raises(NumberInUse):
        registry.add_number(b, "+15550002222", channel)
    assert registry.remove_number(a, "+1 555 000 2222")
    assert not registry.remove_number(a, "+1 555 000 2222")
    registry.add_number(b, "+15550002222", channel)
    registry.leave(second)
    assert registry.answering("+15550002222") is None
    registry.add_number(a, "+15550002222", channel)


def test_the_star_answers_what_nobody_else_does() -> None:
    registry, owner = AgentRegistry(), FakeOwner()
    create(registry, "all", owner)
    create(registry, "one", owner)
    every, one = registry.get("all"), registry.get("one")
    assert every is not None
    assert one is not None
    registry.add_number(every, "*", ChannelAdd(agent_id="x", type="phone", ref="*"))
    registry.add_number(one, "sip:204@example.org", ChannelAdd(agent_id="x", type="phone", ref="*"))
    for number, agent in (("sip:204@EXAMPLE.org", one), ("+1999", every), ("anonymous", every), ("", every)):
        answering = registry.answering(number)
        assert answering is not None
        assert answering[0] is agent, number


def test_configure_changes_only_the_keys_it_holds() -> None:
    layers = merged({}, AgentCreate(agent_id="a", greeting="Hi", language="en"))
    changed = merged(layers, AgentConfigure(agent_id="a", language="es"))
    assert changed["greeting"] == "Hi"
    assert changed["language"] == "es"
    assert layers["language"] == "en"
