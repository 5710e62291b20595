"""What nodes tell each other: dictionaries of JSON, with ``t`` for what they are. Pure.

Of a pair of nodes each direction is a link: its messages are numbered from 1, in one epoch of the link. One that misses
some says so, and both begin anew with ``hello``, which holds all that the other has to know. So a link that broke, a node
that comes and a Redis that lost everything are one thing.

    hello   the connections of agents here (``conns``), each with how far it has come in calls of the node that is told;
            ``answer``: tell yours
    open    an agent process has connected
    reg     what it registers, as it came
    gone    it is gone; ``sent``: how far it was told calls of the node that is told
    cmd     a command of it for a call of the node that is told
    did     it was carried out
    ev      an event of a call, for a connection of the node that is told
    say     anything else for it
    slow    a connection that could not keep up: close it
    acks    how far connections were told, and when they were heard last; ``room``: for how many further calls
    died    a node is dead
    told    how far agents were told its calls
    ended   the end of one of these, for whoever had it
    call    what a call looks like in the list, with how it began where that is new; without ``as``: it is over
    noted   the logs of agents, by slug, have more
    forget  calls that were deleted
    bye     the node stops
"""

from __future__ import annotations

from typing import Any

import orjson

Message = dict[str, Any]
MAX_BATCH = 256
"""Messages that are told at once."""
MAX_BATCH_BYTES = 1 << 20


def pack(messages: list[Message]) -> bytes:
    return orjson.dumps(messages)


def unpack(data: bytes) -> list[Message]:
    """Raises ``ValueError``."""
    told = orjson.loads(data)
    if not isinstance(told, list) or not all(isinstance(message, dict) for message in told):
        raise ValueError("no list of messages")
    return told


class Ahead:
    """The messages of one link that have come: which of them are new."""

    def __init__(self) -> None:
        self.epoch = ""
        self._next = 1
        self.broken = False
        """Some are missing: nothing counts until the link begins anew."""

    def take(self, epoch: str, first: int, messages: list[Message]) -> list[Message]:
        """Those of a batch that were not here yet. Of a broken link: none."""
        if first == 1 and epoch != self.epoch:
            # Who begins anew says all: else something before it is missing.
            self.epoch, self._next, self.broken = epoch, 1, messages[0]["t"] != "hello"
        if epoch != self.epoch or first > self._next:
            self.broken = True
        if self.broken:
            return []
        fresh = messages[self._next - first :]
        self._next = max(self._next, first + len(messages))
        return fresh
