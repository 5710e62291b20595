"""The installation that is examined, and what several checks want to know of it, each asked once."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from server.auth import is_loopback
from server.compose import started
from server.engines import EnginePool
from server.secrets import SIGNING_FILE
from server.settings import Settings
from server.tokens import DOCTOR, TokenError, Tokens
from telephony.carriers.twilio.rest import Rest

Known = TypeVar("Known")
LISTENS_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
USER_AGENT = "talkwire-doctor"
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Local:
    """What answers at the address that the server listens on."""

    version: str | None
    """Of the Talkwire that does; None: none does."""
    ours: bool = False
    """It knows the secret in this data directory."""


class Case:
    """What the checks are given. ``timeout_s``: the deadline of each of them."""

    def __init__(
        self,
        settings: Settings,
        timeout_s: float,
        context: ssl.SSLContext,
        tokens: Tokens | None,
        http: httpx.AsyncClient,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.settings = settings
        self.timeout_s = timeout_s
        self.context = context
        """Whose certificates are trusted."""
        self.http = http
        self._tokens = tokens
        self._tasks = tasks
        self._asked: dict[str, asyncio.Task[Any]] = {}
        self._keeping: asyncio.Task[None] | None = None

    def close(self) -> None:
        """All checks are over."""
        for task in (*self._asked.values(), *filter(None, [self._keeping])):
            task.cancel()

    async def _once(self, name: str, ask: Callable[[], Coroutine[Any, Any, Known]]) -> Known:
        """The answer to a question that more than one check has. A check that gives up does not take it from the
        others."""
        if name not in self._asked:
            self._asked[name] = self._tasks.create_task(_told(ask()), name=name)
        answer: Known | Exception = await asyncio.shield(self._asked[name])
        if isinstance(answer, Exception):
            raise answer
        return answer

    # --- who answers --------------------------------------------------------------------------------------

    def is_ours(self, proof: str, nonce: str) -> bool:
        """Whether what a server answered shows that it is the one of this data directory."""
        try:
            return self._tokens is not None and self._tokens.check(proof, DOCTOR) == nonce
        except TokenError:
            return False

    @property
    def local_url(self) -> str:
        host = LISTENS_EVERYWHERE.get(self.settings.host, self.settings.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.settings.port}"

    @property
    def is_public(self) -> bool:
        """``TALKWIRE_PUBLIC_URL`` names an address that others than this machine could reach."""
        return not is_loopback(httpx.URL(self.settings.public_url).host)

    async def local(self) -> Local:
        return await self._once("local", self._local)

    async def _local(self) -> Local:
        nonce = new_nonce()
        try:
            answer = await self.http.get(f"{self.local_url}/healthz", params={"nonce": nonce})
            told = answer.json()
        except (httpx.HTTPError, ValueError):
            return Local(None)
        if not isinstance(told, dict) or "version" not in told:
            return Local(None)
        return Local(str(told["version"]), self.is_ours(str(told.get("proof", "")), nonce))

    # --- the carrier --------------------------------------------------------------------------------------

    def rest(self, *tokens: str) -> Rest:
        """The carrier's API with the tokens that are set, or these."""
        settings = self.settings
        assert settings.twilio_account_sid is not None
        chosen = tokens or tuple(settings.twilio_auth_tokens.values())
        return Rest(settings.twilio_account_sid, chosen, settings.twilio_api_url, timeout_s=self.timeout_s)

    # --- the engines --------------------------------------------------------------------------------------

    async def engines(self) -> EnginePool:
        """All of them, loaded as the server loads them. Raises what the server would not start with."""
        return await self._once("engines", self._engines)

    async def _engines(self) -> EnginePool:
        loaded: asyncio.Future[EnginePool] = asyncio.get_running_loop().create_future()
        self._keeping = self._tasks.create_task(self._keep(loaded), name="keep engines")
        return await loaded

    async def _keep(self, loaded: asyncio.Future[EnginePool]) -> None:
        """Until all checks are over."""
        try:
            async with started(self.settings) as pool:
                if not loaded.done():
                    loaded.set_result(pool)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 - whoever waits for them is told
            if not loaded.done():
                loaded.set_exception(error)


@asynccontextmanager
async def examined(
    settings: Settings,
    *,
    timeout_s: float = TIMEOUT_S,
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> AsyncIterator[Case]:
    """The installation of these settings, while it is examined."""
    # Both read files.
    trusted = await asyncio.to_thread(context)
    tokens = await asyncio.to_thread(_tokens, settings.data_dir / SIGNING_FILE)
    headers = {"User-Agent": USER_AGENT}
    # Who does not answer is to be named, and not only that the check took too long.
    request_s = timeout_s * 0.6
    async with (
        httpx.AsyncClient(verify=trusted, timeout=request_s, trust_env=False, headers=headers) as http,
        asyncio.TaskGroup() as tasks,
    ):
        case = Case(settings, timeout_s, trusted, tokens, http, tasks)
        try:
            yield case
        finally:
            case.close()


async def _told(question: Coroutine[Any, Any, Known]) -> Known | Exception:
    """What a question comes to: as a value, since a task that fails would end all others."""
    try:
        return await question
    except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
        return error


def _tokens(path: Path) -> Tokens | None:
    """None where the server was never started here, or belongs to somebody else."""
    try:
        return Tokens(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError):
        return None


def new_nonce() -> str:
    return secrets.token_hex(16)
