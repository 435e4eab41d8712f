"""A client that asks for `/` every few milliseconds, as a process of its own; it is told on its standard input what to do.

`python tests/programs/honest_client.py 127.0.0.1 8080 kept CERTIFICATE`: a line with a number of seconds makes it measure for so long
and print a line of JSON: the seconds that each answer took, and how many failed. A time counts from the moment when the request was due,
so that one long wait counts for all requests that it holds up. `fresh` opens a connection for each request. The certificate
may be left out. It ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import time

from support.certificates import SecureWire
from support.wire import Wire, request_bytes

PACE_S = {"kept": 0.002, "fresh": 0.01}
GET = request_bytes("/")


def measure(connect, seconds: float, how: str) -> tuple[list[float], int]:
    times: list[float] = []
    failed, wire = 0, None
    due = began = time.perf_counter()
    while due < began + seconds and time.perf_counter() < began + 4 * seconds:
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            wire = wire or connect()
            assert wire.send(GET).receive_answer().text == "hello"
        except (OSError, AssertionError):
            failed += 1
            wire = None
        else:
            if how == "fresh":
                wire.close()
                wire = None
        times.append(time.perf_counter() - due)
        due += PACE_S[how]
    if wire:
        with contextlib.suppress(OSError):
            wire.close()
    return times, failed


def main() -> None:
    host, port, how, *certificate = sys.argv[1:]
    address = (host, int(port))
    context = ssl.create_default_context(cafile=certificate[0]) if certificate else None

    def connect() -> Wire:
        return SecureWire(address, context) if context else Wire(address)

    for line in sys.stdin:
        print(json.dumps(measure(connect, float(line), how)), flush=True)


if __name__ == "__main__":
    main()
