"""What several processes on one port need."""

from __future__ import annotations

from typing import Any

import pytest

from server.settings import Settings, SettingsError
from server.supervisor import check

REDIS = "redis://127.0.0.1:6379"


def test_a_redis_and_a_database_are_enough() -> None:
    check(Settings(workers=2, redis_url=REDIS))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "TALKWIRE_REDIS_URL"),
        ({"redis_url": REDIS, "database_url": "memory"}, "SQLite"),
    ],
)
def test_what_is_missing_is_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        check(Settings(workers=2, **more))


@pytest.mark.parametrize("workers", [0, 65])
def test_a_number_that_makes_no_sense_is_told(workers: int) -> None:
    with pytest.raises(SettingsError, match="between 1 and 64"):
        Settings().with_workers(workers)
