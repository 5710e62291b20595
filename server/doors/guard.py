"""Who may look at calls: the one place where that is decided, for the REST API and the console.

The holder of an API key; a browser that has signed in on the console (a signed cookie); and by the open-door rule
somebody on this machine.
"""

from __future__ import annotations

import math
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from server.auth import KeyRing
from server.doors.browser import Refused, at_home, bearer, caller
from server.services import Services
from server.strangers import Rate
from server.tokens import TokenError

log = structlog.get_logger(__name__)

COOKIE: Final = "talkwire_console"
COOKIE_S: Final = 12 * 3600
LOGINS_PER_MINUTE: Final = 10
"""Wrong keys from one address."""
SAFE: Final = ("GET", "HEAD", "OPTIONS")
PRIVATE: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What is told of calls is for whoever asked, and for no cache and no other page."""


def denied(refused: Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_after_s))
    return JSONResponse({"detail": str(refused)}, refused.status, {**PRIVATE, **headers})


class Guard:
    """Of all doors to calls."""

    def __init__(self, services: Services) -> None:
        self._services = services
        password = services.settings.console_password
        self._password = KeyRing([password.get_secret_value()] if password is not None else [])
        # A cookie is for these keys and this password: with any other it is void.
        self._audience = f"console {services.keys.fingerprint} {self._password.fingerprint}"
        self._wrong = Rate(LOGINS_PER_MINUTE)

    @property
    def has_password(self) -> bool:
        return len(self._password) > 0

    def check(self, request: HTTPConnection) -> None:
        """Raises ``Refused`` where the request may not see calls. A WebSocket counts as something that changes: browsers
        open one to any server for any page, cookies and all."""
        if bearer(request, self._services):
            return
        # A page from elsewhere may have its reader's browser ask us, without a word of where that came from.
        here = request.headers.get("sec-fetch-site") != "cross-site"
        if not here or not (self.signed_in(request) or at_home(request, self._services)):
            raise Refused(401, "send Authorization: Bearer <API key>, or sign in on the console")
        if request.scope.get("method") not in SAFE and not same_origin(request):
            raise Refused(403, "this came from another page: only the console itself may change something")

    def allows(self, request: HTTPConnection) -> bool:
        try:
            self.check(request)
        except Refused:
            return False
        return True

    def signed_in(self, request: HTTPConnection) -> bool:
        """Whether it has a cookie that is good, which it can give back."""
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return False
        try:
            self._services.tokens.check(cookie, self._audience)
        except TokenError:
            return False
        return True

    def sign_in(self, request: Request, key: str) -> str:
        """The cookie for an API key or the console's password. Raises ``Refused``."""
        if not same_origin(request):
            raise Refused(403, "this came from another page: sign in on the console itself")
        services = self._services
        address, now = caller(request, services), services.clock.epoch()
        wait_s = self._wrong.wait_s(address, now)
        if wait_s:
            raise Refused(429, "too many wrong keys from this address: try again in a minute", wait_s)
        # Both are looked at: how long it takes does not say which one was nearly right.
        if not (services.keys.check(key) | self._password.check(key)):
            self._wrong.take(address, now)
            log.warning("console.refused", peer=address)
            raise Refused(401, "that is neither an API key of this server nor the password of its console")
        log.info("console.signed_in", peer=address)
        return services.tokens.issue("console", self._audience, now, COOKIE_S)

    def set_cookie(self, response: Response, value: str) -> None:
        """An empty value takes it away."""
        secure = self._services.settings.public_url.startswith("https:")
        response.set_cookie(
            COOKIE,
            value,
            max_age=COOKIE_S if value else 0,
            path="/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )


def same_origin(request: HTTPConnection) -> bool:
    """Whether a page of this very server asks, or no page at all. Browsers say which page does (Fetch metadata, and
    ``Origin`` with whatever changes something)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
