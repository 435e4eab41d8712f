"""Instructions per request or message under callgrind: `python bench/count.py [--rev COMMIT …] [--requests N]`.

A count settles questions that a clock cannot on a machine that others use: the access log on and off, one commit against
another. Each server runs twice under callgrind, answering N and then 2N requests of the hello, or as many messages of a
WebSocket; the difference divided by N is free of start-up and shut-down. User space only: system calls are counted by
`strace -f -c`. Servers have a clock that is slowed down as they are (`harness/slow_clock.c`), since they bound a turn of the event
loop by time: as many requests share one as without callgrind, and two runs agree. The ticks of a server, ten a second, stay
those of real time, and count about 60 times as much.
Standard library only, valgrind, and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import install, measure, paths, revisions
from harness.peers import PEERS
from harness.revisions import Built
from harness.server import Server, ServerFailed, free_port
from harness.workloads import WORKLOADS, Workload

CALLGRIND = paths.WORK / "callgrind"
SLOW_CLOCK = paths.WORK / "slow_clock.so"
HELLO, ECHO, ASYNC, HTTP2 = (WORKLOADS[key] for key in ("hello", "ws_echo", "async_hello", "h2_hello"))
# Applications of other frameworks on this server, whose own instructions `alone.py --count` tells.
HOSTED = tuple(WORKLOADS[key] for key in ("asgi_hello", "starlette_hello", "fastapi_json"))
# The kinds of subjects: the programs that are counted for each state of the project.
RUST, PYTHON = "Rust hello", "Python hello"
LOGS = ("off", "common")
# Echo servers for WebSockets; all but the first are Python.
ECHOES = ("ws-rust", "ws-callbacks", "ws-async", "ws-blocking")
# Hellos that are asked over HTTP/2 by h2load, one that an `async def` function answers, one with hooks around it, one with metrics.
OTHERS = ("h2-rust", "h2-python", "async", "hooks", "metrics")


@dataclass(frozen=True)
class Subject:
    """One server to count: its state of the project, its kind, its access log."""

    state: str
    kind: str
    log: str
    command: Callable[[int], list[str]]
    workload: Workload = HELLO


def say(text: str) -> None:
    print(text, flush=True)


def arguments() -> argparse.Namespace:
    hosted = [workload.reference for workload in HOSTED]
    single = [key for key, peer in PEERS.items() if not peer.ours and not key.startswith(("granian", "gunicorn"))] + hosted
    kinds = ("rust", "python", *ECHOES, *OTHERS)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rev", action="append", default=[], help="another commit to compare with; may be repeated")
    parser.add_argument("--requests", type=int, default=10_000, help="N (default 10000)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs; the median counts (default 3)")
    parser.add_argument("--what", default="rust,python",
                        help=f"of ours: {', '.join(kinds)}, ws for all four of these (default rust,python)")  # fmt: skip
    parser.add_argument("--peers", default="", help="single-process peers to count as well: " + ", ".join(single))
    options = parser.parse_args()
    # `REV=` of make may hold several, separated by spaces.
    options.rev = [name for text in options.rev for name in text.split()]
    what = [name for name in options.what.split(",") if name]
    options.what = [kind for name in what for kind in (ECHOES if name == "ws" else (name,))]
    options.peers = [name for name in options.peers.split(",") if name]
    if unknown := sorted({*options.what} - {*kinds}) + sorted({*options.peers} - {*single}):
        parser.error(f"unknown: {', '.join(unknown)}")
    return options


def find_valgrind() -> str | None:
    """The program, installed from the distribution if that is possible."""
    if shutil.which("valgrind") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("install  valgrind")
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "valgrind"], stdout=subprocess.DEVNULL)
    return shutil.which("valgrind")


def make_slow_clock() -> str | None:
    """Compiles the clock that servers have under callgrind; the reason if that fails."""
    paths.WORK.mkdir(parents=True, exist_ok=True)
    source = paths.BENCH / "harness" / "slow_clock.c"
    command = ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(SLOW_CLOCK), str(source), "-ldl"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return done.stderr.strip() or "cc has failed" if done.returncode else None


def instructions(valgrind: str, name: str, subject: Subject, requests: int, options) -> int:
    """All instructions of one server's life in which it answered this many requests (and one of readiness)."""
    port, workload = free_port(), subject.workload
    CALLGRIND.mkdir(parents=True, exist_ok=True)
    messages = CALLGRIND / f"{name}.log"
    prefix = (
        valgrind, "--tool=callgrind", f"--callgrind-out-file={CALLGRIND / name}.out", f"--log-file={messages}",
    )  # fmt: skip
    load = [
        *workload.load_arguments(), "--warmup", "0", "--requests", str(requests), "--limit", "120",
        "--connections", str(options.connections),
    ]  # fmt: skip
    if not workload.is_websocket:
        load += ["--pipeline", str(options.pipeline)]
    if workload.http2:
        load = ["h2load", f"--requests={requests}", "--clients=4", "--max-concurrent-streams=10"]
        load.append(f"http://127.0.0.1:{port}{workload.path}")
    # String hashes decide where dictionaries put their keys, and so how many steps a look-up takes.
    # Under callgrind a handler is so slow that the server moves its calls to the pool, in some runs more often than in others.
    settings = {"PYTHONHASHSEED": "0", "BENCH_INLINE": "1", "LD_PRELOAD": str(SLOW_CLOCK)}
    if subject.log:
        settings["OUTSIDE_ACCESS_LOG"] = subject.log
    with Server(name, subject.command(port), port, None, prefix, settings) as server:
        server.wait_until_right("GET", workload.path, b"", workload.is_right, workload.headers, seconds=120)
        result = asked_over_http2(load) if workload.http2 else asked(port, load)
        if result["errors"] or result["requests"] != requests:
            raise ServerFailed(f"answered {result['requests']} of {requests}: {result.get('first_error')}")
        # callgrind writes its sum when the program has ended by itself.
        server.stop(seconds=60)
    found = re.search(r"Collected : (\d+)", messages.read_text())
    if not found:
        raise ServerFailed(f"callgrind left no sum in {messages.name}")
    return int(found[1])


