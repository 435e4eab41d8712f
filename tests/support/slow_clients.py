"""Clients that send slowly or stop: how a conversation with one ends, and the bytes that they send."""

from __future__ import annotations

import time
from dataclasses import dataclass

from support.wire import Answer, Wire, parse_all, request_bytes


@dataclass
class Outcome:
    """How a conversation ended: after how many seconds since the client's last act of interest, and the answers."""

    seconds: float
    answers: list[Answer]
    ended: bool

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]


def drip_until_end(address: tuple, opening: bytes, drip: bytes = b"", pace: float = 1, most: float = 15) -> Outcome:
    """Sends the opening, then the drip again and again at this pace, until the server ends it or `most` seconds."""
    with Wire(address) as wire:
        began = time.monotonic()
        wire.send(opening)
        while not wire.ended and (passed := time.monotonic() - began) < most:
            # Bytes that come later than the next drip are left for the next turn.
            wire.socket.settimeout(pace - passed % pace)
            try:
                wire.receive_some()
            except AssertionError:
                wire.send_if_possible(drip)
        seconds = time.monotonic() - began
        return Outcome(seconds, parse_all(bytes(wire.received)) if wire.ended else [], wire.ended)


GET = request_bytes("/")
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Half: "
SIZED = request_bytes("/", "POST", {"Content-Length": "1000000"})
LARGE = request_bytes("/", "POST", {"Content-Length": "9000000"})
CHUNKED = request_bytes("/", "POST", {"Transfer-Encoding": "chunked"})
EXPECTING = request_bytes("/", "POST", {"Content-Length": "9", "Expect": "100-continue"})
REFUSED = {
    "bad request": (b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 400),
    "too long": (b"GET /" + b"a" * 9000, 414),
    "too large": (request_bytes("/", "POST", {"Content-Length": "99999999"}), 413),
    "too large and patient": (
        request_bytes("/", "POST", {"Content-Length": "99999999", "Expect": "100-continue"}),
        413,
    ),
}
