"""Looks at the nodes without being one: for the doctor."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from redis.asyncio import Redis

from server.cluster.directory import RedisAway, answered
from server.settings import Settings

__all__ = ["RedisAway", "nodes", "reached"]

CONNECT_S: Final = 2.0


async def nodes(settings: Settings) -> list[str]:
    """The private addresses of those that live. Raises ``RedisAway``."""
    assert settings.redis_url is not None
    url, prefix = settings.redis_url.get_secret_value(), settings.redis_prefix
    client: Any = await asyncio.to_thread(Redis.from_url, url, socket_connect_timeout=CONNECT_S, protocol=2)
    try:
        known = await answered(client.zrange(f"{prefix}:nodes", 0, -1))
        said = [await answered(client.get(f"{prefix}:node:{node.decode()}")) for node in known]
    finally:
        await client.aclose()
    return [orjson.loads(told)["url"] for told in said if told]


async def reached(url: str) -> bool:
    """Something listens at a node's address."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
