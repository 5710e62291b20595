"""SIGKILL at some instant of some calls: what happened before is in the log, and every call is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.crash import killed
from tests.server.store.databases import database_url
from tests.server.store.home import migrated

pytestmark = [pytest.mark.e2e, pytest.mark.alone]


@pytest.mark.parametrize(("kind", "seed"), [("sqlite", 1), ("postgres", 2)])
async def test_a_killed_server_leaves_every_event_and_no_open_call(
    tmp_path: Path, kind: str, seed: int
) -> None:
    with database_url(kind, tmp_path) as url:
        await migrated(url)
        # How late it is at most is measured by the benchmark: here the machine may be busy.
        found = await killed(tmp_path / "data", 5, seed, late_s=0.5, TALKWIRE_DATABASE_URL=url)
    assert found.faults == [], found
    assert found.calls == 5
    assert found.events > 20
    assert found.recordings >= 3
