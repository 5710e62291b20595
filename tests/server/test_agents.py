from __future__ import annotations

import pytest

from server.agents import Agent, AgentConflict, AgentRegistry, NumberInUse, TooManyAgents, merged, slug
from server.protocol import AgentConfigure, AgentCreate, ChannelAdd
from server.ring import Entry


class FakeOwner:
    modern = True
    resume: dict[str, int] | None = None

    def __init__(self) -> None:
        self.last_heard = 0.0
        self.elsewhere = ()
        self.displaced: list[str] = []

    def has_room(self, size: int) -> bool:
        return True

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
    assert conflict.value.retry_after_s == 5.0
    with pytest.raises(AgentConflict) as conflict:
        create(registry, "a", second, now=52.0)
    assert conflict.value.retry_after_s == 3.0
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
    with pytest.raises(NumberInUse, match="agent 'a' answers \\+15550002222 already: remove its channel"):
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


# --- bounds -----------------------------------------------------------------------------------------------


def test_there_is_room_for_so_many_agents_and_no_more() -> None:
    registry, first, second = AgentRegistry(max_agents=2), FakeOwner(), FakeOwner()
    create(registry, "a", first)
    create(registry, "b", second)
    with pytest.raises(TooManyAgents) as full:
        create(registry, "c", second)
    assert full.value.limit == 2
    create(registry, "a", first)
    create(registry, "a", second, now=50.0)
    registry.leave(second)
    create(registry, "c", first)


def test_without_a_bound_there_is_room_for_any_number() -> None:
    registry, owner = AgentRegistry(max_agents=0), FakeOwner()
    for number in range(2000):
        create(registry, f"a{number}", owner)


def test_a_connection_keeps_the_agents_that_it_did_not_lose() -> None:
    registry, first, second = AgentRegistry(), FakeOwner(), FakeOwner()
    create(registry, "a", first)
    create(registry, "b", first)
    create(registry, "a", second, now=50.0)
    assert first.displaced == ["a"]
    assert registry.has_agents(first)
    assert registry.find("b", first) is not None
    create(registry, "b", second, now=50.0)
    assert not registry.has_agents(first)


# --- developers -------------------------------------------------------------------------------------------

NUMBER, CALLER = "+15550002222", "+15550001111"


def at(registry: AgentRegistry, agent_id: str, owner: FakeOwner, ref: str = NUMBER) -> Agent:
    """An agent that has added a number."""
    create(registry, agent_id, owner)
    agent = registry.find(agent_id, owner)
    assert agent is not None
    registry.add_number(agent, ref, ChannelAdd(agent_id=agent_id, type="phone", ref=ref))
    return agent


def who(registry: AgentRegistry, caller: str = CALLER, number: str = NUMBER) -> str:
    answering = registry.answering(number, caller)
    return answering[0].slug if answering is not None else ""


@pytest.mark.parametrize("developer_first", [True, False])
def test_a_developer_gets_the_calls_of_his_callers_and_the_owner_all_others(developer_first: bool) -> None:
    registry, production, developer = AgentRegistry(), FakeOwner(), FakeOwner()
    both = [("clock", production), ("Dev Clock", developer)]
    for agent_id, owner in reversed(both) if developer_first else both:
        at(registry, agent_id, owner)
    assert who(registry) == "clock"
    agents = registry.set_callers(developer, ["+1 (555) 000-1111"])
    assert [agent.slug for agent in agents] == ["dev-clock"]
    assert who(registry) == "dev-clock"
    assert who(registry, "+15550009999") == "clock"
    registry.set_callers(developer, ["sip:dev@example.org"])
    assert who(registry, "sip:dev@EXAMPLE.org:5060") == "dev-clock"
    assert who(registry, "") == who(registry, "anonymous") == "clock"
    registry.set_callers(developer, [])
    assert who(registry) == "clock"


def test_the_callers_are_forgotten_with_their_connection() -> None:
    registry, production, developer = AgentRegistry(), FakeOwner(), FakeOwner()
    at(registry, "clock", production)
    at(registry, "dev-clock", developer)
    registry.set_callers(developer, [CALLER])
    registry.leave(developer)
    assert who(registry) == "clock"
    at(registry, "dev-clock", developer)
    assert who(registry) == "clock"


def test_callers_route_to_agents_of_their_own_connection_only() -> None:
    registry, production, ann, bob = AgentRegistry(), FakeOwner(), FakeOwner(), FakeOwner()
    at(registry, "clock", production)
    at(registry, "dev-ann", ann)
    at(registry, "dev-bob", bob)
    registry.set_callers(bob, [CALLER])
    assert who(registry) == "dev-bob"
    registry.set_callers(production, [CALLER, "+15550009999"])
    assert (who(registry), who(registry, "+15550009999")) == ("dev-bob", "clock")


def test_a_developer_alone_on_a_number_answers_everybody_until_its_owner_comes() -> None:
    registry, production, developer = AgentRegistry(), FakeOwner(), FakeOwner()
    at(registry, "dev-clock", developer)
    registry.set_callers(developer, [CALLER])
    assert who(registry) == who(registry, "+15550009999") == "dev-clock"
    agent = at(registry, "clock", production)
    assert (who(registry), who(registry, "+15550009999")) == ("dev-clock", "clock")
    assert registry.remove_number(agent, NUMBER)
    assert who(registry, "+15550009999") == "dev-clock"


def test_the_number_goes_before_the_star() -> None:
    registry, production, developer = AgentRegistry(), FakeOwner(), FakeOwner()
    at(registry, "clock", production)
    at(registry, "dev-any", developer, "*")
    registry.set_callers(developer, [CALLER])
    assert who(registry) == "clock"
    assert who(registry, number="+15550003333") == "dev-any"
    at(registry, "any", production, "*")
    assert who(registry, number="+15550003333") == "dev-any"
    assert who(registry, "+15550009999", "+15550003333") == "any"


def test_only_developers_share_a_number() -> None:
    registry, first, second = AgentRegistry(), FakeOwner(), FakeOwner()
    at(registry, "clock", first)
    for other in ("other", "device-clock", "my-dev-clock"):
        with pytest.raises(NumberInUse):
            at(registry, other, second)
    assert registry.answering("+15550004444") is None
