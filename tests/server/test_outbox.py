from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from server.outbox import Outbox
from tests.fakes.loop import run_virtual


def test_messages_go_out_in_order_and_close_lets_them_go() -> None:
    async def main() -> list[str]:
        sent: list[str] = []

        async def send(texts: Sequence[bytes]) -> None:
            await asyncio.sleep(0.1)
            sent.extend(text.decode() for text in texts)

        box = Outbox()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(box.run(send))
            for number in range(5):
                assert box.offer(str(number).encode())
            await asyncio.sleep(0.05)
            box.close()
            assert not box.offer(b"too late")
        return sent

    assert run_virtual(main()) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(("messages", "size"), [(3, 1), (1, 400)])
def test_what_does_not_fit_overflows_and_nothing_more_is_sent(messages: int, size: int) -> None:
    async def main() -> int:
        sent = 0

        async def send(texts: Sequence[bytes]) -> None:
            nonlocal sent
            sent += 1

        box = Outbox(max_messages=3, max_bytes=500)
        for _ in range(messages):
            assert box.offer(b"x" * size)
        assert not box.offer(b"x" * 200)
        assert box.overflowed
        assert not box.offer(b"x")
        await box.run(send)
        return sent

    assert run_virtual(main()) == 0


def test_a_peer_that_never_reads_is_given_up_with_the_message_on_its_way() -> None:
    async def main() -> int:
        box = Outbox(max_messages=3)

        async def send(texts: Sequence[bytes]) -> None:
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(box.run(send))
            await asyncio.sleep(1.0)
            while box.offer(b"x"):
                await asyncio.sleep(0.1)
        return len(box.unsent()) + box.overflowed

    assert run_virtual(main()) == 1


def test_a_timeout_of_the_socket_passes_through() -> None:
    async def main() -> None:
        async def send(texts: Sequence[bytes]) -> None:
            raise TimeoutError

        box = Outbox()
        box.offer(b"x")
        with pytest.raises(TimeoutError):
            await box.run(send)

    run_virtual(main())


def test_a_peer_that_reads_slowly_is_waited_for_within_the_bound() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def send(texts: Sequence[bytes]) -> None:
            await gate.wait()

        box = Outbox(max_messages=3)  # the one on its way counts until it is sent
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(box.run(send))
            await asyncio.sleep(0)
            assert box.offer(b"in the socket")
            await asyncio.sleep(0.1)
            assert box.offer(b"1")
            assert box.offer(b"2")
            assert not box.offer(b"3")
            gate.set()
            await running

    run_virtual(main())


def test_what_the_socket_raises_passes_through() -> None:
    async def main() -> None:
        async def send(texts: Sequence[bytes]) -> None:
            raise ConnectionError("gone")

        box = Outbox()
        box.offer(b"x")
        with pytest.raises(ConnectionError):
            await box.run(send)

    run_virtual(main())
