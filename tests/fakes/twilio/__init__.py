"""A Twilio of our own: REST API, signed webhooks, TwiML that is really executed, and media streams in real time.

It is strict where Twilio is: a field that Twilio does not know is dropped without a word there, and is counted here
(``FakeTwilio.faults``); leaving the context fails where there is one that the test did not take out.
"""

from __future__ import annotations

from tests.fakes.twilio.account import Callee, FakeTwilio, Trouble
from tests.fakes.twilio.call import FakeCall
from tests.fakes.twilio.conference import Conference, loudness, tone

__all__ = ["Callee", "Conference", "FakeCall", "FakeTwilio", "Trouble", "loudness", "tone"]
