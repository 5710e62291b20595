"""Phone refs as people write them, callers as carriers name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.numbers import ANY, can_be_called, normalise


@pytest.mark.parametrize(
    ("ref", "canonical"),
    [
        ("+1 (555) 000-2222", "+15550002222"),
        ("+15550002222", "+15550002222"),
        ("  +1.555.000.2222 ", "+15550002222"),
        ("+1\u00a0555\u2011000\u20132222", "+15550002222"),
        ("＋１５５５０００２２２２", "+15550002222"),
        ("+44 (0)20 7946 0000", "+442079460000"),
        ("0044 20 7946 0000", "+442079460000"),
        ("tel:+1-555-000-2222;ext=5", "+15550002222"),
        ("TEL:+15550002222", "+15550002222"),
        ("(555) 000-2222", "5550002222"),
        ("12345", "12345"),
        ("00123", "00123"),
        (ANY, "*"),
        (" * ", "*"),
        ("", ""),
        ("+", "+"),
        ("()-", "()-"),
        ("anonymous", "anonymous"),
        ("RESTRICTED", "RESTRICTED"),
        ("client:Bob", "client:Bob"),
        ("whatsapp:+15550002222", "whatsapp:+15550002222"),
        ("+1-800-FLOWERS", "+1-800-FLOWERS"),
        ("tel:nobody", "tel:nobody"),
        ('"Bob" <tel:+1 555>', "+1555"),
        ('"Bob" <bob@example.com>', '"Bob" <bob@example.com>'),
    ],
)
def test_numbers_and_words(ref: str, canonical: str) -> None:
    assert normalise(ref) == canonical


@pytest.mark.parametrize(
    ("ref", "canonical"),
    [
        ("sip:204@domain;transport=udp", "sip:204@domain"),
        ("SIP:204@Domain.Example:5060", "sip:204@domain.example"),
        ("sips:204@domain:5061", "sips:204@domain"),
        ("sip:204@domain:5070", "sip:204@domain:5070"),
        ("sip:204@domain:5070;transport=tls?X-Key=1", "sip:204@domain:5070"),
        ("sip:Bob:secret@domain", "sip:Bob@domain"),
        ('"Bob" <sip:bob@domain;user=phone>', "sip:bob@domain"),
        ("sip:domain", "sip:domain"),
        ("sip:x@[2001:DB8::1]:5060", "sip:x@[2001:db8::1]"),
        ("sip:+15550002222@Carrier.example", "sip:+15550002222@carrier.example"),
        ("sip:", "sip:"),
        ("sip:a@b@c", "sip:a@b@c"),
    ],
)
def test_sip_addresses(ref: str, canonical: str) -> None:
    assert normalise(ref) == canonical


refs = st.text(max_size=30) | st.text(st.sampled_from('0123456789+()-. <>;:@?*sipteladomain"[]'), max_size=30)


@given(refs)
def test_it_never_raises_and_twice_is_once(ref: str) -> None:
    once = normalise(ref)
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("ref", "possible"),
    [
        ("+1 (555) 000-2222", True),
        ("tel:+15550002222", True),
        ("112", True),
        ("*", True),
        ("sip:204@domain", True),
        ("hello", False),
        ("+", False),
        ("1", False),
        ("+1234567890123456", False),
        ("sip:", False),
        ("555 0002 ext. 7", False),
    ],
)
def test_what_can_be_called(ref: str, possible: bool) -> None:
    assert can_be_called(ref) is possible
