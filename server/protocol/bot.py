"""What the caller hears of the bot."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from server.protocol.base import CallEvent

InterruptReason = Literal["early", "user_spoke", "cancelled"]
AbortReason = Literal["early", "new_turn", "cancelled", "call_ended", "duplicate_greeting"]
PauseReason = Literal["user_spoke", "held"]


class BotSpeaking(CallEvent):
    """The first sound of a message is heard. Comes before all else that is told of its being heard."""

    event: Literal["bot.speaking"] = "bot.speaking"
    message_id: str = Field(description="The message: the client's own id, or the server's for a greeting.")
    text: str = Field(description="All of it; empty for a streamed message.")


class BotWord(CallEvent):
    """A word begins to be heard."""

    event: Literal["bot.word"] = "bot.word"
    message_id: str = Field(description="The message.")
    word: str = Field(description="The word, with its punctuation.")
    word_index: int = Field(ge=0, description="Place in the message, from 0.")
    start_time: float | None = Field(
        default=None, ge=0, description="Its beginning, seconds from the first sound of the message."
    )
    end_time: float | None = Field(
        default=None, ge=0, description="Its end, seconds from the first sound of the message."
    )


class BotOutput(CallEvent):
    """A part of what the bot says, as `events.bot_output` wants it.

    `sentence`: once when its voice is asked for it (`spoken` false), and once when it was heard to its end
    (`spoken` true); where it was cut off with the part that was heard, if any. One that is never heard has no
    second event. What is said at once counts as one: that may be the first clause of a long sentence.
    `word`: once when it begins to be heard, behind its `bot.word`.
    """

    event: Literal["bot.output"] = "bot.output"
    message_id: str = Field(description="The message.")
    segment_id: int = Field(
        ge=0, description="Place in the message, from 0; both events of a sentence have the same."
    )
    text: str = Field(description="The sentence or the word.")
    spoken: bool = Field(description="True: it was heard; false: it is going to be said.")
    aggregated_by: Literal["sentence", "word"] = Field(description="What it is.")


class TtsStarted(CallEvent):
    """The voice begins to make a message. This is its own pace, ahead of what is heard."""

    event: Literal["tts.started"] = "tts.started"
    message_id: str = Field(description="The message.")


class TtsStopped(CallEvent):
    """The voice has made all of a message, or what is left of it is not wanted any more. Each `tts.started` has
    exactly one.
    """

    event: Literal["tts.stopped"] = "tts.stopped"
    message_id: str = Field(description="The message.")
    characters: int = Field(ge=0, description="Of text that it was given for this message, made or not.")


class BargeIn(CallEvent):
    """The user's voice has cut off what the bot was saying. Right behind the `bot.interrupted`."""

    event: Literal["barge_in"] = "barge_in"
    cancelled_message_id: str = Field(description="The message that was cut off.")


class BotPaused(CallEvent):
    """The bot fell silent within a message, and may go on with it: the user spoke over it, and that may be an
    interruption or only an "mhm"; or the call was put on hold. `bot.resumed` or `bot.interrupted` follows.
    """

    event: Literal["bot.paused"] = "bot.paused"
    message_id: str = Field(description="The message.")
    played_ms: int = Field(ge=0, description="Audio of it that was heard so far, milliseconds.")
    words_spoken: int = Field(ge=0, description="Words of it that began to be heard.")
    reason: PauseReason = Field(description="`user_spoke`: over the bot; `held`: the call is on hold.")


class BotResumed(CallEvent):
    """The bot goes on with a paused message. A word that was cut in the middle is said from its beginning; its
    `bot.word` is not repeated.
    """

    event: Literal["bot.resumed"] = "bot.resumed"
    message_id: str = Field(description="The message.")
    word_index: int = Field(ge=0, description="The word that is heard next, from 0.")


class BotFinished(CallEvent):
    """The message was heard to its end."""

    event: Literal["bot.finished"] = "bot.finished"
    message_id: str = Field(description="The message.")
    duration_ms: int = Field(ge=0, description="Audio that was heard, milliseconds.")
    text: str | None = Field(
        default=None,
        description="What the caller heard, where its `bot.speaking` had another text, or none. Absent: that was it.",
    )
    corrects: int | None = Field(
        default=None, description="The `seq` of that `bot.speaking`, where there is a `text`."
    )


class BotInterrupted(CallEvent):
    """The message was cut off, or never began to be heard. It has no `bot.finished`."""

    event: Literal["bot.interrupted"] = "bot.interrupted"
    message_id: str = Field(description="The message.")
    played_ms: int = Field(ge=0, description="Audio that was heard, milliseconds; 0: it never began.")
    words_spoken: int = Field(ge=0, description="Words that began to be heard.")
    last_word: str | None = Field(default=None, description="The last of them.")
    reason: InterruptReason = Field(
        description="`early`: the user spoke before 2000 ms were heard; `user_spoke`: later; `cancelled`: by "
        "the agent, or the call ended."
    )


class MessageConfirmed(CallEvent):
    """What was heard of a message entered the history. Once for a message, after its end."""

    event: Literal["message.confirmed"] = "message.confirmed"
    message_id: str = Field(description="The message.")
    text: str = Field(description="What the caller heard of it.")
    finished: bool = Field(
        default=False, description="True: it was heard to its end (`bot.finished`); false: it was cut off."
    )
    corrects: int | None = Field(
        default=None,
        description="The `seq` of its `bot.speaking`, where that had another text, or none. Absent: it was heard as "
        "it was told.",
    )


class MessageAborted(CallEvent):
    """Nothing of a message entered the history: it was not heard, or cut off early."""

    event: Literal["message.aborted"] = "message.aborted"
    message_id: str = Field(description="The message.")
    reason: AbortReason = Field(
        description="`early`: cut off before 2000 ms were heard; `new_turn`: the user went on before it was "
        "heard; `cancelled`: by the agent; `call_ended`: the call was over first; `duplicate_greeting`: the agent "
        "was told of the call once more, and greeted as it had done."
    )
    corrects: int | None = Field(
        default=None,
        description="The `seq` of its `bot.speaking`, where it had begun: what that told is not kept.",
    )


class ReplyRejected(CallEvent):
    """A reply was not accepted and is not spoken. No other event of the message follows."""

    event: Literal["reply.rejected"] = "reply.rejected"
    message_id: str = Field(description="The message.")
    in_reply_to: str = Field(description="What the reply named.")
    expected_reply_to: str = Field(description="What it would have had to name; empty where nothing fits.")
    reason: str = Field(
        description="`message_obsolete`: the user has gone on; `call_ended`: the call is ending; `taken_over`: a person "
        "has the conversation, until `handoff.released`; others in words."
    )
