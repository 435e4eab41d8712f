"""An uploaded file as a binary file of Python: read where it lies, in memory or in a temporary file, with a position of its own."""

import io
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._outside import _FormContent

# Bytes that are read at once, and copied at once.
_READ = 64 << 10
_COPIED = 256 << 10


class _Raw(io.RawIOBase):
    """The bytes below the buffer."""

    def __init__(self, content: "_FormContent") -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer).cast("B")
        piece = self._content.read(self._at, len(view))
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        rest = self._content.read(self._at, self._content.size)
        self._at += len(rest)
        return rest

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.size}.get(whence)
        if begin is None:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        if begin + offset < 0:
            raise ValueError(f"a position is 0 or more, not {begin + offset}")
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at


def opened(content: "_FormContent", is_read: bool) -> io.BufferedReader:
    """The file, at its beginning, or at its end if all of it was read already."""
    file: io.BufferedReader = io.BufferedReader(_Raw(content), _READ)
    if is_read:
        file.seek(0, io.SEEK_END)
    return file


def copied(content: "_FormContent", to: Any) -> int:
    """Writes all bytes into an open binary file, and gives their number."""
    shutil.copyfileobj(_Raw(content), to, _COPIED)
    return content.size
