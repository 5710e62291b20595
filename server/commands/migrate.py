"""``talkwire migrate``: make the database's tables what this version of the server needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.settings import SettingsError
from server.settings.values import MEMORY

if TYPE_CHECKING:
    from server.settings import Settings


async def run(settings: Settings) -> int:
    """Safe to run at any time, and by several at once. Raises ``SettingsError``."""
    if settings.database == MEMORY:
        print("TALKWIRE_DATABASE_URL is memory: there is nothing to migrate")
        return 0
    from server.past import StoreUnavailable
    from server.store.migrate import WrongTables, upgrade
    from server.store.opened import database_of

    database = database_of(settings)
    try:
        before, after = await upgrade(database)
    except (StoreUnavailable, WrongTables) as error:
        raise SettingsError(f"{database.name}: {error}") from None
    finally:
        await database.aclose()
    done = (
        f"is of version {after} already"
        if before == after
        else f"is of version {after} now (was {before or 'empty'})"
    )
    print(f"{database.name} {done}")
    return 0
