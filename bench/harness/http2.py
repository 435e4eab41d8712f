"""h2load (Debian's nghttp2-client) behind the gates of the load generator: a program of its own, as `bench-load` is one.

It warms up with one run and measures with another, on connections of its own: opening them is part of the measurement, and is
next to nothing beside seconds of load. The memory that is read afterwards is that of a server whose clients have left.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys


def h2load(options: argparse.Namespace, seconds: float) -> dict:
    """One run; the result in the form of `bench-load`, as far as h2load knows it."""
    scheme = "https" if options.tls else "http"
    command = [
        "h2load", f"--duration={max(1, round(seconds))}", f"--clients={options.connections}",
        f"--max-concurrent-streams={options.streams}", "--threads=1", f"{scheme}://{options.connect}{options.path}",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = re.search(r"finished in ([\d.]+)(m?s)", done.stdout)
    counts = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    data = re.search(r"\(([\d]+)\) data", done.stdout)
    if done.returncode or not finished or not counts:
        raise SystemExit(f"h2load: {(done.stderr or done.stdout).strip()[-300:]}")
    elapsed = float(finished[1]) / (1000 if finished[2] == "ms" else 1)
    _done, succeeded, *failures = (int(count) for count in counts.groups())
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = {
        "event": "result", "requests": succeeded, "seconds": elapsed, "requests_per_second": round(succeeded / elapsed, 1),
        "errors": sum(failures), "reconnects": 0, "bytes": int(data[1]) if data else 0, "load_busy": round(busy / elapsed, 3),
    }  # fmt: skip
    times = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", done.stdout)
    middle = milliseconds(times[3]) if times else 0.0
    worst = milliseconds(times[2]) if times else 0.0
    # h2load tells the least, the most and the mean, and no percentiles.
    result |= {"p50_ms": middle, "p90_ms": worst, "p99_ms": worst, "p999_ms": worst, "max_ms": worst}
    return result


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect")
    parser.add_argument("--path", default="/hello")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--duration", type=float, default=3)
    options = parser.parse_args()
    h2load(options, options.warmup)
    print(json.dumps({"event": "warm"}), flush=True)
    if options.gate:
        sys.stdin.readline()
    print(json.dumps(h2load(options, options.duration)), flush=True)
    if options.gate:
        sys.stdin.readline()


if __name__ == "__main__":
    main()
