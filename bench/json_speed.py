"""The JSON parser and the encoder alone, beside orjson in the same process: `python bench/json_speed.py`.

Prints the time of each for the documents of `harness/workloads.py`, and the ratio of orjson's to ours. orjson is installed with
`pip install orjson`; it writes bytes, this module text, of which the engine makes bytes once more.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import orjson
from harness.workloads import DOCUMENTS

from outside import Request, _outside

ROUNDS = 9


def seconds(call: Callable[[object], object], made: Callable[[], object], count: int) -> float:
    """The median time of one call, without the time in which its arguments are made."""
    taken = []
    for _ in range(ROUNDS):
        arguments = [made() for _ in range(count)]
        begin = time.perf_counter()
        for argument in arguments:
            call(argument)
        taken.append((time.perf_counter() - begin) / count)
    return statistics.median(taken)


def main() -> None:
    for name, make in DOCUMENTS.items():
        text = make()
        value = json.loads(text)
        count = max(3, 300_000 // len(text))
        request = lambda text=text: Request("POST", {}, text, "HTTP/1.1", "/", ("127.0.0.1", 5000))
        ours = (seconds(lambda one: one.json(), request, count), seconds(_outside._json_text, lambda value=value: value, count))
        theirs = (seconds(orjson.loads, lambda text=text: text, count), seconds(orjson.dumps, lambda value=value: value, count))
        for what, own, other in zip(("read", "written"), ours, theirs, strict=True):
            print(
                f"{name:10} {len(text):>9,} bytes {what:8} {own * 1e6:10.1f} us, orjson {other * 1e6:10.1f} us: {other / own:.2f}"
            )


if __name__ == "__main__":
    main()
