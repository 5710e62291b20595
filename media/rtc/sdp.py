"""Offers and answers as text: what is asked of a browser's offer, and what aiortc's answer lacks.

Pure. Source: RFC 8866 (SDP), RFC 7587 (Opus), RFC 8838 (candidates).
"""

from __future__ import annotations

import re

MAX_SDP = 64 << 10
MAX_CANDIDATES = 100
OPUS_FMTP = "minptime=20;useinbandfec=1;stereo=0;maxaveragebitrate=32000"
"""What we tell the browser to send: copies of lost packets, one channel, as much as speech needs."""

_MEDIA = re.compile(r"^m=(\w+) ", re.MULTILINE)
_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000/2$", re.MULTILINE | re.IGNORECASE)
_CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ \S+ \d+ (\S+) ", re.MULTILINE)


class OfferRefused(ValueError):
    """The offer cannot be answered; ``str()`` says what is wrong with it."""


def checked(offer: str) -> str:
    """The offer as it is to be answered. Raises ``OfferRefused``."""
    if len(offer) > MAX_SDP:
        raise OfferRefused(f"sdp is longer than {MAX_SDP} characters")
    text = "\r\n".join(line for line in offer.splitlines() if line) + "\r\n"
    kinds = _MEDIA.findall(text)
    if kinds.count("audio") != 1 or set(kinds) - {"audio", "application"} or kinds.count("application") > 1:
        found = ", ".join(kinds[:10]) or "nothing"
        raise OfferRefused(f"sdp must offer one audio line and at most one data channel, not {found}")
    if not _OPUS.search(_plain(text)):
        raise OfferRefused("sdp must offer Opus (a=rtpmap:... opus/48000/2)")
    return _without_names(text)


def _without_names(text: str) -> str:
    """Candidates with a name instead of an address (``.local``) cost a look-up on the local network each. Where there
    are others they are not needed: the browser finds us, and we see where it came from."""
    addresses = _CANDIDATE.findall(text)
    if len(addresses) > MAX_CANDIDATES:
        raise OfferRefused(f"sdp has more than {MAX_CANDIDATES} candidates")
    if all(address.endswith(".local") for address in addresses):
        return text
    keep = (line for line in text.split("\r\n") if not re.match(r"a=candidate:.*\.local ", line))
    return "\r\n".join(keep)


def tuned(answer: str) -> str:
    """The answer with what we want of the browser's encoder."""
    found = _OPUS.search(_plain(answer))
    if found is None:
        return answer
    name = found.group(1)
    lines = [line for line in answer.split("\r\n") if not line.startswith(f"a=fmtp:{name} ")]
    place = next(n for n, line in enumerate(lines) if line.lower().startswith(f"a=rtpmap:{name} "))
    lines.insert(place + 1, f"a=fmtp:{name} {OPUS_FMTP}")
    return "\r\n".join(lines)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n")
