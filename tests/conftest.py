"""What holds for all tests: nothing of ours blocks the event loop, and none fails for being slow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

# How long an example takes is the machine's affair: a test that fails for it says nothing.
settings.register_profile("talkwire", deadline=None)
settings.load_profile("talkwire")


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """A blocking call that our code makes on a running loop raises. It sees Python's calls, not native ones:
    for those there is the heartbeat of ``server.looplag``."""
    if request.node.get_closest_marker("inline_io"):
        yield None
        return
    with blockbuster_ctx(["server", "media", "pipeline", "telephony"]) as blockbuster:
        for function in ("os.stat", "io.BufferedReader.read"):
            # A time zone's file: two kilobytes, once.
            blockbuster.functions[function].can_block_in("zoneinfo/_tzpath.py", {"find_tzfile"})
            blockbuster.functions[function].can_block_in("zoneinfo/_common.py", {"load_data", "load_tzdata"})
        yield blockbuster
