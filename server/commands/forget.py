"""``talkwire forget NUMBER``: delete what is kept of one caller, without a server."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from server.settings import SettingsError
from server.settings.values import MEMORY

if TYPE_CHECKING:
    from server.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("caller", help="as `from` of his calls has it, for example +15550001111")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Prints how much it was. Raises ``SettingsError``."""
    if settings.database == MEMORY:
        raise SettingsError(
            "TALKWIRE_DATABASE_URL is memory: only the server itself knows its calls (DELETE /v1/callers/NUMBER)"
        )
    from server.forgetting import forget
    from server.past import MemoryStore, StoreUnavailable
    from server.recordings import Recordings
    from server.store.kept import KeptCalls
    from server.store.migrate import WrongTables, check
    from server.store.opened import database_of

    database = database_of(settings)
    try:
        await check(database)
        calls = KeptCalls(database, lambda op: None, "", fresh=MemoryStore(0, 0))
        gone, _ = await forget(args.caller, calls, Recordings(settings.data_dir / "recordings"))
    except (StoreUnavailable, WrongTables) as error:
        raise SettingsError(f"{database.name}: {error}") from None
    finally:
        await database.aclose()
    print(json.dumps(gone.as_json(args.caller)))
    return 0
