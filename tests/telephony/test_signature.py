"""Twilio's signature: every way in which a good request is refused by mistake, and a bad one let in."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from telephony.carriers.twilio.signature import public_urls, sign, signed_by, verify, websocket_url

TOKEN = "12345"
OTHER = "rotated-away"
PUBLIC = "https://mycompany.com"
PATH = "/myapp.php?foo=1&bar=2"
# The worked example of Twilio's documentation of webhook security.
FORM = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
DOCUMENTED = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def hand_made(token: str, signed: str) -> str:
    """The algorithm written out, so that the checks below do not rest on the code they check."""
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def test_the_documented_example() -> None:
    assert verify(TOKEN, PUBLIC, PATH, FORM, DOCUMENTED)
    assert sign(TOKEN, PUBLIC + PATH, FORM) == DOCUMENTED


def test_the_order_of_the_form_does_not_matter() -> None:
    assert verify(TOKEN, PUBLIC, PATH, FORM[::-1], DOCUMENTED)


@pytest.mark.parametrize(
    ("public_url", "path", "form", "signature"),
    [
        (PUBLIC, PATH, FORM, DOCUMENTED[:-2] + "9="),
        (PUBLIC, PATH, FORM, DOCUMENTED + "x"),
        (PUBLIC, PATH, FORM, ""),
        (PUBLIC, PATH, FORM, None),
        (PUBLIC, PATH, FORM, "é\x00"),
        (PUBLIC, PATH, FORM[:-1], DOCUMENTED),
        (PUBLIC, PATH, [*FORM, ("Extra", "")], DOCUMENTED),
        (PUBLIC, PATH + "&more=1", FORM, DOCUMENTED),
        (PUBLIC, "/myapp.php/?foo=1&bar=2", FORM, DOCUMENTED),
        ("http://mycompany.com", PATH, FORM, DOCUMENTED),
        ("https://other.com", PATH, FORM, DOCUMENTED),
        ("https://mycompany.com:port", PATH, FORM, DOCUMENTED),
        ("", "", [], DOCUMENTED),
        (PUBLIC, PATH, [("From", "\ud800")], DOCUMENTED),
    ],
)
def test_anything_else_is_false_and_never_raises(
    public_url: str, path: str, form: list[tuple[str, str]], signature: str | None
) -> None:
    assert verify(TOKEN, public_url, path, form, signature) is False


def test_wrong_token() -> None:
    assert not verify(OTHER, PUBLIC, PATH, FORM, DOCUMENTED)


@pytest.mark.parametrize("tokens", [[TOKEN, OTHER], [OTHER, TOKEN], ["", TOKEN]])
def test_either_token_is_good_while_it_is_rotated(tokens: list[str]) -> None:
    assert verify(tokens, PUBLIC, PATH, FORM, DOCUMENTED)


@pytest.mark.parametrize("tokens", ["", [], [""], ["", ""]])
def test_without_a_token_nothing_is_good(tokens: str | list[str]) -> None:
    """An empty key makes a signature that anyone can make."""
    assert not verify(tokens, PUBLIC, "/x", [], hand_made("", PUBLIC + "/x"))


def test_blank_parameters_are_signed() -> None:
    form = [("CallerCity", ""), ("From", "+1"), ("FromZip", "")]
    signature = hand_made(TOKEN, PUBLIC + "/voice" + "CallerCity" + "From+1" + "FromZip")
    assert verify(TOKEN, PUBLIC, "/voice", form, signature)
    assert not verify(TOKEN, PUBLIC, "/voice", [("From", "+1")], signature)
    assert sign(TOKEN, PUBLIC + "/voice", form) == signature


def test_repeated_parameters_are_signed_in_order_of_their_values() -> None:
    form = [("MediaUrl", "b"), ("From", "+1"), ("MediaUrl", "a")]
    signature = hand_made(TOKEN, PUBLIC + "/voice" + "From+1" + "MediaUrla" + "MediaUrlb")
    assert verify(TOKEN, PUBLIC, "/voice", form, signature)
    assert not verify(TOKEN, PUBLIC, "/voice", form[1:], signature)
    assert sign(TOKEN, PUBLIC + "/voice", form) == signature


def test_behind_a_proxy_the_public_scheme_and_host_count() -> None:
    """We were asked as http://10.0.0.5:8080/voice; Twilio called https://mycompany.com/voice."""
    signature = hand_made(TOKEN, "https://mycompany.com/voice")
    assert verify(TOKEN, "https://mycompany.com", "/voice", [], signature)
    assert verify(TOKEN, "https://mycompany.com/", "/voice", [], signature)
    assert not verify(TOKEN, "http://10.0.0.5:8080", "/voice", [], signature)


@pytest.mark.parametrize("seen", ["/twilio/voice", "/calls/twilio/voice"])
def test_a_path_prefix_is_kept_or_stripped_by_the_proxy(seen: str) -> None:
    signature = hand_made(TOKEN, "https://h.example/calls/twilio/voice")
    assert verify(TOKEN, "https://h.example/calls", seen, [], signature)
    assert verify(TOKEN, "https://h.example/calls/", seen, [], signature)
    assert not verify(TOKEN, "https://h.example/other", seen, [], signature)


