"""Messages that no sensible client sends: noise, and valid ones with something wrong in them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from server.protocol import COMMANDS, Connect
from tests.protocol.schema import DEFINITIONS, ODD_VALUES, sample

NUMBERS = (
    "1e400",
    "-1e400",
    "1" * 400,
    "1E+99999",
    "NaN",
    "-Infinity",
    "9223372036854775808",
    "-0",
    "1e-400",
    "0x10",
)
"""Some are no JSON, and each is more than some reader takes."""
KEYS = ("", "event", "__proto__", "a.b", "\u0000", "\U0001f600", "x" * 300, "ack")
DEEP = (50, 1000, 100_000)
LONG = (300, 70_000, 250_000)
TWILIO = ("connected", "start", "media", "mark", "dtmf", "stop", "nonsense")


class Messages:
    """Makes them; the same again from the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._commands = [command for command in COMMANDS if command is not Connect]
        self._kinds: tuple[Callable[[Any], bytes], ...] = (
            self._noise,
            self._cut,
            self._flipped,
            self._mistyped,
            self._mistyped,
            self._number,
            self._nested,
            self._long,
            self._keys,
            self._valid,
            self._valid,
        )

    def broken(self, frame: Any) -> bytes:
        """A message with something wrong in it, or not; most often a variation of ``frame``."""
        return self.rng.choice(self._kinds)(frame)

    def command(self, call_id: str, agent_id: str) -> dict[str, Any]:
        """A valid command for a call that is there, or for one that is not."""
        rng = self.rng
        ids = {
            "agent_id": rng.choice((agent_id, agent_id, "nobody", f"agent {rng.randrange(1000)}")),
            "call_id": rng.choice((call_id, call_id, "CAnobody", "x" * 200)),
            "message_id": f"m{rng.randrange(20)}",
            "ref": f"+1555{rng.randrange(1000):07d}",
            "in_reply_to": rng.choice(("", "m1")),
        }
        ids["session_id"] = ids["call_id"]
        full = rng.random() < 0.3
        frame: dict[str, Any] = sample(
            DEFINITIONS[rng.choice(self._commands).__name__], full=full, values=ids
        )
        if rng.random() < 0.1:
            frame["ack"] = "a" * rng.choice((1, 200))
        return frame

    def connect(self, key: str) -> dict[str, Any]:
        return {"event": "connect", "api_key": self.rng.choice((key, "wrong")), "protocol": "talkwire/1"}

    def carriers(self, call_sid: str, stream_sid: str, number: int) -> dict[str, Any]:
        """What a carrier sends on its media socket."""
        rng = self.rng
        event = rng.choices(TWILIO, weights=(1, 1, 90, 5, 1, 0.2, 1))[0]
        audio = base64.b64encode(rng.randbytes(rng.choice((160, 160, 160, 0, 1, 4000)))).decode()
        bodies: dict[str, Any] = {
            "connected": {"protocol": "Call", "version": "1.0.0"},
            "start": {
                "start": {"streamSid": stream_sid, "callSid": call_sid, "accountSid": "AC1", "tracks": []}
            },
            "media": {
                "media": {
                    "track": "inbound",
                    "chunk": str(number),
                    "timestamp": str(number * 20),
                    "payload": audio,
                }
            },
            "mark": {"mark": {"name": str(rng.randrange(5))}},
            "dtmf": {"dtmf": {"track": "inbound_track", "digit": rng.choice("0123456789*#AZ")}},
            "stop": {"stop": {"accountSid": "AC1", "callSid": call_sid}},
        }
        frame = {"event": event, "sequenceNumber": str(number), "streamSid": stream_sid}
        return {**frame, **bodies.get(event, {})}

    # --- kinds --------------------------------------------------------------------------------------------

    def _noise(self, _: Any) -> bytes:
        return self.rng.randbytes(self.rng.randrange(200))

    def _cut(self, frame: Any) -> bytes:
        """Often in the middle of a character."""
        data = json.dumps({**frame, "text": "héllo wörld \U0001f600" * 3}, ensure_ascii=False).encode()
        return data[: self.rng.randrange(len(data))]

    def _flipped(self, frame: Any) -> bytes:
        data = bytearray(_dump(frame))
        for _ in range(self.rng.randrange(1, 4)):
            data[self.rng.randrange(len(data))] = self.rng.randrange(256)
        return bytes(data)

    def _changed(self, frame: Any, value: Any) -> Any:
        """The same with something else in one place, at any depth."""
        if not isinstance(frame, dict) or not frame:
            return value
        key = self.rng.choice(list(frame))
        deeper = isinstance(frame[key], dict) and self.rng.random() < 0.7
        return {**frame, key: self._changed(frame[key], value) if deeper else value}

    def _mistyped(self, frame: Any) -> bytes:
        return _dump(self._changed(frame, self.rng.choice((None, *ODD_VALUES))))

    def _number(self, frame: Any) -> bytes:
        mark = '"@number@"'
        text = json.dumps(self._changed(frame, "@number@"))
        return text.replace(mark, self.rng.choice(NUMBERS)).encode()

    def _nested(self, frame: Any) -> bytes:
        depth = self.rng.choices(DEEP, weights=(5, 3, 0.2))[0]
        opening, closing = self.rng.choice((("[", "]"), ('{"a":', "}")))
        deep = opening * depth + "1" + closing * depth
        place = self._changed(frame, "@deep@") if self.rng.random() < 0.5 else {**frame, "deep": "@deep@"}
        return json.dumps(place).replace('"@deep@"', deep).encode()

    def _long(self, frame: Any) -> bytes:
        size = self.rng.choices(LONG, weights=(20, 1, 0.2))[0]
        return _dump(self._changed(frame, "x" * size))

    def _keys(self, frame: Any) -> bytes:
        return _dump({**frame, **{key: self.rng.choice(ODD_VALUES) for key in self.rng.choices(KEYS, k=3)}})

    def _valid(self, frame: Any) -> bytes:
        return _dump(frame)


def _dump(frame: Any) -> bytes:
    return json.dumps(frame).encode()
