"""A reply whose text comes in pieces, as a language model makes it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

from talkwire_agent.errors import ReplyAborted
from talkwire_agent.utterance import Heard, Utterance

if TYPE_CHECKING:
    from talkwire_agent.call import Call


class ReplyStream(Utterance):
    """::

        async with call.reply_stream() as stream:
            async for token in model(turn.text):
                await stream.write(token)

    The user may go on, or interrupt, or hang up: then what is written is void, and the block is left at once,
    from whatever it is waiting for. ``stream.aborted`` says why. Await the stream, behind the block, to learn
    what was heard.
    """

    def __init__(self, call: Call, message_id: str, in_reply_to: str, turn_id: int | None) -> None:
        super().__init__(call, message_id, "", in_reply_to)
        self.turn_id = turn_id
        """The turn that it answers."""
        self.aborted: str | None = None
        """Why nothing more can be written: ``turn_continued``, ``interrupted``, ``rejected``, ``call_ended``,
        ``disconnected`` or ``cancelled``."""
        self.closed = False
        self._inside: asyncio.Task[object] | None = None
        self._cancelling = False
        self._cancelled_before = 0

    async def write(self, token: str) -> None:
        """Add to the text. It is spoken from its first complete sentence on.

        Raises ``ReplyAborted`` where the stream is void, and ``RuntimeError`` behind ``end``.
        """
        if self.aborted is not None:
            raise ReplyAborted(f"the reply is void: {self.aborted}")
        if self.closed:
            raise RuntimeError("the stream has been ended")
        if not token:
            return
        self.text += token
        self.call.send("bot.reply.stream", action="chunk", message_id=self.id, token=token)
        await asyncio.sleep(0)

    def end(self) -> None:
        """The text is complete. Without any nothing is spoken."""
        if self.closed or self.aborted is not None:
            return
        self.closed = True
        self.call.send("bot.reply.stream", action="end", message_id=self.id)
        if not self.text.strip():
            self.settle(Heard("finished"))

    def cancel(self) -> None:
        """Stop it, and take no more text."""
        super().cancel()
        self.abort("cancelled")

    def abort(self, reason: str) -> None:
        """What is written from now on is void; whoever is inside of the block leaves it."""
        if self.aborted is not None or self.closed:
            return
        self.aborted = reason
        if self._inside is not None and self._inside is not asyncio.current_task():
            self._cancelling = True
            self._inside.cancel()

    def ended(self, heard: Heard) -> None:
        super().ended(heard)
        self.abort(heard.outcome)

    async def __aenter__(self) -> ReplyStream:
        if self.aborted is None:
            self._inside = asyncio.current_task()
            self._cancelled_before = self._inside.cancelling() if self._inside is not None else 0
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        inside, self._inside = self._inside, None
        if self._cancelling and inside is not None:
            # As asyncio.timeout does it: only the cancellation that is our own ends here.
            alone = inside.uncancel() <= self._cancelled_before
            if isinstance(error, asyncio.CancelledError):
                return alone
        if isinstance(error, asyncio.CancelledError):
            self.cancel()
        else:
            self.end()
        return isinstance(error, ReplyAborted) and self.aborted is not None
