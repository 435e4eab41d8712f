"""Reads the corpus: raw requests with the answers the RFCs ask for, shared with the Rust suite.

A case is a title line and steps, in the order in which a client takes them:

    == a title, and where it is written (RFC 9112 §3)
    > GET /hello HTTP/1.1\\r\\n      bytes to send; consecutive lines are one write
    ~                              ends a write, so that the next bytes travel on their own
    < HTTP/1.1 200 OK\\r\\n          bytes that must arrive before the next step; `Date: *` stands for any date
    ^                              the client ends its sending side
    = 200 400|501 close            the final statuses in order, then whether the connection stays open

The verdict is the last line. Its statuses may be left out when the case spells the answers out with `<`
(an answer to HEAD must be: without the request its end cannot be told). `400|501` allows either status,
`400?` allows the answer to be missing. Escapes: \\r \\n \\t \\0 \\\\ \\xNN, and \\{N*text} for N times text.
Lines that start with `#` are remarks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "corpus"

_ESCAPE = re.compile(r"\\(?:([rnt0\\])|x([0-9A-Fa-f]{2})|\{(\d+)\*([^}]*)\})")
_PLAIN = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


@dataclass
class Case:
    """One title with its steps: ("send" | "expect", bytes), ("flush" | "end", b"")."""

    title: str
    place: str
    steps: list[tuple[str, bytes]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    stays_open: bool = False
    complete: bool = False

    @property
    def is_transcript(self) -> bool:
        return any(kind == "expect" for kind, _ in self.steps)


def unescape(text: str) -> bytes:
    """The bytes that an escaped line stands for."""
    out, position = bytearray(), 0
    for match in _ESCAPE.finditer(text):
        out += _literal(text[position : match.start()])
        plain, code, count, repeated = match.groups()
        if plain:
            out += _PLAIN[plain]
        elif code:
            out.append(int(code, 16))
        else:
            out += unescape(repeated) * int(count)
        position = match.end()
    return bytes(out + _literal(text[position:]))


def _literal(text: str) -> bytes:
    if "\\" in text:
        raise ValueError(f"unknown escape in {text!r}")
    return text.encode("ascii")


def parse(text: str, source: str) -> list[Case]:
    """All cases of one corpus file."""
    cases: list[Case] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        place = f"{source}:{number}"
        mark, rest = line[:2], line[2:]
        if mark == "==":
            cases.append(Case(rest.strip(), place))
            continue
        if not cases or cases[-1].complete:
            raise ValueError(f"{place}: a line outside of a case")
        case = cases[-1]
        if mark in ("> ", "< "):
            _append(case, "send" if mark == "> " else "expect", unescape(rest))
        elif line in ("~", "^"):
            case.steps.append(("flush" if line == "~" else "end", b""))
        elif mark == "= ":
            *case.statuses, state = rest.split()
            if state not in ("open", "close"):
                raise ValueError(f"{place}: a verdict ends with open or close")
            case.stays_open, case.complete = state == "open", True
        else:
            raise ValueError(f"{place}: cannot read {line!r}")
    for case in cases:
        if not case.complete:
            raise ValueError(f"{case.place}: a case without a verdict")
    return cases


def _append(case: Case, kind: str, data: bytes) -> None:
    if case.steps and case.steps[-1][0] == kind:
        case.steps[-1] = (kind, case.steps[-1][1] + data)
    else:
        case.steps.append((kind, data))


def all_cases() -> list[Case]:
    """Every case of every file, file by file; titles are unique, as they name the tests."""
    cases = [case for path in sorted(FOLDER.glob("*.txt")) for case in parse(path.read_text("utf-8"), path.name)]
    seen: dict[str, str] = {}
    for case in cases:
        if case.title in seen:
            raise ValueError(f"{case.place}: the title is taken by {seen[case.title]}")
        seen[case.title] = case.place
    return cases
