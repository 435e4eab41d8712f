"""Multipart bodies as browsers write them, for tests: parts in, bytes out."""

from __future__ import annotations

from collections.abc import Iterable

BOUNDARY = "cut"
TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
END = f"--{BOUNDARY}--\r\n".encode()


def field(name: str, value: bytes | str) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value)


def file(name: str, filename: str, content: bytes | str, media_type: str = "application/octet-stream") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {media_type}'
    return part(head, content)


def part(head: str, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return b"".join([f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode(), content, b"\r\n"])


def body(*parts: bytes | Iterable[bytes]) -> bytes:
    return b"".join(one if isinstance(one, bytes) else b"".join(one) for one in parts) + END
