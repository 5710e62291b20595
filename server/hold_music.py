"""The music that callers hear on hold, as the operator wants it."""

from __future__ import annotations

from pathlib import Path

from media import wav
from media.music import HoldMusic
from server.settings import OFF, Settings, SettingsError

MAX_MUSIC = 10 << 20
"""Bytes of a file of hold music."""
PHONE_HZ = 8000
WIDE_HZ = 16_000


def hold_music(settings: Settings) -> HoldMusic | None:
    """What callers hear on hold, ready for the telephone. Reads a file: not for the event loop. Raises
    ``SettingsError``."""
    if settings.hold_music == OFF:
        return None
    path = None if settings.hold_music is None else Path(settings.hold_music).expanduser()
    try:
        music = HoldMusic() if path is None else _music_of(path)
        music.at(PHONE_HZ)
        if settings.webrtc or settings.audiosocket is not None or settings.max_bridges:
            music.at(WIDE_HZ)
    except OSError as error:
        cause = f"{path} cannot be read: {error.strerror or error}"
    except ValueError as error:
        cause = str(error)
    else:
        return music
    raise SettingsError(f"TALKWIRE_HOLD_MUSIC must be a WAV file of at least a second, or off: {cause}")


def _music_of(path: Path) -> HoldMusic:
    if path.stat().st_size > MAX_MUSIC:
        raise ValueError(f"{path} is larger than {MAX_MUSIC >> 20} MB")
    return HoldMusic(*wav.read(path))
