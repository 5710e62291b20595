"""Capability tokens: who holds one may do the one thing that it names, until it expires.

Each is a JWT signed with the server's secret. That one is used once only is enforced where its call lives, or by
``redeem``, which remembers those that were used until they expire; a store that outlives the process is told of them.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import jwt

MEDIA = "twilio-media"
"""Audience of a token that opens the media stream of one call."""
DOCTOR = "doctor"
"""Audience of one that shows which server has answered: it opens nothing."""
MAX_TOKEN = 8192
"""Characters of a token that are looked at."""
MAX_REDEEMED = 100_000
"""Used tokens that are remembered; with more of them alive none is taken."""
PURGE_S = 60.0
"""So often those that have expired are forgotten."""


class TokenError(Exception):
    """The token is not ours, not for this, or no longer good; ``str()`` says which."""


class Tokens:
    """Makes and checks tokens. ``secret`` is the server's own, at least 32 characters; ``node``: of several
    that share it, which one this is. It is said in each token."""

    def __init__(self, secret: str, node: str = "") -> None:
        self._secret = secret
        self._node = node
        self._redeemed: dict[str, float] = {}
        self._purge_at = 0.0
        self.on_used: Callable[[str, float], None] = lambda token_id, until: None
        """Is told the id of a token that was used up, and when it expires: epoch seconds."""

    def derived(self, purpose: str) -> bytes:
        """A key for something else, made out of the secret: it does not tell it."""
        return hmac.new(self._secret.encode(), purpose.encode(), sha256).digest()

    def remember(self, token_id: str, until: float) -> None:
        """It was used before this process began."""
        self._redeemed[token_id] = until

    def issue(self, subject: str, audience: str, now: float, lifetime_s: float, **sealed: Any) -> str:
        """A token for ``subject``; ``now`` in epoch seconds. Safe in a URL path. ``sealed``: what it says besides;
        its holder can read that, and cannot change it."""
        claims = {"sub": subject, "aud": audience, "exp": int(now + lifetime_s), "jti": secrets.token_hex(8)}
        made_by = {"node": self._node} if self._node else {}
        return jwt.encode({**sealed, **claims, **made_by}, self._secret, algorithm="HS256")

    def check(self, token: str, audience: str) -> str:
        """The subject of a good token. Raises ``TokenError``."""
        return str(self._claims(token, audience)["sub"])

    def claims(self, token: str, audience: str) -> Mapping[str, Any]:
        """What a good token says; it stays good. Raises ``TokenError``."""
        return self._claims(token, audience)

    def redeem(self, token: str, audience: str, now: float) -> Mapping[str, Any]:
        """What a good token says, once: it is of no use any more. Raises ``TokenError``."""
        claims = self._claims(token, audience)
        token_id = str(claims.get("jti"))
        if token_id in self._redeemed:
            raise TokenError("the token was used already: ask for another one")
        if now >= self._purge_at:
            self._redeemed = {known: until for known, until in self._redeemed.items() if until >= now}
            self._purge_at = now + PURGE_S
        if len(self._redeemed) >= MAX_REDEEMED:
            raise TokenError("too many tokens were used lately: try again in a minute")
        self._redeemed[token_id] = until = float(claims["exp"])
        self.on_used(token_id, until)
        return claims

    def _claims(self, token: str, audience: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN:
            raise TokenError("not a valid token: too long")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=audience,
                options={"require": ["sub", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise TokenError("a token of another kind: it does not open this") from None
        except jwt.InvalidTokenError as error:
            raise TokenError(f"not a valid token: {error}") from None
        return claims
