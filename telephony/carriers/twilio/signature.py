"""Is this request Twilio's? Its signature, checked over the URL that Twilio called, not the one we see.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security. Behind a proxy the scheme, the host and
a path prefix of a request are the proxy's, so that the URL is built from the configured public one and the
raw path. A media stream's upgrade is signed over its ``wss://`` URL without parameters.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twilio.request_validator import RequestValidator

HEADER = "X-Twilio-Signature"

Params = Sequence[tuple[str, str]]
"""The pairs of a form as they came: blank values and repeated names are part of the signature."""

_WEBSOCKET_SCHEME = {"https": "wss", "http": "ws"}


class _MultiDict(dict[str, list[str]]):
    """What Twilio's validator asks of a multidict. (Of a plain dict it would take one value a name.)"""

    def __init__(self, params: Params) -> None:
        super().__init__()
        for name, value in params:
            self.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[str]:
        return self[name]


def public_urls(public_url: str, path_and_query: str, *, websocket: bool = False) -> tuple[str, ...]:
    """The URLs that the carrier may have called to reach this raw path, the likelier first.

    There are two where ``public_url`` has a path of its own: the proxy may strip that prefix or hand it on.
    """
    base = public_url.rstrip("/")
    if websocket:
        scheme, separator, rest = base.partition("://")
        base = _WEBSOCKET_SCHEME.get(scheme.lower(), scheme) + separator + rest
    stripped = base + path_and_query
    parts = urlsplit(base)
    if parts.path and path_and_query.startswith(parts.path + "/"):
        return base.removesuffix(parts.path) + path_and_query, stripped
    return (stripped,)


def websocket_url(public_url: str, path: str) -> str:
    """Where the carrier opens the media stream: ``wss`` for an ``https`` public URL, ``ws`` for ``http``."""
    return public_urls(public_url, path, websocket=True)[-1]


def verify(
    auth_tokens: str | Sequence[str],
    public_url: str,
    path_and_query: str,
    params: Params,
    signature: str | None,
    *,
    websocket: bool = False,
    json_body: str | None = None,
) -> bool:
    """Whether ``signature`` was made with one of the tokens (while a token is rotated there are two)."""
    tokens = [auth_tokens] if isinstance(auth_tokens, str) else auth_tokens
    found = signed_by(
        tokens, public_url, path_and_query, params, signature, websocket=websocket, json_body=json_body
    )
    return found is not None


def signed_by(
    auth_tokens: Sequence[str],
    public_url: str,
    path_and_query: str,
    params: Params,
    signature: str | None,
    *,
    websocket: bool = False,
    json_body: str | None = None,
) -> int | None:
    """The place of the token that ``signature`` was made with; None: of none of them.

    ``path_and_query`` is as on the request line, still percent-encoded. ``json_body`` replaces ``params``
    for a request that is not a form; its hash is in the query. All tokens and URLs are tried whichever fits. Never
    raises: what cannot be checked fits nothing.
    """
    found: int | None = None
    if not signature:
        return None
    try:
        urls = public_urls(public_url, path_and_query, websocket=websocket)
        for place, token in enumerate(auth_tokens):
            # An unset token would make a signature that anyone can make.
            fits = [
                token and _valid(RequestValidator(token), url, params, json_body, signature) for url in urls
            ]
            if any(fits) and found is None:
                found = place
    except ValueError:  # a port that is no number, or text that UTF-8 cannot write
        return None
    return found


def _valid(validator: Any, url: str, params: Params, json_body: str | None, signature: str) -> bool:
    if json_body is not None:
        # Without the hash in its query nothing of the body would be signed.
        signed = "bodySHA256" in parse_qs(urlsplit(url).query)
        return signed and bool(validator.validate(url, json_body, signature))
    form = _MultiDict(params)
    # The validator writes URLs anew, and knows of no port but 80 for wss: the URL as it stands, too.
    candidates = [url]
    parts = urlsplit(url)
    if parts.scheme == "wss" and parts.port is None:
        candidates.append(parts._replace(netloc=parts.netloc + ":443").geturl())
    given = signature.encode("utf-8")
    fits = [bool(validator.validate(url, form, signature))]
    fits += [
        hmac.compare_digest(validator.compute_signature(candidate, form).encode(), given)
        for candidate in candidates
    ]
    return any(fits)


def sign(auth_token: str, url: str, params: Params = ()) -> str:
    """The signature that Twilio sends with a request to ``url``."""
    return str(RequestValidator(auth_token).compute_signature(url, _MultiDict(params)))
