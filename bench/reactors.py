"""One process with one event loop, and with two: `python bench/reactors.py --python PYTHON [--rounds N] [--seconds S]`.

`PYTHON` is a free-threaded Python with `outside` installed, such as that of a virtual environment with a wheel of `make wheel`. Server and
load share all cores. In turns, one event loop and as many as are asked for: the hello, of which the load takes a part of the cores, and a
handler that computes in Python, which has nearly all of them. The ratio of the rates says what another event loop brings.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import install, paths
from harness.measure import Load
from harness.server import Server, free_port

PROGRAM = """\
import sys
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config.update({"access_log": "off", "max_socket_reuse": 1_000_000_000, "reactors": int(sys.argv[2])})
server.set_route("/hello", lambda request: "Hello, World!")
server.set_route("/compute", lambda request: str(sum(number * number for number in range(2000))))
server.run()
"""
TARGETS = {"/hello": b"Hello, World!", "/compute": b"2664667000"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the Python that serves (default: this one)")
    parser.add_argument("--reactors", type=int, default=2, help="event loops that are compared with one (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of turns; the median of their ratios counts (default 7)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds of a turn (default 2)")
    return parser.parse_args()


def turn(program: Path, target: str, reactors: int, options: argparse.Namespace) -> tuple[float, float]:
    """Requests per second, and per CPU-second of the server."""
    port = free_port()
    command = [options.python, str(program), str(port), str(reactors)]
    with Server("reactors", command, port, None) as server:
        server.wait_until_right("GET", target, b"", lambda status, body: (status, body) == (200, TARGETS[target]))
        given = ["--path", target, "--warmup", "0.7", "--duration", str(options.seconds), "--connections", "64"]
        with Load(port, given, None, (str(paths.LOAD),)) as load:
            load.next_event()
            before = server.cpu_seconds()
            load.go_on()
            result = load.next_event()
            cpu = server.cpu_seconds() - before
            load.go_on()
    return result["requests"] / result["seconds"], result["requests"] / cpu


def main() -> None:
    options = arguments()
    ask = "import sys, sysconfig; print(sys.version.split()[0], 'free-threaded' if sysconfig.get_config_var('Py_GIL_DISABLED') else '')"
    version = subprocess.run([options.python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    print(f"CPython {version}, {options.rounds} rounds of {options.seconds} s, 64 connections")
    if reason := install.programs(print):
        sys.exit(f"bench-reactors: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(PROGRAM)
        for target in TARGETS:
            ratios, rates, costs = [], {1: [], options.reactors: []}, {1: [], options.reactors: []}
            for number in range(options.rounds):
                # The order changes, so that no turn always has the warmer machine.
                for reactors in sorted(rates, reverse=number % 2 == 1):
                    rate, per_cpu = turn(program, target, reactors, options)
                    rates[reactors].append(rate)
                    costs[reactors].append(per_cpu)
                ratios.append(rates[options.reactors][-1] / rates[1][-1])
            for reactors, of_these in rates.items():
                per_cpu = statistics.median(costs[reactors])
                print(f"{target}, reactors {reactors}: {statistics.median(of_these):,.0f}/s, {per_cpu:,.0f} per CPU-second")
            print(
                f"{target}, rate of {options.reactors} / 1: {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
