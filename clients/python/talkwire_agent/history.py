"""The history of the server's language model, as its agent may read and change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from talkwire_agent.events import HistoryMessage
from talkwire_agent.pending import Pending
from talkwire_agent.requests import Requests

Messages = Iterable[HistoryMessage | Mapping[str, Any]]


class History:
    """What the server's language model knows of a call besides its prompt: ``Call.history``.

    What changes it is sent at once; awaiting it gives the number of messages after it. Awaiting raises
    ``Refused`` (there is no model on this call, for example), ``RequestTimeout`` after 10 s, and
    ``ConnectionLost`` from ``add`` where the connection went before the answer came.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def get(self) -> Pending[list[HistoryMessage]]:
        """All messages, as the model is given them; of a call without one, what was said."""
        return self._requests.ask("history.get", again=True)

    def add(self, messages: Messages) -> Pending[int]:
        """Put messages behind those that are there: ``{"role": "user", "content": "..."}``."""
        return self._requests.ask("history.add", again=False, messages=_frames(messages))

    def set(self, messages: Messages) -> Pending[int]:
        """Put these in place of all that are there."""
        return self._requests.ask("history.set", again=True, messages=_frames(messages))

    def clear(self) -> Pending[int]:
        """Forget all messages; the prompt stays."""
        return self._requests.ask("history.clear", again=True)


def _frames(messages: Messages) -> list[dict[str, Any]]:
    given = [messages] if isinstance(messages, str | Mapping) else list(messages)
    if isinstance(messages, Mapping) or not all(isinstance(one, HistoryMessage | Mapping) for one in given):
        raise TypeError('messages are a list, each like {"role": "user", "content": "..."}')
    return [
        message.model_dump(exclude_none=True) if isinstance(message, HistoryMessage) else dict(message)
        for message in given
    ]
