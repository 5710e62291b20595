"""libflite through ctypes. For the worker process only: a synthesis keeps settings in the voice it uses.

Source of the interface: the headers ``flite.h``, ``cst_wave.h`` and ``cst_audio.h`` of flite 2.2.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from media.frames import Pcm

VOICES = ("kal16", "slt", "rms", "awb")
_CHUNK = 1600  # samples that one callback brings, 100 ms: a compromise of latency and calls
_CONTINUE, _STOP = 0, -1

_Item = ctypes.c_void_p


class _Wave(ctypes.Structure):
    """``cst_wave``"""

    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Streaming(ctypes.Structure):
    """``cst_audio_streaming_info``"""


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(_Wave),
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(_Streaming),
)
_Streaming._fields_ = (
    ("min_buffsize", ctypes.c_int),
    ("asc", _CALLBACK),
    ("utt", ctypes.c_void_p),
    ("item", ctypes.c_void_p),
    ("userdata", ctypes.c_void_p),
)


class _Voice(ctypes.Structure):
    """The beginning of ``cst_voice``"""

    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


if TYPE_CHECKING:
    _WavePointer = ctypes._Pointer[_Wave]
    _StreamingPointer = ctypes._Pointer[_Streaming]

OnWords = Callable[[list[tuple[str, float, float]]], None]
"""Told once, before any audio: each token that is spoken, by name, with start and end in seconds."""
OnChunk = Callable[[Pcm, int], bool]
"""Told of each chunk and its rate; returns False to stop."""


def _load(*names: str) -> ctypes.CDLL:
    """A library by its file name, or wherever the system's linker finds it. Raises ``OSError``."""
    for name in names:
        try:
            # A voice needs the symbols of the language, that those of flite: all share one name space.
            return ctypes.CDLL(f"lib{name}.so.1", mode=ctypes.RTLD_GLOBAL)
        except OSError:
            found = ctypes.util.find_library(name)
            if found is None:
                raise
            return ctypes.CDLL(found, mode=ctypes.RTLD_GLOBAL)
    raise OSError("no library named")


def _function(
    library: ctypes.CDLL, name: str, result: object, *arguments: object
) -> ctypes._NamedFuncPointer:
    function: ctypes._NamedFuncPointer = getattr(library, name)
    function.restype = result  # type: ignore[assignment]  # typeshed knows no common base of C types
    function.argtypes = arguments  # type: ignore[assignment]  # as above
    return function


class Library:
    """The loaded library. Raises ``OSError`` where it is not installed."""

    def __init__(self) -> None:
        flite = _load("flite")
        _load("flite_usenglish")
        _load("flite_cmulex")
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float
        self._synth = _function(flite, "flite_synth_text", pointer, text, pointer)
        self._delete = _function(flite, "delete_utterance", None, pointer)
        self._relation = _function(flite, "utt_relation", pointer, pointer, text)
        self._head = _function(flite, "relation_head", pointer, pointer)
        self._next = _function(flite, "item_next", pointer, pointer)
        self._daughter = _function(flite, "item_daughter", pointer, pointer)
        self._string = _function(flite, "flite_ffeature_string", text, pointer, text)
        self._float = _function(flite, "flite_ffeature_float", number, pointer, text)
        self._set_float = _function(flite, "flite_feat_set_float", None, pointer, text, number)
        set_value = _function(flite, "flite_feat_set", None, pointer, text, pointer)
        new_streaming = _function(flite, "new_audio_streaming_info", ctypes.POINTER(_Streaming))
        streaming_value = _function(flite, "audio_streaming_info_val", pointer, ctypes.POINTER(_Streaming))
        _function(flite, "flite_init", ctypes.c_int)()
        self._callback = _CALLBACK(self._receive)
        self._voices: dict[str, int] = {}
        for name in VOICES:
            voice = self._register(name)
            if voice is not None:
                streaming = new_streaming()
                streaming.contents.min_buffsize = _CHUNK
                streaming.contents.asc = self._callback
                set_value(self._features(voice), b"streaming_info", streaming_value(streaming))
                self._voices[name] = voice
        self._on_words: OnWords | None = None
        self._on_chunk: OnChunk | None = None
        self._fault: Exception | None = None

    @property
    def voices(self) -> tuple[str, ...]:
        """Those that are installed."""
        return tuple(self._voices)

    def speak(self, text: str, voice: str, stretch: float, on_words: OnWords, on_chunk: OnChunk) -> None:
        """Synthesise printable ASCII, ``stretch`` times as long as the voice would. What a callback raises
        stops the synthesis and is raised here. Raises ``KeyError`` for a voice that is not installed."""
        known = self._voices[voice]
        self._set_float(self._features(known), b"duration_stretch", stretch)
        self._on_words, self._on_chunk, self._fault = on_words, on_chunk, None
        try:
            utterance = self._synth(text.encode("ascii"), known)
            if utterance:
                self._delete(utterance)
        finally:
            self._on_words = self._on_chunk = None
        if self._fault is not None:
            raise self._fault

    def _register(self, name: str) -> int | None:
        try:
            library = _load(f"flite_cmu_us_{name}")
        except OSError:
            return None
        voice: int | None = _function(library, f"register_cmu_us_{name}", ctypes.c_void_p, ctypes.c_char_p)(
            None
        )
        return voice

    @staticmethod
    def _features(voice: int) -> int | None:
        features: int | None = ctypes.cast(voice, ctypes.POINTER(_Voice)).contents.features
        return features

    def _receive(
        self, wave: _WavePointer, start: int, size: int, _last: int, streaming: _StreamingPointer
    ) -> int:
        """Called by the library; an exception must not reach it."""
        if self._on_chunk is None or self._fault is not None:
            return _STOP
        try:
            if self._on_words is not None:
                self._on_words(list(self._words(streaming.contents.utt)))
                self._on_words = None
            whole = wave.contents
            # Not np.ctypeslib.as_array: it makes a C type of each length, which ctypes keeps for ever.
            address = ctypes.addressof(whole.samples.contents) + 2 * start
            pcm = np.frombuffer(ctypes.string_at(address, 2 * size), np.int16)
            return _CONTINUE if self._on_chunk(pcm, whole.sample_rate) else _STOP
        except Exception as fault:  # noqa: BLE001 - handed to speak(), which raises it
            self._fault = fault
            return _STOP

    def _words(self, utterance: int) -> Iterator[tuple[str, float, float]]:
        """Walk token -> its words -> their first and last sound. A number has several words; a word without
        a sound has no place in the tree of syllables, which shows as an end of 0."""
        token = self._head(self._relation(utterance, b"Token"))
        while token:
            times: list[float] = []
            word = self._daughter(token)
            while word:
                end = self._float(word, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
                if end > 0:
                    first = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
                    times += [self._float(word, first), end]
                word = self._next(word)
            if times:
                yield self._string(token, b"name").decode("ascii", "replace"), times[0], times[-1]
            token = self._next(token)