def test_a_prefix_that_is_also_the_beginning_of_the_path() -> None:
    signature = hand_made(TOKEN, "https://h.example/twilio/twilio/voice")
    assert verify(TOKEN, "https://h.example/twilio", "/twilio/voice", [], signature)


@pytest.mark.parametrize(
    ("public_url", "signed"),
    [
        ("https://h.example", "wss://h.example/media/t"),
        ("https://h.example", "wss://h.example:443/media/t"),
        ("https://h.example:443", "wss://h.example/media/t"),
        ("HTTPS://h.example", "wss://h.example/media/t"),
        ("https://h.example:8443", "wss://h.example:8443/media/t"),
        ("https://h.example:8443", "wss://h.example/media/t"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/media/t"),
        ("http://[::1]:8080", "ws://[::1]:8080/media/t"),
    ],
)
def test_an_upgrade_is_signed_over_its_websocket_url(public_url: str, signed: str) -> None:
    signature = hand_made(TOKEN, signed)
    assert verify(TOKEN, public_url, "/media/t", [], signature, websocket=True)
    assert not verify(TOKEN, public_url, "/media/t", [], signature)
    assert not verify(TOKEN, public_url, "/media/t/", [], signature, websocket=True)
    assert not verify(TOKEN, public_url, "/media/other", [], signature, websocket=True)


def test_the_raw_path_counts_not_the_decoded_one() -> None:
    signature = hand_made(TOKEN, "https://h/voice/a%20b?x=%2B1&y=")
    assert verify(TOKEN, "https://h", "/voice/a%20b?x=%2B1&y=", [], signature)
    assert not verify(TOKEN, "https://h", "/voice/a b?x=+1&y=", [], signature)


def test_an_empty_query_is_part_of_the_url() -> None:
    assert verify(TOKEN, "https://h", "/voice?", [], hand_made(TOKEN, "https://h/voice?"))


def test_a_json_body_is_signed_by_its_hash_in_the_query() -> None:
    body = '{"a": "é"}'
    path = "/status?bodySHA256=" + hashlib.sha256(body.encode()).hexdigest()
    signature = hand_made(TOKEN, "https://h" + path)
    assert verify(TOKEN, "https://h", path, [], signature, json_body=body)
    assert not verify(TOKEN, "https://h", path, [], signature, json_body=body + " ")
    unhashed = hand_made(TOKEN, "https://h/status")
    assert not verify(TOKEN, "https://h", "/status", [], unhashed, json_body=body)


def test_urls_for_the_log_and_for_the_stream() -> None:
    assert public_urls("https://h/p", "/p/v") == ("https://h/p/v", "https://h/p/p/v")
    assert public_urls("https://h/p", "/v") == ("https://h/p/v",)
    assert websocket_url("https://h/p/", "/media/t") == "wss://h/p/media/t"
    assert websocket_url("http://127.0.0.1:8080", "/media/t") == "ws://127.0.0.1:8080/media/t"


pairs = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=5)


@given(st.text(max_size=20), st.text(max_size=20), pairs, st.text(max_size=30))
def test_nothing_raises_and_nothing_gets_in(
    public_url: str, path: str, form: list[tuple[str, str]], signature: str
) -> None:
    assert verify(TOKEN, public_url, path, form, signature) is False


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.text(st.characters(codec="utf-8"), max_size=5)))
)
def test_what_is_signed_is_verified(form: list[tuple[str, str]]) -> None:
    assert verify(TOKEN, "https://h", "/v", form, sign(TOKEN, "https://h/v", form))


# --- two tokens -------------------------------------------------------------------------------------------


def test_which_of_two_tokens_it_was_signed_with() -> None:
    tokens = [TOKEN, OTHER]
    for place, token in enumerate(tokens):
        assert signed_by(tokens, PUBLIC, PATH, FORM, sign(token, PUBLIC + PATH, FORM)) == place
    assert signed_by(tokens, PUBLIC, PATH, FORM, sign("a third", PUBLIC + PATH, FORM)) is None
    assert signed_by(tokens, PUBLIC, PATH, FORM, None) is None
    assert signed_by([TOKEN, ""], PUBLIC, PATH, FORM, sign("", PUBLIC + PATH, FORM)) is None
    assert signed_by([], PUBLIC, PATH, FORM, DOCUMENTED) is None


@pytest.mark.parametrize("websocket", [False, True])
def test_the_work_is_the_same_whichever_token_fits(websocket: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    compute = RequestValidator.compute_signature

    def counted(self: RequestValidator, uri: str, params: object, *more: object) -> str:
        made.append(uri)
        return str(compute(self, uri, params, *more))

    form = [] if websocket else FORM
    url = (PUBLIC.replace("https", "wss") if websocket else PUBLIC) + PATH
    given = [sign(token, url, form) for token in (TOKEN, OTHER, "a third")]
    monkeypatch.setattr(RequestValidator, "compute_signature", counted)
    work, found = [], []
    for signature in given:
        made.clear()
        found.append(signed_by([TOKEN, OTHER], PUBLIC, PATH, form, signature, websocket=websocket))
        work.append(len(made))
    assert found == [0, 1, None]
    # The package's own check ends early where the first of its two spellings of a URL fits.
    assert max(work) - min(work) <= 1
