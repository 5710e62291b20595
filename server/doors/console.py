"""The console: its page, and signing in on it."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.agents import slug
from server.doors.body import json_object
from server.doors.browser import WEBRTC, Refused, issued
from server.doors.guard import PRIVATE, Guard, denied, same_origin
from server.services import Services
from server.version import __version__

FOLDER: Final = Path(__file__).parent.parent / "console"
INDEX: Final = "index.html"
ASSETS: Final = FOLDER / "assets"
STATIC: Final = FOLDER.parent / "static"
CLIENT: Final = "talkwire.js"
MAX_LOGIN: Final = 4096
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Nothing comes from elsewhere, nothing is written into the page, and no other page shows it."""
PAGE_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    # It names the files that belong to it: an old page must not ask for those of another version.
    "Cache-Control": "no-cache",
}
ASSET_HEADERS: Final = {
    # Their names change with what is in them.
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
CLIENT_HEADERS: Final = {
    # For pages of any origin. It has no version in its name: it is asked for again, and sent where it has changed.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


# Reads the system's tables, which must not be done on the event loop; and what browsers insist on is not left to them.
mimetypes.init()
for _suffix, _type in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
    mimetypes.add_type(_type, _suffix)


class Files(StaticFiles):
    """A folder whose files all have these headers."""

    def __init__(self, folder: Path, headers: Mapping[str, str]) -> None:
        # Whether it is there is seen when it is asked for: this is the event loop.
        super().__init__(directory=folder, check_dir=False)
        self._headers = headers

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response


class ConsoleDoor:
    """Of one server."""

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self._pages = Files(FOLDER, PAGE_HEADERS)

    async def page(self, request: Request) -> Response:
        """For everybody: it asks whoever may see nothing to sign in."""
        return await self._pages.get_response(INDEX, request.scope)

    def session(self, request: Request) -> Response:
        """What the page may show. Who may see nothing is told how to sign in, and no more."""
        authorized = self._guard.allows(request)
        told: dict[str, Any] = {"authorized": authorized, "password": self._guard.has_password}
        if authorized:
            told |= {"signed_in": self._guard.signed_in(request)} | self._details()
        return Response(orjson.dumps(told), media_type="application/json", headers=PRIVATE)

    def _details(self) -> dict[str, Any]:
        services = self._services
        defaults, settings = services.defaults, services.settings
        return {
            "version": __version__,
            "public_url": settings.public_url,
            "draining": services.calls.draining,
            "webrtc": settings.webrtc,
            "live_calls": len(services.calls),
            "max_calls": settings.max_calls,
            "stt": defaults.stt.first,
            "tts": defaults.tts.first,
            "llm": defaults.llm.first,
            "language": defaults.language,
        }

    def token(self, request: Request) -> Response:
        """For a call from the console. Who may see all calls may make one, to any agent that is online."""
        services = self._services
        try:
            self._guard.check(request)
            if not services.settings.webrtc:
                raise Refused(404, "browser calls are switched off on this server (TALKWIRE_WEBRTC)")
            name = request.query_params.get("agent_id", "")
            agent = services.agents.get(slug(name))
            if agent is None:
                raise Refused(404, f"Agent '{name[:200]}' is not online")
        except Refused as refused:
            return denied(refused)
        told = {"token": issued(WEBRTC, [agent], services)}
        return Response(orjson.dumps(told), media_type="application/json", headers=PRIVATE)

    async def login(self, request: Request) -> Response:
        try:
            key = (await json_object(request, MAX_LOGIN)).get("key")
            if not isinstance(key, str):
                raise Refused(400, 'send {"key": "<API key or console password>"}')
            cookie = self._guard.sign_in(request, key)
        except Refused as refused:
            return denied(refused)
        return self._with_cookie(cookie)

    def logout(self, request: Request) -> Response:
        if not same_origin(request):
            return denied(Refused(403, "this came from another page: sign out on the console itself"))
        return self._with_cookie("")

    def _with_cookie(self, value: str) -> Response:
        response = Response(status_code=204, headers=PRIVATE)
        self._guard.set_cookie(response, value)
        return response
