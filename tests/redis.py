"""The Redis of this machine, for tests: each with names of its own, which are deleted afterwards."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

SERVER = os.environ.get("TALKWIRE_TEST_REDIS", "redis://127.0.0.1:6379/0")


@contextmanager
def redis_prefix() -> Iterator[str]:
    """A prefix that nobody else uses. Skips where there is no Redis."""
    client = redis.Redis.from_url(SERVER, socket_connect_timeout=2)
    try:
        client.ping()
    except redis.RedisError as error:
        pytest.skip(f"no Redis at {SERVER.rpartition('@')[2]}: {error}")
    prefix = f"talkwire-test-{secrets.token_hex(6)}"
    try:
        yield prefix
    finally:
        for key in client.scan_iter(f"{prefix}:*", count=1000):
            client.delete(key)
        client.close()
