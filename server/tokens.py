"""Capability tokens: who holds one may do the one thing that it names, until it expires.

Stateless (a JWT signed with the server's secret); that one is used once only is enforced where its call
lives.
"""

from __future__ import annotations

import jwt

MEDIA = "twilio-media"
"""Audience of a token that opens the media stream of one call."""


class TokenError(Exception):
    """The token is not ours, not for this, or no longer good; ``str()`` says which."""


class Tokens:
    """Makes and checks tokens. ``secret`` is the server's own, at least 32 characters."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def issue(self, subject: str, audience: str, now: float, lifetime_s: float) -> str:
        """A token for ``subject``; ``now`` in epoch seconds. Safe in a URL path."""
        claims = {"sub": subject, "aud": audience, "exp": int(now + lifetime_s)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def check(self, token: str, audience: str) -> str:
        """The subject of a good token. Raises ``TokenError``."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                audience=audience,
                options={"require": ["sub", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.InvalidTokenError as error:
            raise TokenError(f"not a valid token: {error}") from None
        return str(claims["sub"])
