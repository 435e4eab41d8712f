"""Reads the corpus of conditional and range requests, shared with the Rust suite, and judges answers by it.

A case is a title with the sections of the RFC it follows from, the header lines of a request, and a verdict:

    == a title (RFC 9110 §13.1.2)
    @ HEAD empty                  the method, and which file: empty, missing (left out: GET, the file of 62 bytes)
    > If-None-Match: {tag}        a header line, with the escapes of corpus_reader.py
    = 304                         the status, and for a 206 its ranges: `= 206 0-4 10-14`

Within header lines, {tag} is the entity tag of the file, {bare} the same without quotes, {TAG} with the case of its letters
swapped, {begin} its first half without quotes; {date} is when it was last modified, {earlier} and {later} a second away.
`200|416` allows either. The other fields of an answer follow from its status, and is in `judge` below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from support.corpus_reader import unescape
from support.wire import Answer

FOLDER = Path(__file__).parents[1] / "corpus" / "files"

CONTENT = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Seconds since 1970; the file system is told half a second more.
MODIFIED = 1709210096
DATE = "Thu, 29 Feb 2024 12:34:56 GMT"
EARLIER = "Thu, 29 Feb 2024 12:34:55 GMT"
LATER = "Thu, 29 Feb 2024 12:34:57 GMT"


@dataclass
class Case:
    """One request for a file, and the answer that it must have."""

    title: str
    place: str
    method: str = "GET"
    file: str = "data"
    lines: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def request(self, target: str, tag: str) -> bytes:
        """The bytes to send; `tag` is the entity tag as the server wrote it."""
        bare = tag.strip('"')
        values = {
            "tag": tag,
            "bare": bare,
            "TAG": tag.swapcase(),
            "begin": bare[: len(bare) // 2],
            "date": DATE,
            "earlier": EARLIER,
            "later": LATER,
        }
        head = f"{self.method} {target} HTTP/1.1\r\nHost: files\r\n".encode()
        for line in self.lines:
            head += re.sub(rb"\{(\w+)\}", lambda match: values[match[1].decode()].encode(), line) + b"\r\n"
        return head + b"\r\n"


def parse(text: str, source: str) -> list[Case]:
    """All cases of one file."""
    cases: list[Case] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        place, mark, rest = f"{source}:{number}", line[:2], line[2:].strip()
        if mark == "==":
            cases.append(Case(rest, place))
            continue
        if not cases or cases[-1].statuses:
            raise ValueError(f"{place}: a line outside of a case")
        case = cases[-1]
        if mark == "@ ":
            for word in rest.split():
                if word in ("empty", "missing"):
                    case.file = word
                else:
                    case.method = word
        elif mark == "> ":
            case.lines.append(unescape(line[2:]))
        elif mark == "= ":
            statuses, *ranges = rest.split()
            case.statuses = [int(status) for status in statuses.split("|")]
            case.ranges = [(int(first), int(last)) for first, _, last in (range_.partition("-") for range_ in ranges)]
        else:
            raise ValueError(f"{place}: cannot read {line!r}")
    for case in cases:
        if not case.statuses:
            raise ValueError(f"{case.place}: a case without a verdict")
    return cases


def all_cases() -> list[Case]:
    """Every case of every file; titles are unique, as they name the tests."""
    cases = [case for path in sorted(FOLDER.glob("*.txt")) for case in parse(path.read_text("utf-8"), path.name)]
    titles = [case.title for case in cases]
    if len(set(titles)) < len(titles):
        raise ValueError(f"taken twice: {[title for title in titles if titles.count(title) > 1]}")
    return cases


def judge(case: Case, answer: Answer, whole: Answer) -> None:
    """Whether an answer fits the case; `whole` answers a plain GET of the same file."""
    assert answer.status in case.statuses, f"{answer.status} {answer.reason}, the verdict is {case.statuses}"
    assert answer.header("Date")
    content, size = whole.body, len(whole.body)
    if answer.status == 404:
        return
    if answer.status in (200, 206, 304):
        # RFC 9110 sections 15.3.7 and 15.4.5: the fields about the file and for caches that a 200 would have.
        for name in ("ETag", "Cache-Control", "Vary", "Expires", "Content-Location"):
            assert answer.header(name) == whole.header(name), name
        assert answer.header("Content-Encoding") is None
    if answer.status in (200, 206):
        assert answer.header("Last-Modified") in (DATE, None if answer.status == 206 else DATE)
        assert answer.header("X-Content-Type-Options") == whole.header("X-Content-Type-Options")
        assert not answer.chunked
    if answer.status == 200:
        assert answer.header("Accept-Ranges") == "bytes"
        assert answer.header("Content-Type") == whole.header("Content-Type")
        assert answer.header("Content-Length") == str(size)
        assert answer.header("Content-Range") is None
        assert answer.body == (b"" if case.method == "HEAD" else content)
    elif answer.status == 206 and len(case.ranges) == 1:
        [(first, last)] = case.ranges
        assert answer.header("Content-Range") == f"bytes {first}-{last}/{size}"
        assert answer.header("Content-Type") == whole.header("Content-Type")
        assert answer.body == content[first : last + 1]
    elif answer.status == 206:
        assert answer.header("Content-Range") is None, "the parts have it, the whole has not (section 15.3.7.2)"
        assert parts_of(answer) == [
            (whole.header("Content-Type"), f"bytes {first}-{last}/{size}", content[first : last + 1])
            for first, last in case.ranges
        ]
    elif answer.status == 304:
        assert answer.body == b""
        assert answer.header("Content-Length") in (None, str(size))
        assert answer.header("Content-Range") is None
        assert answer.header("Last-Modified") in (None, DATE)
    elif answer.status == 412:
        assert answer.header("Content-Range") is None
    elif answer.status == 416:
        assert answer.header("Content-Range") == f"bytes */{size}"
    if answer.status >= 400:
        # An error page is no part of the file and must not be kept for it.
        assert answer.header("ETag") is None
        assert answer.header("Last-Modified") is None
        assert "immutable" not in (answer.header("Cache-Control") or "")


def parts_of(answer: Answer) -> list[tuple[str | None, str | None, bytes]]:
    """Media type, Content-Range and content of each part of a multipart/byteranges answer, strictly read (RFC 2046)."""
    match = re.fullmatch(
        r'multipart/byteranges; ?boundary="?([0-9A-Za-z\'()+_,./:=?-]{1,70})"?', answer.header("Content-Type") or ""
    )
    assert match, answer.header("Content-Type")
    delimiter = b"\r\n--" + match[1].encode()
    body = answer.body if answer.body.startswith(b"\r\n") else b"\r\n" + answer.body
    before, *pieces, end = body.split(delimiter)
    assert before == b"", before
    assert end in (b"--", b"--\r\n"), end
    parts = []
    for piece in pieces:
        assert piece.startswith(b"\r\n"), piece
        head, found, content = piece[2:].partition(b"\r\n\r\n")
        assert found, piece
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        lower = {name.lower(): value for name, value in fields.items()}
        parts.append((lower.get("content-type"), lower.get("content-range"), content))
    return parts
