"""A server that takes the calls of a PBX, and the PBX."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from tests.e2e.harness import KEY, Running, free_port, running
from tests.fakes.audiosocket import PbxCall, connected

AUTH = {"Authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def pbx(tmp_path: Path, **settings: Any) -> AsyncIterator[Running]:
    # This process is both ends: where it is held up, a small lead would be used up.
    values = {"audiosocket": f"127.0.0.1:{free_port()}", "audiosocket_lead_ms": 200, **settings}
    async with running(tmp_path, **values) as server:
        yield server


async def post(server: Running, headers: dict[str, str] = AUTH, **content: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(f"{server.url}/v1/audiosocket/calls", headers=headers, **content)


async def announced(server: Running, **told: Any) -> UUID:
    answer = await post(server, json={"from": "+15550001111", "to": "100", **told})
    assert answer.status_code == 200, answer.text
    return UUID(answer.json()["uuid"])


@asynccontextmanager
async def linked(server: Running, uuid: UUID | None, rate_hz: int = 8000) -> AsyncIterator[PbxCall]:
    assert server.settings.audiosocket is not None
    async with connected(server.settings.audiosocket, uuid, rate_hz) as call:
        yield call


@asynccontextmanager
async def called(server: Running, rate_hz: int = 8000, **told: Any) -> AsyncIterator[PbxCall]:
    async with linked(server, await announced(server, **told), rate_hz) as call:
        yield call
    assert call.faults == []
