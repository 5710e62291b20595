from __future__ import annotations

import time

import jwt
import pytest

from server.tokens import MEDIA, TokenError, Tokens

SECRET = "s" * 64


def test_a_token_names_its_subject() -> None:
    tokens = Tokens(SECRET)
    token = tokens.issue("CA1", MEDIA, time.time(), 60)
    assert tokens.check(token, MEDIA) == "CA1"
    assert all(c.isalnum() or c in "-_." for c in token), "it travels in a path"


def test_it_expires() -> None:
    tokens = Tokens(SECRET)
    with pytest.raises(TokenError, match="expired"):
        tokens.check(tokens.issue("CA1", MEDIA, time.time() - 61, 60), MEDIA)


def test_it_is_good_for_one_thing_and_from_one_server() -> None:
    token = Tokens(SECRET).issue("CA1", MEDIA, time.time(), 60)
    with pytest.raises(TokenError, match="a token of another kind"):
        Tokens(SECRET).check(token, "something-else")
    with pytest.raises(TokenError):
        Tokens("t" * 64).check(token, MEDIA)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "\x00"])
def test_garbage_is_no_token(token: str) -> None:
    with pytest.raises(TokenError):
        Tokens(SECRET).check(token, MEDIA)


def test_a_token_without_a_signature_or_an_end_is_refused() -> None:
    unsigned = jwt.encode({"sub": "CA1", "aud": MEDIA, "exp": time.time() + 60}, "", algorithm="none")
    endless = jwt.encode({"sub": "CA1", "aud": MEDIA}, SECRET, algorithm="HS256")
    for token in (unsigned, endless):
        with pytest.raises(TokenError):
            Tokens(SECRET).check(token, MEDIA)
