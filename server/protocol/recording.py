"""The recording of a call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from server.protocol.base import Allowed, CallEvent

RecordingFormat = Annotated[Literal["wav", "opus"], Allowed("wav or opus")]
RecordingChannels = Annotated[Literal["stereo", "mono", "user", "bot"], Allowed("stereo, mono, user or bot")]
ConsentBy = Literal["spoken", "tone"]
_PLACE = "Place in the recording, milliseconds."


class RecordingStarted(CallEvent):
    """What user and bot say is kept from here on: in a call that is recorded, with its beginning; else after
    `recording.start`.
    """

    event: Literal["recording.started"] = "recording.started"
    at_ms: int = Field(
        ge=0, description=f"{_PLACE} A recording begins with the call: before this it is silent."
    )
    format: RecordingFormat = Field(description="As in `call.recording`.")
    channels: RecordingChannels = Field(description="As in `call.recording`.")
    consent: ConsentBy | None = Field(
        default=None,
        description="How the caller is told: words, which are a message of their own, or a tone. Absent: he is not.",
    )


class RecordingAnnounced(CallEvent):
    """The caller has heard to its end that he is recorded. It does not come where he hangs up before, or where the
    agent cancels the message.
    """

    event: Literal["recording.announced"] = "recording.announced"
    at_ms: int = Field(ge=0, description=_PLACE)
    by: ConsentBy = Field(description="How he was told.")
    text: str | None = Field(default=None, description="The words, where there were any.")


class RecordingPaused(CallEvent):
    """Nothing that is said is kept from here on: in the recording it is silence. All else goes on, the transcript,
    too."""

    event: Literal["recording.paused"] = "recording.paused"
    at_ms: int = Field(ge=0, description=_PLACE)


class RecordingResumed(CallEvent):
    """What is said is kept again."""

    event: Literal["recording.resumed"] = "recording.resumed"
    at_ms: int = Field(ge=0, description=_PLACE)


class CallRecording(CallEvent):
    """The recording of an ended call, where there is one.

    Follows `call.ended`, which does not wait for it. For a client that did not announce `talkwire/1` in `connect` it
    comes just before, since such clients drop what comes after; there `call.ended` waits for a second at most. Of a call
    whose server was killed it stands in the log behind the end that the next one has told.
    """

    event: Literal["call.recording"] = "call.recording"
    audio: str | None = Field(
        default=None,
        description="The file, base64. Absent where it is larger than the operator lets messages be "
        "(`TALKWIRE_RECORDING_INLINE_BYTES`) or than the client takes (`max_message_bytes` of `connect`), and where the "
        "event is told once more, later: fetch `url`.",
    )
    url: str | None = Field(
        default=None,
        description="Where the file can be fetched (`GET`, with byte ranges), for as long as the operator allows. "
        "Whoever has it needs no key.",
    )
    duration_ms: int = Field(ge=0, description="Length, milliseconds.")
    format: RecordingFormat = Field(default="wav", description="Kind of file: 16-bit WAV, or Opus in Ogg.")
    sample_rate: int = Field(ge=1, description="Samples a second; 8000 for a phone call.")
    channels: RecordingChannels = Field(
        default="stereo",
        description="`stereo`: the user left, the bot right. `mono`: both in one channel. `user`, `bot`: one side.",
    )
    started_at: float | None = Field(
        default=None,
        description="When its first sample was, epoch seconds: what an event tells with the `ts` t is heard at "
        "t - `started_at` in it.",
    )
