"""``call.recording``: written to a file, from the message or from where the server keeps it; and what a call can do."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from talkwire_agent import Refused, Talkwire
from talkwire_agent.events import CallRecording
from talkwire_agent.testing import ScriptedServer, virtual_time

SOUND = b"RIFF" + bytes(range(256)) * 5000


def recording(**fields: Any) -> CallRecording:
    told = {"agent_id": "a", "call_id": "CA1", "session_id": "CA1", "seq": 9, "ts": 1.0, "duration_ms": 1000}
    how = {"format": "wav", "sample_rate": 8000, "channels": "stereo"}
    return CallRecording.model_validate({**told, **how, **fields})


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/v1/calls/CA1/recording?token=t"
        body = SOUND if known else b'{"detail":"the token has expired"}'
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body) + (100 if known and self.server.short else 0)))  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def served(*, short: bool = False) -> Iterator[str]:
    """``short``: the connection breaks before all of it was sent."""
    server = HTTPServer(("127.0.0.1", 0), _Files)
    server.short = short  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/calls/CA1/recording"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_what_came_in_the_message_is_written(tmp_path: Path) -> None:
    event = recording(audio=base64.b64encode(SOUND).decode())
    assert await event.save(tmp_path / "a.wav") == tmp_path / "a.wav"
    assert (tmp_path / "a.wav").read_bytes() == SOUND


async def test_a_folder_is_enough(tmp_path: Path) -> None:
    event = recording(audio="AAAA", format="opus", call_id="../sip:1")
    assert await event.save(str(tmp_path)) == tmp_path / "___sip_1.opus"


async def test_what_was_too_long_is_fetched(tmp_path: Path) -> None:
    with served() as url:
        path = await recording(url=f"{url}?token=t").save(tmp_path)
    assert path.read_bytes() == SOUND


async def test_where_it_is_refused_the_server_says_why_and_nothing_is_left(tmp_path: Path) -> None:
    with served() as url, pytest.raises(OSError, match=r"401.*the token has expired"):
        await recording(url=f"{url}?token=old").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_half_a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"before")
    with served(short=True) as url, pytest.raises(OSError, match="not all of it"):
        await recording(url=f"{url}?token=t").save(tmp_path / "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"before"


@pytest.mark.parametrize("url", [None, "file:///etc/passwd"])
async def test_there_must_be_something_to_fetch(tmp_path: Path, url: str | None) -> None:
    with pytest.raises(OSError, match=r"no file|cannot be fetched"):
        await recording(url=url).save(tmp_path)


@virtual_time
async def test_a_recording_is_paused_and_goes_on() -> None:
    tw = Talkwire("key")
    agent = tw.agent("tester", recording={"format": "opus", "consent": "tone"})
    agent.phone("*")
    async with ScriptedServer(tw) as server:
        caller = server.call()
        await server.quiet()
        call = agent.calls[caller.id]
        for act, command in (
            (call.pause_recording, "recording.pause"),
            (call.resume_recording, "recording.resume"),
            (call.start_recording, "recording.start"),
        ):
            await act()
            assert (await server.command(command))["call_id"] == call.id
        caller.hangs_up()
        await server.quiet()
        with pytest.raises(Refused):
            await call.pause_recording()
