"""What a model is told beside the conversation."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import prompt as module
from pipeline.prompt import VOICE_STYLE, Filled, Prompt

NOON = datetime(2026, 2, 28, 12, 5, tzinfo=UTC).timestamp()


def made(text: str, *, raw: bool = True, zone: str = "UTC", **variables: str) -> Prompt:
    prompt = Prompt()
    prompt.configure(text, raw=raw, variables=variables, zone=ZoneInfo(zone))
    return prompt


def rendered(prompt: Prompt) -> str:
    return prompt.render(NOON).text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{name}}.", "Hello Ada."),
        ("Hello {{ name }}{{\nname\t}}.", "Hello AdaAda."),
        ("{{{name}}}", "{Ada}"),
        ("{name} {{}} {{ }} {{two words}} {{#if}}", "{name} {{}} {{ }} {{two words}}"),
        ("{{nested}}", "{{name}}"),
        ("[{{empty}}{{RAG_CONTEXT}}{{MEMORY}}]", "[]"),
        ("{{date}} {{time}} {{day}} {{datetime}}", "2026-02-28 12:05 Saturday 2026-02-28 12:05"),
    ],
)
def test_variables_are_filled_in(template: str, text: str) -> None:
    prompt = made(template, name="Ada", nested="{{name}}", empty="")
    assert rendered(prompt) == text.strip()


def test_the_date_is_that_of_the_zone() -> None:
    block = rendered(made("{{date_block}}", zone="Pacific/Auckland"))
    assert block.startswith("Today is Sunday, 1 March 2026, and it is 01:05 (Pacific/Auckland). ")
    assert block.endswith("The next days: " + ", ".join([
        "Monday, 2 March", "Tuesday, 3 March", "Wednesday, 4 March", "Thursday, 5 March", "Friday, 6 March",
        "Saturday, 7 March", "Sunday, 8 March.",
    ]))  # fmt: skip
    assert rendered(made("{{day}}", zone="America/Lima")) == "Saturday"


def test_the_calls_own_variables_win_over_the_configured_ones_and_those_over_ours() -> None:
    prompt = made("{{day}} {{who}} {{time}}", day="someday", who="they")
    assert rendered(prompt) == "someday they 12:05"
    prompt.set_vars({"who": "you"})
    prompt.set_vars({"time": "late", "day": "today"})
    assert rendered(prompt) == "today you late"
    prompt.set_vars({"day": None, "nobody": None})
    assert rendered(prompt) == "someday you late"
    prompt.configure("{{day}} {{who}}", raw=True, variables={}, zone=UTC)
    assert rendered(prompt) == "Saturday you"


def test_an_unknown_name_is_left_empty_and_told_once() -> None:
    prompt = made("a{{one}}b{{two}}c{{one}}")
    assert prompt.render(NOON) == Filled("abc", ("one", "two"))
    assert prompt.render(NOON) == Filled("abc")
    assert prompt.fill("{{three}}{{one}}", NOON) == Filled("", ("three",))
    prompt.instruct(" ".join(f"{{{{x{i}}}}}" for i in range(200)))
    assert len(prompt.render(NOON).unknown) == module.MAX_TOLD - 3
    prompt.instruct("{{again}}")
    assert prompt.render(NOON).unknown == ()


def test_how_one_speaks_is_added_unless_the_prompt_is_wanted_verbatim() -> None:
    parts = prompt_parts(made(" Be kind. ", raw=False), "Do this.", note="Load them.")
    assert parts == ["Be kind.", VOICE_STYLE, "Load them.", "Do this."]
    assert prompt_parts(made("Be kind.", name="Ada"), "Do {{name}}.", note="Load them.") == [
        "Be kind.",
        "Do Ada.",
    ]
    assert prompt_parts(made("")) == []


def prompt_parts(prompt: Prompt, *skills: str, note: str = "") -> list[str]:
    text = prompt.render(NOON, skills, note).text
    return text.split("\n\n") if text else []


def test_contexts_come_behind_in_order_and_verbatim() -> None:
    prompt = made("Be kind.")
    prompt.put("screen", "The cart is empty.")
    prompt.add_context("One {{name}}.")
    prompt.add_context("Two.")
    prompt.put("form", "No form.")
    prompt.put("screen", "Two in the cart.")
    assert prompt_parts(prompt, "A skill.") == [
        "Be kind.", "A skill.", "One {{name}}.", "Two.", "Two in the cart.", "No form.",
    ]  # fmt: skip
    prompt.put("screen", None)
    prompt.put("nothing", None)
    assert prompt_parts(prompt)[-2:] == ["Two.", "No form."]


def test_instructions_hold_until_another_prompt_is_configured() -> None:
    prompt = made("Be kind.")
    prompt.instruct("Be brief.")
    prompt.configure("Be kind.", raw=True, variables={"x": "y"}, zone=UTC)
    assert rendered(prompt) == "Be brief."
    prompt.configure("Be slow.", raw=True, variables={}, zone=UTC)
    assert rendered(prompt) == "Be slow."


def test_all_of_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = made("{{a}}" * 1000, a="x" * 20_000)
    first = prompt.render(NOON, ["more {{b}}"])
    assert (len(first.text), first.cut, first.unknown) == (module.MAX_CHARS, True, ("b",))
    assert not prompt.render(NOON).cut, "it is told once"
    with pytest.raises(ValueError, match="at most 200 variables"):
        prompt.set_vars({f"v{i}": "" for i in range(201)})
    prompt.set_vars({f"v{i}": "" for i in range(200)})
    prompt.set_vars({"v0": None, "w": ""})
    with pytest.raises(ValueError, match="at most 400000 characters"):
        prompt.add_context("x" * (module.MAX_CONTEXT_CHARS + 1))
    prompt.add_context("x" * (module.MAX_CONTEXT_CHARS - 1))
    prompt.put("k", "y")
    prompt.put("k", "z")
    with pytest.raises(ValueError, match="these would have 400001"):
        prompt.put("k", "zz")
    monkeypatch.setattr(module, "MAX_CONTEXTS", 2)
    prompt.put("k", "")
    with pytest.raises(ValueError, match="at most 2 contexts"):
        prompt.put("l", "")
    with pytest.raises(ValueError, match="at most 2 contexts"):
        prompt.add_context("")


@given(st.lists(st.sampled_from(["{{a}}", "{{b}}", "{{", "}}", "{", "}", "a", " "]), max_size=20))
def test_what_is_filled_in_is_not_read_again(pieces: list[str]) -> None:
    template = "".join(pieces)
    prompt = made("", a="{{b}}")
    once = prompt.fill(template, NOON)
    assert once.text.count("{{b}}") >= template.count("{{a}}") - template.count("{{{a}}")
    assert set(once.unknown) <= {"b"}
    if "{{" not in template:
        assert once.text == template
