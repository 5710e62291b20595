"""What a language model is told of a conversation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import dialogue as module
from pipeline.dialogue import PENDING, Dialogue
from pipeline.ports import ChatMessage, ToolCall

A, B = ToolCall("a", "weather", '{"city":"Rome"}'), ToolCall("b", "weather", "{}")


def shape(messages: tuple[ChatMessage, ...]) -> list[str]:
    return [f"{m.role}:{m.content}" + "".join(f"+{c.id}" for c in m.tool_calls) for m in messages]


def told(dialogue: Dialogue) -> list[str]:
    return shape(dialogue.messages(""))


def talk() -> Dialogue:
    dialogue = Dialogue()
    dialogue.user(1, "how is it")
    return dialogue


def test_a_turn_may_go_on_whose_history_was_replaced_before_it() -> None:
    dialogue = talk()
    dialogue.set([ChatMessage("user", "hello"), ChatMessage("assistant", "Yes?"), *dialogue.get()])
    dialogue.user(1, "how is it in Rome")
    assert told(dialogue) == ["user:hello", "assistant:Yes?", "user:how is it in Rome"]
    assert dialogue.count == 3
    dialogue.set([ChatMessage("user", "something else")])
    dialogue.user(1, "how is it in Rome today")
    assert told(dialogue) == ["user:something else\nhow is it in Rome today"]


def test_the_prompt_comes_first_where_there_is_one() -> None:
    dialogue = talk()
    assert shape(dialogue.messages("Be brief.")) == ["system:Be brief.", "user:how is it"]
    assert shape(dialogue.messages()) == ["user:how is it"]


def test_the_users_turn_stands_in_its_last_wording() -> None:
    dialogue = talk()
    dialogue.user(1, "how is it in Rome")
    assert told(dialogue) == ["user:how is it in Rome"]
    dialogue.user(2, "hello")
    assert told(dialogue) == ["user:how is it in Rome\nhello"]
    assert dialogue.count == 2


def test_calls_and_their_results_stand_together() -> None:
    dialogue = talk()
    dialogue.call("m", [A, B])
    assert told(dialogue)[1:] == ["assistant:+a+b", f"tool:{PENDING}", f"tool:{PENDING}"]
    assert dialogue.result("m", "b", "cold")
    dialogue.user(1, "how is it in Rome")
    assert dialogue.result("m", "a", "no result")
    assert dialogue.result("m", "a", "sunny")
    assert told(dialogue) == [
        "user:how is it", "assistant:+a+b", "tool:sunny", "tool:cold", "user:how is it in Rome",
    ]  # fmt: skip
    assert [m.tool_call_id for m in dialogue.get()] == [None, None, "a", "b", None]
    assert dialogue.count == len(dialogue.get()) == 5
    assert not dialogue.result("m", "c", "what")
    assert not dialogue.result("n", "a", "what")


def test_what_is_being_said_is_taken_for_said_until_it_is_known() -> None:
    dialogue = talk()
    dialogue.saying("m1")
    assert told(dialogue) == ["user:how is it"]
    dialogue.said("m1", "Let me look that up.")
    dialogue.call("t", [A])
    assert told(dialogue)[1] == "assistant:Let me look that up.+a"
    assert shape(dialogue.get())[1] == "assistant:+a", "it was not heard yet"
    dialogue.saying("m2")
    dialogue.said("m2", "Sunny.")
    dialogue.bot("Wait.")
    dialogue.bot("Let me", "m1")
    assert told(dialogue)[1:] == ["assistant:Wait.\nLet me+a", f"tool:{PENDING}", "assistant:Sunny."]
    dialogue.unheard("m2")
    assert told(dialogue)[-1] == f"tool:{PENDING}"
    assert dialogue.count == len(dialogue.get()) == 5


def test_a_message_that_nothing_was_heard_of_leaves_the_users_turn_open() -> None:
    dialogue = talk()
    dialogue.saying("m1")
    dialogue.said("m1", "Hello.")
    dialogue.unheard("m1")
    dialogue.unheard("m1")
    dialogue.unheard("")
    dialogue.user(1, "how is it now")
    assert told(dialogue) == ["user:how is it now"]


def test_what_is_heard_of_a_message_that_was_forgotten_is_known() -> None:
    dialogue = talk()
    dialogue.saying("m1")
    dialogue.clear()
    dialogue.bot("Hello.", "m1")
    assert told(dialogue) == ["assistant:Hello."]


def test_what_is_ephemeral_is_forgotten_by_the_answer_that_knew_it() -> None:
    dialogue = talk()
    dialogue.call("m", [A, B])
    before = dialogue.revision
    dialogue.result("m", "a", "sunny", ephemeral=True)
    dialogue.answered(before)
    assert "tool:sunny" in told(dialogue), "the answer did not know it"
    dialogue.answered(dialogue.revision)
    assert told(dialogue)[1:] == ["assistant:+b", f"tool:{PENDING}"]
    assert not dialogue.result("m", "a", "late")
    dialogue.result("m", "b", "cold", ephemeral=True)
    dialogue.answered(dialogue.revision)
    assert told(dialogue) == ["user:how is it"]
    assert dialogue.count == 1


# --- what an agent asks -----------------------------------------------------------------------------------

PAST = (
    ChatMessage("user", "hi"),
    ChatMessage("assistant", "One moment.", (A,)),
    ChatMessage("tool", "sunny", tool_call_id="a"),
    ChatMessage("assistant", "Sunny."),
)


def test_an_agent_reads_and_writes_the_history() -> None:
    dialogue = talk()
    assert dialogue.add(PAST) == 5
    assert dialogue.get() == (ChatMessage("user", "how is it"), *PAST)
    assert dialogue.set(PAST) == 4
    assert dialogue.get() == PAST
    dialogue.user(1, "how is it")
    assert told(dialogue)[-1] == "user:how is it"
    assert dialogue.clear() == 0
    assert shape(dialogue.messages("Be kind.")) == ["system:Be kind."]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (PAST[:2], ["user:hi", "assistant:One moment."]),
        ((ChatMessage("assistant", "", (A,)),), []),
        ((PAST[0], PAST[2]), ["user:hi"]),
        ((*PAST[1:3], ChatMessage("tool", "rain", tool_call_id="a")), ["assistant:One moment.+a", "tool:sunny"]),
        ((PAST[1], PAST[0], PAST[2]), ["assistant:One moment.", "user:hi"]),
        ((ChatMessage("assistant", "", (A, A)), PAST[2], PAST[2]), ["assistant:+a", "tool:sunny"]),
        ((ChatMessage("user", "x", (A,)), PAST[2]), ["user:x"]),
        ((ChatMessage("assistant", "", (A, B)), PAST[2]), ["assistant:+a", "tool:sunny"]),
        ((ChatMessage("tool", "x"), ChatMessage("system", "y", (), "a")), ["system:y"]),
    ],
)  # fmt: skip
def test_of_a_history_only_what_a_model_takes_is_kept(
    given: tuple[ChatMessage, ...], kept: list[str]
) -> None:
    for change in (Dialogue.add, Dialogue.set):
        dialogue = Dialogue()
        assert change(dialogue, given) == len(kept)
        assert shape(dialogue.get()) == kept


def test_a_history_that_is_too_long_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dialogue = talk()
    assert dialogue.set([ChatMessage("user", str(i)) for i in range(module.MAX_KEPT)]) == module.MAX_KEPT
    with pytest.raises(ValueError, match=r"at most 10000 messages \(this would have 10001\)"):
        dialogue.add([ChatMessage("user", "one more")])
    assert (dialogue.count, dialogue.get()[0].content) == (module.MAX_KEPT, "0")
    assert len(dialogue.messages("")) == 1
    monkeypatch.setattr(module, "MAX_KEPT_CHARS", 10)
    with pytest.raises(ValueError, match=r"at most 10 characters \(this would have 11\)"):
        dialogue.set([ChatMessage("user", "x" * 11)])
    assert dialogue.count == module.MAX_KEPT


ANY = st.lists(
    st.builds(
        ChatMessage,
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.sampled_from(["", "x"]),
        st.sampled_from([(), (A,), (B, A), (A, A)]),
        st.sampled_from([None, "a", "b", "c"]),
    ),
    max_size=12,
)


@given(ANY)
def test_whatever_an_agent_gives_is_a_history_that_a_model_takes(messages: list[ChatMessage]) -> None:
    dialogue = Dialogue()
    assert dialogue.add(messages) == len(dialogue.get()) == dialogue.count
    _well_formed(dialogue.messages("Be kind."))
    assert dialogue.set(messages) == dialogue.count


def test_results_of_what_was_forgotten_are_nothing() -> None:
    dialogue = talk()
    dialogue.call("m", [A])
    dialogue.set(PAST[:1])
    assert not dialogue.result("m", "a", "sunny")
    assert told(dialogue) == ["user:hi"]


def test_the_model_is_told_of_the_end_of_a_long_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 100)
    monkeypatch.setattr(module, "MAX_MESSAGES", 10)
    monkeypatch.setattr(module, "MAX_CHARS", 1000)
    dialogue = Dialogue()
    for i in range(60):
        dialogue.user(i, f"u{i}")
        dialogue.call(f"m{i}", [A])
        dialogue.result(f"m{i}", "a", f"r{i}")
    assert dialogue.count == len(dialogue.get()) <= 100
    assert dialogue.messages("")[-1].content == "r59"
    assert len(dialogue.messages("")) <= 10
    dialogue.user(99, "x" * 990)
    assert [len(m.content) for m in dialogue.messages("")] == [990]
    dialogue.user(99, "x" * 5000)
    assert [len(m.content) for m in dialogue.messages("")] == [5000], "the last word is told in any case"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["user", "saying", "said", "bot", "unheard", "call", "result", "answered", "clear", "set"]),
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@given(STEPS)
def test_every_request_is_one_that_a_model_takes(steps: list[tuple[str, int, bool]]) -> None:
    dialogue = Dialogue()
    used: set[str] = set()
    for number, (what, n, flag) in enumerate(steps):
        match what:
            case "user":
                dialogue.user(n, f"u{number}")
            case "saying" if f"m{n}" not in used:
                used.add(f"m{n}")
                dialogue.saying(f"m{n}")
            case "said":
                dialogue.said(f"m{n}", f"s{number}")
            case "bot":
                dialogue.bot(f"b{number}", f"m{n}" if flag else "")
            case "unheard":
                dialogue.unheard(f"m{n}")
            case "call" if f"t{n}" not in used:
                used.add(f"t{n}")
                dialogue.call(f"t{n}", [A, B] if flag else [A])
            case "result":
                dialogue.result(f"t{n}", "ab"[number % 2], f"r{number}", ephemeral=flag)
            case "answered":
                dialogue.answered(dialogue.revision)
            case "clear" if n == 0:
                dialogue.clear()
            case "set" if n == 0:
                dialogue.set(PAST)
            case _:
                pass
        assert dialogue.count == len(dialogue.get())
        for messages in (dialogue.messages("Be kind."), dialogue.get()):
            _well_formed(messages)
        assert not any(m.content.startswith("s") for m in dialogue.get() if m.role == "assistant")


def _well_formed(messages: tuple[ChatMessage, ...]) -> None:
    wanted: list[str | None] = []
    for message in messages:
        if message.role == "tool":
            assert wanted
            assert message.tool_call_id == wanted.pop(0)
        else:
            assert not wanted
            wanted = [call.id for call in message.tool_calls]
    assert not wanted
