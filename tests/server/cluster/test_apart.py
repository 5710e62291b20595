"""What a node begins for itself names no call in the log, whatever call it was noticed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.contextvars import bind_contextvars, get_contextvars

from server.cluster.mirror import Mirror
from server.cluster.node import RedisCluster
from server.cluster.peers import Peer, Peers
from server.settings import Settings
from tests.e2e.harness import free_port


@asynccontextmanager
async def a_node(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    cluster = RedisCluster(settings, "secret", ["key"])
    async with asyncio.TaskGroup() as tasks:
        book = SimpleNamespace(follow=lambda *_: None)
        cluster.services = cast(Any, SimpleNamespace(tasks=tasks, book=book))
        cluster.peers = Peers(cluster)
        yield cluster
    for client in cluster._clients:
        await client.aclose()


async def test_its_own_tasks_are_no_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whose: dict[str, object] = {}

    def note(what: str) -> None:
        whose[what] = get_contextvars().get("call_id")

    async def release(what: str, holder: str) -> None:
        note("release")

    async with a_node(tmp_path) as cluster:
        monkeypatch.setattr(cluster.directory, "release", release)
        monkeypatch.setattr(cluster.peers, "died", lambda node: note("died"))
        monkeypatch.setattr(cluster.peers, "part", lambda node: note("part"))
        peer = Peer(f"http://127.0.0.1:{free_port()}", 0, 0.0)
        cluster.peers.all["n2"] = peer
        owner = Mirror.__new__(Mirror)
        owner.node = "n2"
        bind_contextvars(call_id="CA1")
        cluster.where.release({"agent:x": "c1"})
        assert cluster.beats.suspect(owner)
        cluster.peers.overflowed("n2")
    assert whose == {"release": None, "died": None, "part": None}
