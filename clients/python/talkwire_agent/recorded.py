"""The file of a recorded call, fetched and written."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import urllib.request
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError

from talkwire_agent.base import CallEvent

FETCH_S = 60.0
"""How long the server may say nothing while a recording is fetched."""


class RecordedEvent(CallEvent):
    """``call.recording``, and what can be done with it."""

    audio: str | None = None
    url: str | None = None
    format: str

    async def save(self, path: str | Path) -> Path:
        """Write the recording to a file, over what stood there, and return where. ``path`` may be a folder that exists:
        then it is ``<call id>.<format>`` in it. A recording that was too long for a message is fetched.

        Raises ``OSError`` where it cannot be fetched or written. Then nothing is left of it.
        """
        return await asyncio.to_thread(self._save, Path(path))

    def _save(self, path: Path) -> Path:
        if path.is_dir():
            path = path / f"{re.sub('[^A-Za-z0-9_-]', '_', self.call_id)}.{self.format}"
        draft = path.with_name(f".{path.name}.part")
        try:
            with closing(self._open()) as source, draft.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
                missing = getattr(source, "length", 0)
            if missing:  # A connection that breaks is no error to the library.
                raise OSError(f"not all of it came: {missing} bytes are missing")
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        return path

    def _open(self) -> BinaryIO:
        if self.audio is not None:
            return BytesIO(base64.b64decode(self.audio))
        if self.url is None:
            raise OSError("the server kept no file of this recording")
        if not self.url.startswith(("https://", "http://")):
            raise OSError(f"a recording cannot be fetched from {self.url[:60]!r}")
        try:
            opened: BinaryIO = urllib.request.urlopen(self.url, timeout=FETCH_S)
        except HTTPError as refused:
            with refused:
                told = refused.read(500).decode(errors="replace")
            raise OSError(f"the server does not give the recording out ({refused.code}): {told}") from None
        return opened
