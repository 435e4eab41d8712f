"""JSON read and written as the server does it, beside orjson in the same process: `python bench/json_speed.py [--rounds N]`.

Content becomes values by `request.json()`, and values become the bytes of an answer. Each round times both, one after the other, by the
CPU time of the thread: the ratio is orjson's time divided by ours, the median of the rounds with its 95 % interval. The result is
`results/json_speed.json`. orjson is installed with `pip install orjson`.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import platform
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

import orjson
from harness import paths, ratios
from harness.workloads import DOCUMENTS

from outside import Request, _outside

# Bytes that are read or written in one round, at least.
ENOUGH = 400_000


def kinds() -> dict[str, bytes]:
    """The documents of the bench, and one for each kind of value."""
    chance = random.Random(19)

    def text(letters: str) -> str:
        return "".join(chance.choice(letters) for _ in range(chance.randrange(3, 60)))

    values: dict[str, Any] = {
        "integers": [chance.randrange(10 ** chance.randrange(1, 10)) for _ in range(60_000)],
        "floats": [round(chance.uniform(-500, 500), chance.choice((2, 3, 6))) for _ in range(50_000)],
        "long floats": [chance.uniform(-500, 500) for _ in range(30_000)],
        "ascii": [text("abcdefghijklmnopqrstuvwxyz ") for _ in range(20_000)],
        "not ascii": [text("abcdefgäöüßéñ ") for _ in range(20_000)],
        "escapes": [text("abcdefghijklmnopqrstuvwxyz ") + '\n"' + text("abcdefgh") + '"' for _ in range(10_000)],
        "nested": [[[[[index], [[index]]]], {"a": {"b": {"c": []}}}] for index in range(8_000)],
    }
    documents = {name: make() for name, make in DOCUMENTS.items()}
    return documents | {name: json.dumps(value, ensure_ascii=False).encode() for name, value in values.items()}


def seconds(call: Callable[[Any], object], arguments: list[Any]) -> float:
    """The CPU time of the calls; what they give is freed afterwards."""
    made: list[object] = []
    gc.collect()
    begin = time.thread_time()
    for argument in arguments:
        made.append(call(argument))
    return time.thread_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    rows: dict[str, Any] = {}
    for name, text in kinds().items():
        value, count = json.loads(text), max(2, ENOUGH // len(text))
        pairs: dict[str, list[tuple[float, float]]] = {"read": [], "written": []}
        for _ in range(rounds):
            requests = [Request("POST", {}, text, "HTTP/1.1", "/", ("127.0.0.1", 5000)) for _ in range(count)]
            ours = seconds(lambda request: request.json(), requests)
            pairs["read"].append((ours, seconds(lambda content: orjson.loads(content), [text] * count)))
            pairs["written"].append((seconds(_outside._json_size, [value] * count), seconds(orjson.dumps, [value] * count)))
        rows[name] = {"bytes": len(text)}
        for what, times in pairs.items():
            ratio = ratios.estimate([theirs / ours for ours, theirs in times])
            ours, theirs = (ratios.estimate([time[side] / count * 1e6 for time in times]).median for side in (0, 1))
            rows[name][what] = {"ratio": ratio.as_dict(), "microseconds": ours, "orjson": theirs}
            print(
                f"{name:12} {len(text):>9,} bytes {what:8} {ours:9.1f} us, orjson {theirs:9.1f} us:"
                f" {ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]",
                flush=True,
            )
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=paths.ROOT, capture_output=True, text=True
    ).stdout.strip()
    document = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": commit,
        "python": platform.python_version(),
        "orjson": orjson.__version__,
        "documents": rows,
    }
    (paths.RESULTS / "json_speed.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
