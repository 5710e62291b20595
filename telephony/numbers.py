"""One spelling for whom a call is from and to, so that refs typed by people match what a carrier sends.

Callers are not always telephone numbers: carriers also pass SIP addresses, clients of their own, and words
for callers who withhold their number. What is not understood stays as it is; nothing here raises.
"""

from __future__ import annotations

import re
import unicodedata

ANY = "*"
"""The ref that stands for every number which nobody owns."""

# Digits with what people write between them; the dots, dashes and blanks of Unicode are folded before.
_PHONE = re.compile(r"\+?[\d\s().\-/]+", re.ASCII)
_DASHES = re.compile("[\u00ad\u2010-\u2015\u2212]")
_SIP = re.compile(
    r"""(?P<scheme>sips?):
    (?:(?P<user>[^@<>]*)@)?
    (?P<host>\[[\da-f:.]+\]|[^@<>;?/:\s\[\]]+)
    (?::(?P<port>\d+))?
    (?:[;?].*)?""",
    re.IGNORECASE | re.ASCII | re.DOTALL | re.VERBOSE,
)
_DEFAULT_PORT = {"sip": "5060", "sips": "5061"}
_INTERNATIONAL_PREFIX = "00"
_MIN_INTERNATIONAL_DIGITS = 9


def normalise(ref: str) -> str:
    """The canonical form of a number, SIP address or other ref of a call's end.

    ``+1 (555) 000-2222`` becomes ``+15550002222``, ``00 44 20...`` becomes ``+4420...`` (ITU-T E.123 and
    E.164); ``tel:`` goes (RFC 3966). ``SIP:204@Domain:5060;transport=udp`` becomes ``sip:204@domain``: the
    parameters say how to reach an address, not whose it is (RFC 3261 section 19.1). ``*``, ``client:...``,
    ``anonymous`` and all else stay, but for white space around them. Normalising twice changes nothing.
    """
    text = ref.strip()
    bracketed = re.search(r"<([^<>]+)>\s*$", text)  # "Bob" <sip:bob@example.com>
    address = bracketed.group(1).strip() if bracketed else text
    sip = _SIP.fullmatch(address)
    if sip is not None:
        return _sip(sip)
    if address[:4].lower() == "tel:":
        address = address[4:].partition(";")[0]
    elif bracketed:
        return text
    return _phone(address) or text


def can_be_called(ref: str) -> bool:
    """Whether calls may come for it: ``*``, 2 to 15 digits (E.164 and short numbers), or a SIP address."""
    text = normalise(ref)
    digits = text.removeprefix("+")
    return text == ANY or (digits.isdigit() and 2 <= len(digits) <= 15) or _SIP.fullmatch(text) is not None


def _sip(match: re.Match[str]) -> str:
    scheme = match["scheme"].lower()
    user = (match["user"] or "").partition(":")[0]  # what follows a colon is a password
    port = "" if match["port"] in (None, _DEFAULT_PORT[scheme]) else ":" + match["port"]
    return f"{scheme}:{user}{'@' if user else ''}{match['host'].lower()}{port}"


def _phone(text: str) -> str | None:
    folded = _DASHES.sub("-", unicodedata.normalize("NFKC", text)).strip()
    if not _PHONE.fullmatch(folded):
        return None
    if folded.startswith("+"):
        folded = folded.replace("(0)", "")  # +44 (0)20: the zero is dialled inside the country only
    digits = "".join(c for c in folded if c.isdigit())
    if not digits:
        return None
    if folded.startswith("+"):
        return "+" + digits
    international = digits.removeprefix(_INTERNATIONAL_PREFIX)
    if len(digits) - len(international) == 2 and len(international) >= _MIN_INTERNATIONAL_DIGITS:
        return "+" + international
    return digits
