"""What a model can be taught: which skills are loaded, and what it is told and may ask for then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.ports import ToolSpec
from pipeline.skills import LOAD, UNLOAD, Change, Skill, Skills, UnknownSkill
from pipeline.tools import Tool


def tool(name: str, about: str = "") -> Tool:
    return Tool(ToolSpec(name, about))


BILLING = Skill("billing", "Invoices.", "Be exact.", (tool("invoice"), tool("shared", "billing")))
TRAVEL = Skill("travel", "Trains.", "", (tool("train"), tool("shared", "travel")))
STAFF = Skill("staff", "Only for staff.", "Use first names.", activation="manual")
BASE = Skill("base", "", "Say you.", (tool("clock"),), "always")
ALL = (BILLING, TRAVEL, STAFF, BASE)


class Model:
    """What it may ask for, and what it does with it."""

    def __init__(self, skills: Skills, *own: Tool) -> None:
        self.changes: list[Change] = []
        self.tools = {tool.name: tool for tool in skills.tools(own, self.changes.append)}

    def asks(self, name: str, arguments: Mapping[str, Any]) -> object:
        run = self.tools[name].run
        assert run is not None
        return run(arguments)


def test_what_is_always_there_is_loaded_from_the_start() -> None:
    skills = Skills(ALL)
    assert skills.loaded == (BASE,)
    assert skills.instructions == ("Say you.",)
    assert list(Model(skills, tool("own")).tools) == ["own", LOAD, UNLOAD, "clock"]


def test_the_model_loads_and_unloads_what_is_made_for_it() -> None:
    skills = Skills(ALL)
    model = Model(skills)
    spec = model.tools[LOAD].spec
    assert spec.parameters["properties"]["name"]["enum"] == ["billing", "travel"]
    assert spec.description.endswith("Skills:\n- billing: Invoices.\n- travel: Trains.")
    assert model.tools[LOAD].kind == "system"
    assert model.asks(LOAD, {"name": "travel"}) == {"loaded": "travel"}
    assert model.asks(LOAD, {"name": "travel"}) == {"loaded": "travel"}
    assert model.asks(LOAD, {"name": "billing"})
    assert [skill.name for skill in skills.loaded] == ["billing", "travel", "base"]
    assert skills.instructions == ("Be exact.", "Say you.")
    assert model.asks(UNLOAD, {"name": "travel"}) == {"unloaded": "travel"}
    assert model.asks(UNLOAD, {"name": "travel"})
    assert model.changes == [
        Change("travel", True, "model"), Change("billing", True, "model"), Change("travel", False, "model"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["staff", "base", "nobody", "", "x" * 500, None, 5])
def test_the_model_is_told_what_it_may_not_load(name: Any) -> None:
    skills = Skills(ALL)
    model = Model(skills)
    for act in (LOAD, UNLOAD):
        with pytest.raises(UnknownSkill) as told:
            model.asks(act, {"name": name})
        assert "the skills are: billing, travel" in str(told.value) or not isinstance(name, str)
        assert len(str(told.value)) < 200
    assert model.changes == []
    assert skills.loaded == (BASE,)


def test_the_agent_loads_and_unloads_any() -> None:
    skills = Skills(ALL)
    assert skills.load("staff", "manual") == Change("staff", True, "manual")
    assert skills.load("staff", "manual") is None
    assert skills.unload("base", "manual") == Change("base", False, "manual")
    assert skills.unload("base", "manual") is None
    assert skills.loaded == (STAFF,)
    with pytest.raises(UnknownSkill, match="'nobody'; the skills are: billing, travel, staff, base"):
        skills.load("nobody", "manual")
    with pytest.raises(UnknownSkill, match="there are none"):
        Skills().unload("nobody", "manual")


def test_of_tools_with_one_name_the_agents_own_is_meant() -> None:
    skills = Skills(ALL)
    for name in ("travel", "billing"):
        skills.load(name, "manual")
    assert Model(skills).tools["shared"].spec.description == "billing"
    assert Model(skills, tool("shared", "own")).tools["shared"].spec.description == "own"
    assert Model(skills, tool(LOAD, "own")).tools[LOAD].run is None
    skills.declare([Skill("x", tools=(tool(LOAD),), activation="always"), TRAVEL])
    assert Model(skills).tools[LOAD].kind == "system"


def test_without_any_for_the_model_it_is_not_offered_to_load_some() -> None:
    skills = Skills((STAFF, BASE))
    assert list(Model(skills).tools) == ["clock"]
    assert skills.note == ""
    assert Skills(ALL).note


def test_other_skills_may_be_declared() -> None:
    skills = Skills(ALL)
    skills.load("billing", "model")
    skills.load("staff", "manual")
    other = Skill("billing", instructions="Be quick.")
    assert skills.declare([other, STAFF, Skill("new", activation="always")]) == [
        Change("base", False, "manual"), Change("new", True, "manual"),
    ]  # fmt: skip
    assert skills.instructions == ("Be quick.", "Use first names.")
    assert skills.unload("new", "manual")
    assert skills.declare([other, Skill("new", activation="always")]) == [Change("staff", False, "manual")]
    assert skills.loaded == (other,)
    assert skills.declare([Skill("billing", activation="always"), BASE]) == [Change("base", True, "manual")]
    assert skills.declare([]) == [Change("billing", False, "manual"), Change("base", False, "manual")]