def asked(port: int, load: list[str]) -> dict:
    with measure.Load(port, load, None, (str(paths.LOAD),)) as generator:
        generator.next_event()
        generator.go_on()
        result = generator.next_event()
        generator.go_on()
        return result


def asked_over_http2(load: list[str]) -> dict:
    said = subprocess.run(load, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed, (\d+) errored", said)
    total, good, failed, errors = map(int, found.groups()) if found else (0, 0, 0, 1)
    return {"requests": good, "errors": failed + errors, "first_error": said[-200:], "total": total}


def per_request(valgrind: str, name: str, subject: Subject, options) -> dict:
    """The median of the pairs, and the distance between them."""
    values = []
    for _ in range(options.pairs):
        once, twice = (
            instructions(valgrind, name, subject, count, options) for count in (options.requests, 2 * options.requests)
        )
        values.append((twice - once) / options.requests)
    median = statistics.median(values)
    return {"instructions": median, "spread": (max(values) - min(values)) / median if median else 0.0, "pairs": values}


def subjects(built: Built, options) -> list[Subject]:
    """The servers to count in one state of the project."""
    found = []
    if "rust" in options.what:
        found += [Subject(built.label, RUST, log, lambda port: [str(built.rust), str(port)]) for log in LOGS]
    if "python" in options.what:
        found += [
            Subject(built.label, PYTHON, log, lambda port, log=log: [str(built.python), "outside_app.py", str(port), log])
            for log in LOGS
        ]
    if "ws-rust" in options.what:
        found.append(Subject(built.label, "ws-rust", "", lambda port: [str(built.rust), str(port)], ECHO))
    for echo in ECHOES[1:]:
        if echo in options.what:
            style = echo.removeprefix("ws-")
            command = [str(built.python), "outside_ws_app.py"]
            found.append(Subject(built.label, echo, "", lambda port, c=command, s=style: [*c, str(port), s], ECHO))
    if "h2-rust" in options.what:
        found.append(Subject(built.label, "h2-rust", "off", lambda port: [str(built.rust), str(port)], HTTP2))
    others = (
        ("h2-python", "outside_app.py", HTTP2),
        ("async", "outside_routes_app.py", ASYNC),
        ("hooks", "outside_hooks_app.py", HELLO),
        ("metrics", "outside_metrics_app.py", HELLO),
    )
    for kind, app, workload in others:
        if kind in options.what:
            command = [str(built.python), app]
            found.append(Subject(built.label, kind, "off", lambda port, c=command: [*c, str(port)], workload))
    return found


def states(options) -> list[Built]:
    """The working tree first, then the other commits."""
    rust = not {"rust", "ws-rust", "h2-rust"}.isdisjoint(options.what)
    python = not {"python", *ECHOES[1:], "h2-python", "async", "hooks", "metrics"}.isdisjoint(options.what)
    if rust and (reason := install.our_rust(say)):
        say(f"absent   Rust of the working tree: {reason}")
    if python and (reason := install.our_python()):
        say(f"absent   Python of the working tree: {reason}")
    found = [revisions.working_tree()] if options.what else []
    for revision in options.rev:
        try:
            found.append(revisions.build(revision, rust, python, say))
        except revisions.BuildFailed as error:
            sys.exit(f"bench-count: {revision} cannot be built: {error}")
    return found


def percent(value: float, base: float) -> str:
    return f"{(value / base - 1) * 100:+.2f} %"


def table(counts: dict[str, dict[tuple[str, str], dict]]) -> list[str]:
    """Markdown: one row per subject, one column per state, each with its distance from the log-off row and the tree."""
    labels = list(counts)
    head = ["subject", *labels, *(f"tree against {label}" for label in labels[1:] if label != "peers")]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    keys = list(dict.fromkeys(key for found in counts.values() for key in found))
    for key in keys:
        kind, log = key
        cells = [f"{kind}, log {log}" if log else kind]
        for label in labels:
            found = counts[label].get(key)
            cell = f"{found['instructions']:,.0f} (±{found['spread'] * 50:.2f} %)" if found else "—"
            base = counts[label].get((kind, "off"))
            if found and base and log not in ("", "off"):
                cell += f", log {percent(found['instructions'], base['instructions'])}"
            cells.append(cell)
        tree = counts[labels[0]].get(key)
        for label in labels[1:]:
            other = counts[label].get(key)
            if label != "peers":
                cells.append(percent(tree["instructions"], other["instructions"]) if tree and other else "—")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    options = arguments()
    valgrind = find_valgrind()
    if valgrind is None:
        sys.exit("bench-count: valgrind is missing (on Debian and Ubuntu: apt install valgrind)")
    if reason := make_slow_clock():
        sys.exit(f"bench-count: the clock for callgrind cannot be compiled: {reason}")
    if reason := install.programs(say):
        sys.exit(f"bench-count: the Rust parts cannot be built: {reason}")
    counts: dict[str, dict[tuple[str, str], dict]] = {}
    work = [subject for built in states(options) for subject in subjects(built, options)]
    asked_by = {
        key: workload for workload in (ECHO, WORKLOADS["rust-ws_echo"], HTTP2) for key in workload.peers if not PEERS[key].ours
    } | {workload.reference: workload for workload in HOSTED}
    work += [Subject("peers", PEERS[key].label, "", PEERS[key].command, asked_by.get(key, HELLO)) for key in options.peers]
    for subject in work:
        label = f"{subject.state}, {subject.kind}, log {subject.log or '-'}"
        name = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        try:
            program = Path(subject.command(0)[0])
            if not program.exists():
                raise ServerFailed(f"{program.name} is not built")
            found = per_request(valgrind, name, subject, options)
        except ServerFailed as error:
            say(f"count    {label}: FAILED: {error}")
            continue
        counts.setdefault(subject.state, {})[subject.kind, subject.log] = found
        say(f"count    {label}: {found['instructions']:,.0f} per {subject.workload.unit.removesuffix('s')}")
    if not counts:
        sys.exit("bench-count: nothing could be counted")
    lines = table(counts)
    say(f"\nInstructions per request or message, {options.connections} connections, pipeline {options.pipeline}, user space:\n")
    say("\n".join(lines))
    paths.RESULTS.mkdir(exist_ok=True)
    document = {
        label: {f"{kind}, log {log}" if log else kind: found for (kind, log), found in rows.items()}
        for label, rows in counts.items()
    }
    (paths.RESULTS / "count.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
