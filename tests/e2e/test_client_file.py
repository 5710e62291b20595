"""``/talkwire.js``: what pages load, over real HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from server.doors.console import CLIENT, STATIC
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e


async def test_the_client_is_handed_out_to_every_page(tmp_path: Path) -> None:
    async with running(tmp_path, webrtc=False) as server, httpx.AsyncClient(base_url=server.url) as http:
        given = await http.get("/talkwire.js", headers={"Origin": "https://shop.example.org"})
        assert given.status_code == 200
        assert given.content == (STATIC / CLIENT).read_bytes()
        assert given.headers["content-type"] == "text/javascript; charset=utf-8"
        assert given.headers["access-control-allow-origin"] == "*"
        assert given.headers["cross-origin-resource-policy"] == "cross-origin"
        assert given.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": given.headers["etag"]}
        again = await http.get("/talkwire.js", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == given.headers["etag"]
        weak = await http.get("/talkwire.js", headers={"If-None-Match": f'"old", W/{given.headers["etag"]}'})
        assert weak.status_code == 304
        assert (await http.get("/talkwire.js", headers={"If-None-Match": '"old"'})).status_code == 200
        head = await http.head("/talkwire.js")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(given.content)
