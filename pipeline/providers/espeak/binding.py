"""libespeak-ng through ctypes. For the worker process only: the library keeps its state in globals.

Source of the interface: the header ``speak_lib.h`` of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from media.frames import Pcm
from pipeline.providers.espeak.voices import Entry

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: espeak_Synth returns when all is done
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x0001, 0x0002, 0x8000
_CHARACTERS, _UTF8 = 1, 1  # POS_CHARACTER; espeakCHARS_UTF8
_RATE = 1  # espeakRATE, words a minute
EVENT_END, EVENT_WORD, EVENT_PHONEME = 0, 1, 7


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """``espeak_EVENT``. ``text_position`` counts characters from 1; ``sample`` from the first of the text."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )
    if TYPE_CHECKING:
        type: int
        text_position: int
        sample: int
        id: _EventId


class _Voice(ctypes.Structure):
    """``espeak_VOICE``. ``languages`` is a list of (rank byte, NUL-ended tag) ended by a rank of 0."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)
if TYPE_CHECKING:
    _Samples = ctypes._Pointer[ctypes.c_short]
    _Events = ctypes._Pointer[Event]

OnChunk = Callable[[list[Event], Pcm], bool]


class Library:
    """The loaded library. Raises ``OSError`` where it cannot be loaded or has no data."""

    def __init__(self, path: str, data: str) -> None:
        self._data = Path(data)
        self._lib = ctypes.CDLL(path)
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        parent = str(self._data.parent).encode()
        self.sample_rate_hz = int(self._lib.espeak_Initialize(_SYNCHRONOUS, 0, parent, options))
        if self.sample_rate_hz <= 0:
            raise OSError(f"espeak-ng does not start with the data in {self._data}")
        self._on_chunk: OnChunk | None = None
        self._fault: Exception | None = None
        # The library keeps the pointer, so the object must live as long as the library.
        self._callback = _CALLBACK(self._receive)
        self._lib.espeak_SetSynthCallback(self._callback)

    def voices(self) -> list[Entry]:
        """The voices whose dictionary is there (a few in the package come without one)."""
        found = []
        listed = self._lib.espeak_ListVoices(None)
        i = 0
        while listed[i]:
            voice = listed[i].contents
            identifier = voice.identifier.decode()
            if self._has_dictionary(identifier):
                found.append(Entry(identifier.rpartition("/")[2], _languages(voice.languages)))
            i += 1
        return found

    def variants(self) -> list[str]:
        """The speakers that can be put on a voice, as in ``en-us+f3``."""
        return [path.name for path in (self._data / "voices" / "!v").iterdir() if " " not in path.name]

    def speak(self, text: str, voice: str, words_per_minute: int, on_chunk: OnChunk) -> None:
        """Synthesise; ``on_chunk`` gets the events and the audio as they come, and returns False to stop.

        What it raises stops the synthesis and is raised here. Raises ``ValueError`` for an unknown voice.
        """
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng does not know its voice {voice}")
        self._lib.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._on_chunk, self._fault = on_chunk, None
        encoded = text.encode("utf-8", "replace")
        try:
            self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, _CHARACTERS, 0, _UTF8, None, None)
        finally:
            self._on_chunk = None
        if self._fault is not None:
            raise self._fault

    def _receive(self, samples: _Samples, count: int, first: _Events) -> int:
        """Called by the library; an exception must not reach it."""
        if self._on_chunk is None or self._fault is not None:
            return 1
        events: list[Event] = []
        while first[len(events)].type != EVENT_END:
            events.append(first[len(events)])
        # Not np.ctypeslib.as_array: it makes a C type of each length, which ctypes keeps for ever.
        pcm = np.frombuffer(ctypes.string_at(samples, 2 * count) if count > 0 else b"", np.int16)
        try:
            return 0 if self._on_chunk(events, pcm) else 1
        except Exception as fault:  # noqa: BLE001 - handed to speak(), which raises it
            self._fault = fault
            return 1

    def _has_dictionary(self, identifier: str) -> bool:
        dictionary = identifier.rpartition("/")[2].partition("-")[0].lower()
        for line in (self._data / "lang" / identifier).read_text("utf-8").splitlines():
            if line.startswith("dictionary"):
                dictionary = line.split()[1]
        return (self._data / f"{dictionary}_dict").exists()


def _languages(address: int) -> tuple[tuple[int, str], ...]:
    found: list[tuple[int, str]] = []
    while listed := ctypes.string_at(address):
        found.append((listed[0], listed[1:].decode().lower()))
        address += len(listed) + 1
    return tuple(found)
