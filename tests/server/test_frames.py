"""Frames that doors write themselves, as a client reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.websockets import WebSocket
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from server import frames
from server.frames import EXTENSION, frame, pieces, sending
from tests.fakes.loop import run_virtual


def read(data: bytes) -> Iterator[bytes]:
    """What a library's client makes of it."""
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    for event in client.events_received():
        assert isinstance(event, Frame)
        assert (event.opcode, event.fin) == (Opcode.TEXT, True)
        yield bytes(event.data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_is_one_text_whatever_its_length(size: int) -> None:
    text = b"x" * size
    assert list(read(frame(text))) == [text]


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_pieces_hold_all_texts_in_order_and_are_no_larger_than_they_need_to_be(sizes: list[int]) -> None:
    texts = [b"%d" % place + b"x" * size for place, size in enumerate(sizes)]
    made = list(pieces(texts))
    assert list(read(b"".join(made))) == texts
    assert all(len(piece) <= frames.AT_ONCE for piece in made)
    whole = sum(len(frame(text)) for text in texts)
    assert len(made) <= 1 + 2 * whole // frames.AT_ONCE


def test_a_large_text_goes_by_itself() -> None:
    texts = [b"a", b"b" * (2 * frames.AT_ONCE), b"c"]
    assert [list(read(piece)) for piece in pieces(texts)] == [[text] for text in texts]


class Writer:
    """A connection with room for so many pieces."""

    def __init__(self, room: int) -> None:
        self.left = room
        self.written = b""
        self.roomy = asyncio.Event()

    def has_room(self) -> bool:
        return self.left > 0

    async def room(self) -> None:
        await self.roomy.wait()

    def write(self, frames: bytes) -> None:
        self.left -= 1
        self.written += frames


def socket_with(writer: Writer) -> WebSocket:
    async def unused(*_: Any) -> Any:
        raise AssertionError("no message of ASGI is needed")

    scope = {"type": "websocket", "path": "/", "headers": [], "extensions": {EXTENSION: {"writer": writer}}}
    return WebSocket(scope, unused, unused)


def test_nobody_waits_while_there_is_room_and_not_longer_than_patience_where_there_is_none() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        writer = Writer(room=2)
        send = sending(socket_with(writer), 10.0)
        await send([b"one", b"two"])
        await send([b"three"])
        assert loop.time() == began
        loop.call_later(3.0, writer.roomy.set)
        await send([b"four"])
        assert loop.time() - began == pytest.approx(3.0)
        assert list(read(writer.written)) == [b"one", b"two", b"three", b"four"]
        writer.roomy.clear()
        with pytest.raises(TimeoutError):
            await send([b"five"])
        assert loop.time() - began == pytest.approx(13.0)

    run_virtual(main())
