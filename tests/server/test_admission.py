"""When further calls are refused because the event loop is late."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.admission import LATE, SAMPLES, Admission
from server.calls import AtCapacity
from server.looplag import PERIOD_S, LoopLag
from tests.fakes.loop import run_virtual
from tests.server.site import site


def fed(admission: Admission, *late_ms: float) -> bool:
    for ms in late_ms:
        admission.sample(ms / 1000)
    return admission.lagging


def test_a_stall_is_no_reason_and_a_loop_that_is_always_late_is() -> None:
    admission = Admission(150)
    assert not fed(admission, 5000, *[1] * 50, 160), "two in ten seconds"
    assert fed(admission, 151)
    assert not fed(Admission(150), *[149] * 1000)
    assert not fed(Admission(0), *[5000] * 1000), "switched off"


def test_it_takes_calls_again_when_it_is_well_below_the_bound() -> None:
    admission = Admission(150)
    assert fed(admission, *[200] * 10)
    assert fed(admission, *[100] * 1000), "no longer over it, but not far below"
    assert fed(admission, *[20] * (SAMPLES - LATE - 1))
    assert not fed(admission, 20)
    assert fed(admission, 200, 200, 200)
    assert admission.turns == 2


@given(st.lists(st.sampled_from([0.0, 60.0, 90.0, 200.0]), max_size=900))
def test_it_counts_as_the_window_has_it(late_ms: list[float]) -> None:
    admission, window, lagging = Admission(150), [0.0] * SAMPLES, False
    for ms in late_ms:
        window = [*window[1:], ms]
        admission.sample(ms / 1000)
        if sum(one > 150 for one in window) > LATE:
            lagging = True
        elif sum(one > 75 for one in window) <= LATE:
            lagging = False
        assert admission.lagging is lagging


def test_the_heartbeat_tells_how_late_it_is() -> None:
    async def main() -> None:
        told: list[float] = []
        lag = LoopLag(told.append)
        await asyncio.sleep(1.0)
        lag.close()
        assert len(told) == pytest.approx(1.0 / PERIOD_S, abs=1)
        assert max(told) < 1e-6

    run_virtual(main())


def test_what_is_told_while_it_lags(tmp_path: Path) -> None:
    async def main() -> None:
        async with site(tmp_path) as made:
            ready = await made.web.get("/readyz")
            assert (ready.status, orjson.loads(ready.body)) == (200, {"status": "ready", "database": "none"})
            made.begin()
            made.calls.lagging = lambda: True
            with pytest.raises(AtCapacity, match="TALKWIRE_MAX_LAG_MS"):
                made.ring("CA2")
            late = await made.web.get("/readyz")
            assert (late.status, orjson.loads(late.body)["status"]) == (503, "lagging")
            assert len(made.calls) == 1, "live calls go on"
            made.calls.draining = True
            assert orjson.loads((await made.web.get("/readyz")).body)["status"] == "draining"
            health = await made.web.get("/healthz")
            assert (health.status, orjson.loads(health.body)["status"]) == (200, "ok")

    run_virtual(main())
