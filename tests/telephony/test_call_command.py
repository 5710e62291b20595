"""``talkwire call``: its arguments, its errors, and a whole call against a stub server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from media import wav
from media.g711 import ulaw_encode
from server.commands import call
from server.commands.call import Printer, Turn, add_arguments, describe, tapped
from telephony.carriers.twilio import signature, twiml, wire
from tests.fakes.voice_server import StubServer

TONE = (8000 * np.sin(np.arange(8000) * 0.7)).astype(np.int16)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting and no ``.env`` of the machine reaches the command."""
    for name in (
        "TWILIO_AUTH_TOKEN",
        "TALKWIRE_PUBLIC_URL",
        "TALKWIRE_API_KEYS",
        "TALKWIRE_DATA_DIR",
        "TALKWIRE_PORT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    wav.write_mono(tmp_path / "a.wav", TONE[:1600], 8000)
    wav.write_mono(tmp_path / "b.wav", np.repeat(TONE[:1600], 2), 16000)


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    stub = StubServer()
    async with await stub.start():
        yield stub


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    add_arguments(commands.add_parser("call"))
    return parser.parse_args(["call", *words])


@pytest.mark.parametrize(
    ("words", "turns"),
    [
        ([], []),
        (["a", "b"], [Turn("a"), Turn("b")]),
        (["--to", "+1", "a"], [Turn("a")]),
        (["--say", "hi"], [Turn(None, "hi")]),
        (["--say", "hi", "a", "--say", "bye"], [Turn(None, "hi"), Turn("a"), Turn(None, "bye")]),
        (["a", "--barge-in", "1.5", "b", "c"], [Turn("a"), Turn("b", None, 1.5), Turn("c")]),
        (["a", "--barge-in", "2", "--say", "stop"], [Turn("a"), Turn(None, "stop", 2.0)]),
        (["--barge-in", "0", "a", "--server", "http://h"], [Turn("a", None, 0.0)]),
    ],
)
def test_turns_are_taken_in_the_order_of_the_command_line(words: list[str], turns: list[Turn]) -> None:
    assert parse(*words).turns == turns


def test_one_parser_can_parse_twice() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["a"]).turns == parser.parse_args(["a"]).turns == [Turn("a")]


