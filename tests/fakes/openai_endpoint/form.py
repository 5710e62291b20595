"""Multipart forms as HTTP clients send them (RFC 7578), whole and in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_NAME = re.compile(r'[; ]name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILENAME = re.compile(r'[; ]filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    filename: str
    content_type: str
    data: bytes


@dataclass(slots=True)
class Form:
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """The last value of a field."""
        values = self.fields.get(name)
        return values[-1] if values else None


def parse(content_type: str, body: bytes) -> Form:
    """Raises ``ValueError`` for what is no complete form."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or boundary is None:
        raise ValueError("the body is not multipart/form-data with a boundary")
    delimiter = b"--" + boundary[1].encode("latin-1")
    if not body.startswith(delimiter):
        raise ValueError("the form does not begin with its boundary")
    *parts, end = body[len(delimiter) :].split(b"\r\n" + delimiter)
    if not end.startswith(b"--"):
        raise ValueError("the form has no end")
    form = Form()
    for part in parts:
        _take(form, part)
    return form


def _take(form: Form, part: bytes) -> None:
    head, separator, data = part.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"\r\n"):
        raise ValueError("a part of the form has no head")
    disposition, content_type = "", "text/plain"
    for line in head[2:].decode("utf-8").split("\r\n"):
        name, _, value = line.partition(":")
        match name.lower():
            case "content-disposition":
                disposition = value.strip()
            case "content-type":
                content_type = value.strip()
    name_match, filename = _NAME.search(disposition), _FILENAME.search(disposition)
    if name_match is None:
        raise ValueError("a part of the form has no name")
    if filename is not None:
        form.files[name_match[1]] = File(filename[1], content_type, data)
    else:
        form.fields.setdefault(name_match[1], []).append(data.decode("utf-8"))
