"""A multipart form as a browser sends it (RFC 7578), for the test client."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from mimetypes import guess_type
from typing import Any


def multipart(data: Any, files: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> tuple[bytes, str]:
    """The bytes, and their media type with the boundary."""
    boundary = f"outside-{os.urandom(12).hex()}"
    parts = []
    for name, value in _pairs(data or {}):
        for one in value if isinstance(value, (list, tuple)) else [value]:
            text = one if isinstance(one, bytes) else str(one).encode()
            parts.append(b'Content-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (_quoted(name), text))
    for name, file in _pairs(files):
        filename, content, media_type = _file(name, file)
        head = b'Content-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: %b\r\n\r\n'
        parts.append(head % (_quoted(name), _quoted(filename), media_type.encode()) + content + b"\r\n")
    line = b"--%b\r\n" % boundary.encode()
    body = b"".join(line + part for part in parts) + b"--%b--\r\n" % boundary.encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _pairs(given: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return given.items() if isinstance(given, Mapping) else given


def _file(name: str, file: Any) -> tuple[str, bytes, str]:
    filename, content, media_type = name, file, None
    if isinstance(file, tuple):
        filename, content, *rest = file
        media_type = rest[0] if rest else None
    elif isinstance(getattr(file, "name", None), str):
        filename = os.path.basename(file.name)
    if hasattr(content, "read"):
        content = content.read()
    if isinstance(content, str):
        content = content.encode()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"a file is bytes, str, an open file, or (filename, content), not {file!r}")
    return filename, bytes(content), media_type or guess_type(filename)[0] or "application/octet-stream"


def _quoted(text: str) -> bytes:
    """As browsers do: section 4.10.21.8 of the HTML standard."""
    return text.encode().replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")
