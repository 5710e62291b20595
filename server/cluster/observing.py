"""The book of calls, with the other nodes told of each call besides."""

from __future__ import annotations

from pipeline.monitor import Listener
from server.book import CallBook
from server.call import Call
from server.cluster.port import Cluster


class Observing:
    """What the registry of calls tells."""

    def __init__(self, book: CallBook, cluster: Cluster) -> None:
        self._book = book
        self._cluster = cluster

    def rang(self, call: Call) -> None:
        self._book.rang(call)
        self._cluster.rang(call.call_id)

    def listener(self, call: Call, sample_rate_hz: int) -> Listener | None:
        return self._book.listener(call, sample_rate_hz)

    def over(self, call: Call, *, recorded: bool = False) -> None:
        self._book.over(call, recorded=recorded)
        self._cluster.over(call.call_id)
