"""The checks of ``talkwire doctor``, for tests to ask."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from server.commands.doctor import CHECKS, examine
from server.commands.doctor.case import examined
from server.commands.doctor.findings import Finding
from server.settings import Settings

Trust = Callable[[], ssl.SSLContext]


async def found(
    settings: Settings, *names: str, timeout_s: float = 10.0, context: Trust = ssl.create_default_context
) -> dict[str, Finding]:
    """What these checks find, side by side."""
    async with examined(settings, timeout_s=timeout_s, context=context) as case, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(examine(check, case)) for check in CHECKS if check.name in names]
        results = [await task for task in asked]
    assert len(results) == len(names), "a check that there is not"
    return {result.check.name: result.finding for result in results}


async def one(settings: Settings, name: str, **how: Any) -> tuple[str, str, str]:
    finding = (await found(settings, name, **how))[name]
    return finding.status, finding.text, finding.remedy
