"""Who gets the recording of a call, and who does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.doors.recording import linker
from tests.server.site import BEARER, PUBLIC, Site, site

AUDIO = bytes(range(256)) * 100


def kept(made: Site, call_id: str = "CA1", suffix: str = "wav") -> Path:
    folder = made.services.settings.data_dir / "recordings"
    folder.mkdir(exist_ok=True)
    path = folder / f"{call_id}-0000abcd.{suffix}"
    path.write_bytes(AUDIO)
    return path


def address(made: Site, call_id: str = "CA1", lifetime_s: float = 3600.0, audience: str | None = None) -> str:
    clock = made.services.clock
    if audience is not None:
        token = made.services.tokens.issue(call_id, audience, clock.epoch(), lifetime_s)
        return f"/v1/calls/{call_id}/recording?token={token}"
    url = linker("https://voice.example.org/", made.services.tokens, clock.epoch, lifetime_s)(call_id)
    assert url.startswith("https://voice.example.org/v1/calls/")
    return url.removeprefix("https://voice.example.org")


async def test_its_address_is_enough(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        kept(made)
        await made.web.get(address(made))
        reply = await made.web.get(address(made))  # As often as wanted.
        assert (reply.status, reply.body) == (200, AUDIO)
        assert reply.headers["cache-control"] == "no-store"
        part = await made.web.get(address(made), range="bytes=1000-")
        assert (part.status, part.body) == (206, AUDIO[1000:])


async def test_so_is_a_key_also_when_the_call_is_forgotten(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        kept(made, suffix="opus")
        reply = await made.web.get("/v1/calls/CA1/recording", **BEARER)
        assert (reply.status, reply.body) == (200, AUDIO)
        assert reply.headers["content-type"] == "audio/ogg"
        assert reply.headers["content-disposition"] == 'inline; filename="CA1.opus"'


async def test_nothing_else_is(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        kept(made)
        kept(made, "CA2")
        for path, status, said in (
            ("/v1/calls/CA1/recording", 401, "API key"),
            ("/v1/calls/CA1/recording?token=", 401, "not a valid token"),
            ("/v1/calls/CA1/recording?token=x.y.z", 401, "not a valid token"),
            ("/v1/calls/CA1/recording?token=" + "x" * 10_000, 401, "too long"),
            (address(made, "CA2").replace("CA2", "CA1"), 403, "another call"),
            (address(made, lifetime_s=-10.0), 401, "expired"),
            (address(made, audience="browser-call"), 401, "a token of another kind"),
        ):
            reply = await made.web.get(path)
            assert reply.status == status, path
            assert said in reply.detail, path


async def test_a_token_opens_nothing_but_the_recording(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        made.begin()
        token = address(made).partition("token=")[2]
        for path in ("/v1/calls/CA1", "/v1/calls/CA1/events", "/v1/calls"):
            assert (await made.web.get(f"{path}?token={token}")).status == 401
            assert (await made.web.get(path, authorization=f"Bearer {token}")).status == 401


@pytest.mark.parametrize("call_id", ["CA9", "..", "%2e%2e%2fsecret", "x" * 500])
async def test_what_is_not_there_is_not_found(tmp_path: Path, call_id: str) -> None:
    async with site(tmp_path) as made:
        kept(made)
        reply = await made.web.get(f"/v1/calls/{call_id}/recording")
        assert reply.status in (404, 307)


async def test_while_the_call_goes_on_it_says_so(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        made.begin()
        reply = await made.web.get(address(made))
        assert reply.status == 409
        assert "when it has ended" in reply.detail


async def test_a_file_that_was_deleted_is_told(tmp_path: Path) -> None:
    async with site(tmp_path) as made:
        call = made.begin()
        path = kept(made)
        made.book.over(call, recorded=True)
        assert (await made.web.get(address(made))).status == 200
        path.unlink()
        reply = await made.web.get(address(made))
        assert reply.status == 404
        assert "deleted" in reply.detail


async def test_an_audio_element_can_seek_in_it(tmp_path: Path) -> None:
    async with site(tmp_path, **PUBLIC) as made:
        kept(made)
        whole = await made.web.get(address(made))
        assert whole.headers["accept-ranges"] == "bytes"
        tag = whole.headers["etag"]
        for wanted, body in (
            ("bytes=0-99", AUDIO[:100]),
            ("bytes=100-", AUDIO[100:]),
            ("bytes=-50", AUDIO[-50:]),
            (f"bytes=10-{len(AUDIO) * 2}", AUDIO[10:]),
        ):
            for more in ({}, {"if_range": tag}):
                part = await made.web.get(address(made), range=wanted, **more)
                assert (part.status, part.body) == (206, body), wanted
                assert part.headers["content-range"].endswith(f"/{len(AUDIO)}")
        # The file is another one by now: all of it, not a piece that does not fit.
        other = await made.web.get(address(made), range="bytes=0-99", if_range='"another"')
        assert (other.status, other.body) == (200, AUDIO)
        beyond = await made.web.get(address(made), range=f"bytes={len(AUDIO)}-")
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(AUDIO)}")
        head = await made.web.ask(address(made), "HEAD", range="bytes=0-99")
        assert (head.status, head.body) == (206, b"")