@pytest.mark.parametrize("words", [["--barge-in", "soon", "a"], ["--barge-in", "1000"], ["--say"]])
def test_a_bad_argument_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*words)
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "nothing to say"),
        (["a.wav", "--barge-in", "2"], "--barge-in needs a file"),
        (["missing.wav"], "cannot read missing.wav: No such file"),
        (["."], "cannot read .: "),
        (["text.wav"], "text.wav is not a WAV file"),
        (["a.wav", "--server", "http://127.0.0.1:9"], "no server answers at http://127.0.0.1:9"),
        (["a.wav", "--server", "nonsense"], "nonsense"),
    ],
)
async def test_what_cannot_be_done_is_said(
    words: list[str], match: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_text("hello", encoding="utf-8")
    assert await call.run(parse(*words)) == 1
    error = capsys.readouterr().err
    assert error.startswith("talkwire call: ")
    assert match in error


async def test_the_server_is_where_its_settings_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TALKWIRE_PORT=9\n", encoding="utf-8")
    assert await call.run(parse("a.wav")) == 1
    assert "no server answers at http://127.0.0.1:9:" in capsys.readouterr().err
    monkeypatch.setenv("TALKWIRE_PORT", "1")
    assert await call.run(parse("a.wav")) == 1
    assert "no server answers at http://127.0.0.1:1:" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_say_is_spoken_by_flite() -> None:
    clip = call._load(Turn(None, "hello there"))
    assert clip.name == '"hello there"'
    assert 0.3 < (clip.voice_end - clip.onset) / 8000 < 2


async def test_say_needs_flite(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert await call.run(parse("--say", "hi")) == 1
    assert "needs the program flite" in capsys.readouterr().err


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("body", "status", "match"),
    [
        (twiml.reject("busy"), 200, "rejected the call: busy (it is at capacity, too busy or about to stop)"),
        (twiml.hangup(), 200, "without opening a stream"),
        ("no", 403, "TWILIO_AUTH_TOKEN"),
    ],
)
async def test_a_call_that_is_not_taken(
    server: StubServer, body: str, status: int, match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.body, server.status = body, status
    assert await call.run(parse("a.wav", "--server", server.url)) == 1
    assert match in capsys.readouterr().err


async def _polite_bot(server: StubServer, connection: ServerConnection) -> None:
    """Greets, answers the first turn at length, falls silent when interrupted, answers the second."""

    def loud(since: int) -> list[bool]:
        return [media.payload != b"\xff" * 160 for media in server.media()[since:]]

    async def heard_out(since: int) -> int:
        await server.until(lambda: any(loud(since)))
        await server.until(lambda: not any(loud(since)[-30:]))
        return len(server.media())

    sid = await server.stream_sid()
    await connection.send(wire.media(sid, ulaw_encode(TONE[:1600])))
    so_far = await heard_out(0)
    await connection.send(wire.media(sid, ulaw_encode(np.tile(TONE, 3))))
    await server.until(lambda: any(loud(so_far)))
    await connection.send(wire.clear(sid))
    await heard_out(so_far)
    await connection.send(wire.media(sid, ulaw_encode(TONE[:2400])))


@pytest.mark.e2e
async def test_a_whole_call_with_a_barge_in(
    server: StubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(call, "PAUSE_MS", 150)
    (tmp_path / ".env").write_text("TWILIO_AUTH_TOKEN=secret\n", encoding="utf-8")
    server.answer = lambda connection: _polite_bot(server, connection)
    words = ["a.wav", "--barge-in", "0.3", "b.wav", "--server", server.url, "--patience", "2"]
    assert await call.run(parse(*words)) == 0
    out = capsys.readouterr().out
    assert "no events of the agent are shown: no API key in TALKWIRE_API_KEYS or data/api-key" in out
    lines = [line[9:] for line in out.splitlines() if line.startswith("+")]
    assert [line.partition(" unheard")[0].rstrip("0123456789 ms") for line in lines] == [
        "\u00b7 the call is answered",
        "\u00b7 the bot can be heard",
        "\u00b7 the caller speaks a.wav",
        "\u00b7 the caller is quiet a.wav",
        "\u00b7 the bot is quiet",
        "\u00b7 the bot can be heard",
        "\u00b7 the caller speaks b.wav",
        "\u00b7 play-out cleared",
        "\u00b7 the caller is quiet b.wav",
        "\u00b7 the bot is quiet",
        "\u00b7 the bot can be heard",
        "\u00b7 the bot is quiet",
        "\u00b7 the call is over caller",
    ]
    assert "turn 1  a.wav: answered after" in out
    assert "turn 2  b.wav: barge-in, bot quiet after" in out
    assert "0 holes in speech, 0 faults; ended by the caller (1000)" in out
    assert "secret" not in out
    assert (await asyncio.to_thread(wav.read, tmp_path / "call.wav"))[1] == 8000
    sent = server.headers[0]["x-twilio-signature"]
    assert signature.verify("secret", server.url, "/twilio/voice", server.forms[0], sent)


@pytest.mark.e2e
async def test_a_server_that_hangs_up_leaves_turns_unsaid(
    server: StubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def answer(connection: ServerConnection) -> None:
        await server.stream_sid()
        await connection.close()

    server.answer = answer
    assert await call.run(parse("a.wav", "--server", server.url)) == 1
    out, error = capsys.readouterr()
    assert "ended by the server (1000)" in out
    assert "before turn 1 of 1 was said" in error
    assert (tmp_path / "call.wav").exists()


@pytest.mark.e2e
async def test_the_tap_shows_the_events_of_the_call(
    server: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.tap_events = [
        {"event": "call.started", "call_id": "CA1", "from": "+1", "seq": 1},
        {"event": "audio.metrics", "rms": 5},
        {"event": "user.message", "turn_id": 1, "text": "what time is it", "seq": 2},
        {"event": "call.recording", "path": "x"},
    ]
    printer = Printer()
    base = server.media_url.replace("ws:", "http:").removesuffix("/media/token")
    async with tapped(base, "CA1", {"TALKWIRE_API_KEYS": "tw_key, other"}, printer):
        printer.begin(asyncio.get_running_loop().time())
    assert server.tap_requests == [("/v1/tap?call=CA1", {"event": "connect", "api_key": "tw_key"})]
    lines = [line[9:] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "call.started        from +1",
        'user.message        turn 1  "what time is it"',
        "call.recording      path x",
    ]


@pytest.mark.e2e
async def test_a_tap_that_refuses_is_told_and_gone_without(
    server: StubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "api-key").write_text("tw_other\n", encoding="utf-8")
    base = server.media_url.replace("ws:", "http:").removesuffix("/media/token")
    async with tapped(base, "CA1", {"TALKWIRE_DATA_DIR": "keys"}, Printer()):
        pass
    assert server.tap_requests[0][1]["api_key"] == "tw_other"
    assert "no events of the agent are shown: the tap refused the key" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "bot.word", "turn_id": 2, "word": "caf\u00e9", "message_id": "m"}, 'turn 2  "caf\u00e9"'),
        ({"event": "bot.finished", "duration_ms": 1234.5678, "ts": 1.0}, "duration_ms 1234.57"),
        ({"event": "x", "list": [1], "none": None, "empty": "", "flag": True}, "flag True"),
        ({"event": "call.recording", "audio": "A" * 600_000}, "audio (600000 characters)"),
        ({"event": "bot.speaking", "text": "A" * 1001}, '"(1001 characters)"'),
    ],
)
def test_an_event_on_one_line(event: dict[str, Any], text: str) -> None:
    assert describe(event) == text


def test_who_reads_no_further_does_not_end_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        printer = Printer()
        printer.begin(0.0)
        for _ in range(2):
            printer.event(1.0, {"event": "call.ended"})
        sys.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def test_what_happens_before_the_call_starts_is_printed_when_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printer = Printer()
    printer.event(9.5, {"event": "call.ringing"})
    assert capsys.readouterr().out == ""
    printer.begin(10.0)
    printer.event(13.214, {"event": "call.ended", "reason": "hangup"})
    assert capsys.readouterr().out.splitlines() == [
        "+-0.500  call.ringing",
        "+ 3.214  call.ended          reason hangup",
    ]
