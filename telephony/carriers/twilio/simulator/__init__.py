"""A far end that behaves like Twilio: one simulator for ``talkwire call``, for tests and for benchmarks.

::

    async with SimulatedCarrier("http://127.0.0.1:8080", auth_token=token) as carrier:
        call = await carrier.place_call("+15550001111", "+15550002222")
        await call.bot_speaking()
        question = await call.say_after_bot(Clip.from_wav("question.wav"))
        await question.finished()
        answer_s = await call.bot_speaking()
        call.hang_up()
        await call.ended()
    call.write_wav("call.wav")
"""

from __future__ import annotations

from telephony.carriers.twilio.simulator.call import CallEnd, CallOptions, Fact, SimulatedCall, Speech
from telephony.carriers.twilio.simulator.carrier import SimulatedCarrier, WebhookAnswer, new_sid
from telephony.carriers.twilio.simulator.clip import Clip
from telephony.carriers.twilio.simulator.delay import Delay
from telephony.carriers.twilio.simulator.errors import (
    CallHungUp,
    CallOver,
    CallRejected,
    ServerUnreachable,
    SimulatorError,
    StreamRefused,
    WebhookFailed,
)
from telephony.carriers.twilio.simulator.instructions import StreamPlan
from telephony.carriers.twilio.simulator.playback import Playback, Span, Underrun
from telephony.carriers.twilio.simulator.wire import MediaFormat

__all__ = [
    "CallEnd",
    "CallHungUp",
    "CallOptions",
    "CallOver",
    "CallRejected",
    "Clip",
    "Delay",
    "Fact",
    "MediaFormat",
    "Playback",
    "ServerUnreachable",
    "SimulatedCall",
    "SimulatedCarrier",
    "SimulatorError",
    "Span",
    "Speech",
    "StreamPlan",
    "StreamRefused",
    "Underrun",
    "WebhookAnswer",
    "WebhookFailed",
    "new_sid",
]
