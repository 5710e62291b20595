"""What voicemails and screening robots say is told from what humans say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.machines import MAX_CHARS, recognise


@pytest.mark.parametrize(
    "text",
    [
        "Hi, you've reached the voicemail of Bob. Please leave a message after the tone.",
        "The person you are calling is not available. At the tone, please record your message.",
        "Your call has been forwarded to an automated voice messaging system.",
        "the mailbox is full",
        "I can't come to the phone right now, so leave me a short message.",
        "When you have finished recording you may hang up or press 1 for more options.",
        "El buzón de voz de Ana. Deje su mensaje después de la señal.",
        "Bitte hinterlassen Sie eine Nachricht nach dem Signalton.",
        "Vous êtes sur la messagerie vocale de Paul, laissez un message après le bip.",
        "Deixe a sua mensagem após o sinal.",
    ],
)
def test_a_voicemail_gives_itself_away(text: str) -> None:
    found = recognise(text)
    assert found is not None
    assert found.kind == "machine"
    assert found.words in " ".join(text.lower().split())


@pytest.mark.parametrize(
    "text",
    [
        "Hi, if you record your name and reason for calling, I'll see if this person is available.",
        "The person you're calling is using a screening service from Google. Please say your name.",
        "Please state your name and the purpose of your call after the beep.",
        "To prove it press 1 to be connected.",
    ],
)
def test_a_robot_that_screens_is_told_from_a_voicemail(text: str) -> None:
    found = recognise(text)
    assert found is not None
    assert found.kind == "screening"


@pytest.mark.parametrize(
    "text",
    [
        "Hello?",
        "Hello, who's calling please?",
        "Bob's Pizza, how can I help you?",
        "He is not available right now, would you like to leave a message?",
        "Can I leave a message for him?",
        "Möchten Sie eine Nachricht hinterlassen?",
        "¿Quiere dejar un mensaje?",
        "Voulez-vous laisser un message ?",
        "May I ask your name and what this is about?",
        "I am at the moment in a meeting, can you call me later?",
        "She can take a message.",
        "",
    ],
)
def test_a_human_is_none(text: str) -> None:
    assert recognise(text) is None


@given(st.text(max_size=3000))
def test_any_text_is_taken(text: str) -> None:
    recognise(text)


def test_only_the_beginning_is_looked_at() -> None:
    assert recognise("a" * MAX_CHARS + " leave a message after the tone") is None
