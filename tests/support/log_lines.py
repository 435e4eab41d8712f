"""Lines of the access log, and requests that try to forge them."""

from __future__ import annotations

import re

COMMON = re.compile(r'^(\S+) - (\S+) \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "(.*)" (\d{3}) (\d+|-)$')
COMBINED = re.compile(r'^(\S+) - (\S+) \[[^\]]+\] "(.*)" (\d{3}) (\d+|-) "(.*)" "(.*)"$')
FORGED = b'127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /forged HTTP/1.1" 200 5'


def get(target: bytes, *fields: bytes) -> bytes:
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: a", b"Connection: close", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


HOSTILE = {
    "an escape sequence": get(b"/\x1b[31mred\x1b[0m"),
    "an encoded escape sequence": get(b"/%1b[31mred%1b[0m"),
    "an encoded line": get(b"/%0d%0a" + FORGED.replace(b" ", b"%20")),
    "a line": get(b"/\n" + FORGED),
    "a carriage return": get(b"/\r" + FORGED),
    "control bytes": get(b"/" + bytes(range(1, 32)).replace(b"\n", b"").replace(b"\r", b"")),
    "encoded control bytes": get(b"/" + b"".join(b"%%%02x" % byte for byte in [*range(32), *range(127, 160)])),
    "no ASCII": get("/äöü\u2028\u2029\x85".encode()),
    "encoded separators of lines": get(b"/%e2%80%a8%e2%80%a9%c2%85"),
    "no UTF-8": get(b"/%ff%fe\xff\xfe"),
    "quotes": get(b'/"%22\\"'),
    "a quote at the end": get(b"/\\"),
    "an object": get(b'/","status":200,"x":"'),
    "long": get(b"/" + b"a" * 8100),
    "long, and all to be escaped": get(b"/" + b'"' * 8100),
    "too long": get(b"/" + b"a" * 9000),
    "too long, and all to be escaped": get(b"/" + b"\x1b" * 9000),
    "an agent with escapes": get(b"/", b"User-Agent: \x1b]0;title\x07\x9b2J"),
    "an agent with quotes": get(b"/", b'User-Agent: "\\" 200 5', b'Referer: \\"'),
    "an agent that is no ASCII": get(b"/", "User-Agent: ä\u2028".encode(), b"Referer: \xff\xc2\x85"),
    "an agent with tabs": get(b"/", b"User-Agent: a\tb\tc"),
    "a long agent": get(b"/", b"User-Agent: " + b'"' * 30_000),
    "a method with escapes": b"\x1b[31mGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a folded field": get(b"/", b"X: a\r\n " + FORGED),
    "a host with escapes": b"GET / HTTP/1.1\r\nHost: \x1b[31m\r\n\r\n",
    "a version with escapes": b"GET / HTTP/1.\x1b[31m\r\nHost: a\r\n\r\n",
}
