"""``talkwire say``: hear the configured voice without a call."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from media import wav
from pipeline.errors import ProviderError
from pipeline.ports import TtsAudio, TtsRequest
from pipeline.text import tokens
from server.compose import rows, synthesiser
from server.settings import Settings, SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", help="what to say")
    parser.add_argument("--out", type=Path, default=Path("say.wav"), help="file to write (default: say.wav)")
    parser.add_argument("--rate", type=int, default=16000, help="samples a second (default: 16000)")
    parser.add_argument("--voice", help="a voice of the engine (default: TALKWIRE_VOICE)")
    parser.add_argument("--language", help="language, BCP-47 (default: TALKWIRE_LANGUAGE)")


async def run(args: argparse.Namespace, settings: Settings) -> int:
    """Speak ``args.text`` into ``args.out`` and print when each word is heard."""
    engine = synthesiser(rows(settings)["tts"][0], settings)
    language, voice = args.language or settings.language, args.voice or settings.voice
    request = TtsRequest(args.text, args.rate, language, voice=voice)
    words = [token.text for token in tokens(args.text)]
    parts = []
    await engine.start()
    try:
        async for event in engine.speak(request):
            if isinstance(event, TtsAudio):
                parts.append(event.pcm)
            else:
                print(f"{event.start_s:7.3f} {event.end_s:7.3f}  {words[event.index]}")
    except ProviderError as error:
        raise SettingsError(str(error)) from None
    finally:
        await engine.aclose()
    audio = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)
    wav.write_mono(args.out, audio, args.rate)
    print(f"{len(audio) / args.rate:.2f} s of {engine.name} in {args.out}")
    return 0
