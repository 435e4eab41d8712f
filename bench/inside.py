"""The cost of being seen: `python bench/inside.py [--pages N] [--rounds N] [--seconds S]`.

Hello in Python with metrics and the status page on, one process on a core of its own, the load on the other. In turns, without pages and
with so many open ones, each of which asks for the numbers every second, as a browser does: the ratio of requests per CPU-second is their
cost. Then the page is opened beside the load, by a plain client and, if there is one, in Chromium: from the navigation until the first
numbers stand on it. With `--metrics` the turns are without metrics and with them instead. It is for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness import install, paths
from harness.measure import Load
from harness.server import Server, free_port

PROGRAM = """\
import json, sys
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config.update({"access_log": "off", **json.loads(sys.argv[2])})
server.set_route("/hello", lambda request: "Hello, World!")
server.run()
"""
SERVER_CORE, LOAD_CORE = 0, 1
DEADLINE = 20.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100, help="open status pages (default 100)")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of turns; the median of their ratios counts (default 7)")
    parser.add_argument("--seconds", type=float, default=4, help="seconds of a turn (default 4)")
    parser.add_argument("--opens", type=int, default=20, help="times that the page is opened (default 20)")
    parser.add_argument("--metrics", action="store_true", help="compare metrics off and on, in place of pages")
    return parser.parse_args()


def ask(port: int, target: str) -> bytes:
    """The content of an answer of the listener of the metrics, which ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = b""
        while piece := client.recv(1 << 20):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"bench-inside: {target}: {head.decode(errors='replace')}")
    return body


class Pages:
    """So many open pages: each asks once a second, all of them evenly spread."""

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count, self.asked = port, count, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if count:
            self._thread.start()

    def _run(self) -> None:
        os.sched_setaffinity(0, {LOAD_CORE})  # this thread alone
        due = time.monotonic()
        while not self._end.is_set():
            ask(self._port, "/status.json")
            self.asked += 1
            due += 1 / self._count
            self._end.wait(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self._end.set()
        if self._count:
            self._thread.join()


def turn(folder: Path, settings: dict[str, object], pages: int, options: argparse.Namespace) -> dict:
    """Requests per CPU-second of the server, and how often the pages have asked."""
    port, metrics = free_port(), free_port()
    if settings:
        settings = {**settings, "metrics": ["127.0.0.1", metrics]}
    program = folder / "program.py"
    program.write_text(PROGRAM)
    command = [str(paths.OUR_PYTHON), str(program), str(port), json.dumps(settings)]
    with Server("inside", command, port, SERVER_CORE) as server:
        server.wait_until_right("GET", "/hello", b"", lambda status, body: (status, body) == (200, b"Hello, World!"))
        load_arguments = ["--warmup", "1", "--duration", str(options.seconds), "--connections", "32"]
        with Load(port, load_arguments, LOAD_CORE, (str(paths.LOAD),)) as load:
            load.next_event()
            open_pages = Pages(metrics, pages)
            before = server.cpu_seconds()
            load.go_on()
            result = load.next_event()
            cpu = server.cpu_seconds() - before
            open_pages.close()
            load.go_on()
    return {"rate": result["requests"] / result["seconds"], "per_cpu": result["requests"] / cpu, "asked": open_pages.asked}


def compare(folder: Path, options: argparse.Namespace) -> None:
    on = {"status_page": True}
    turns = [({}, 0), (on, 0)] if options.metrics else [(on, 0), (on, options.pages)]
    names = ["metrics off", "metrics on"] if options.metrics else ["no page", f"{options.pages} pages"]
    ratios = []
    for number in range(options.rounds):
        # The order changes, so that no turn always has the warmer machine.
        order = (0, 1) if number % 2 == 0 else (1, 0)
        found = {which: turn(folder, *turns[which], options) for which in order}
        ratios.append(found[1]["per_cpu"] / found[0]["per_cpu"])
        told = ", ".join(
            f"{names[which]} {found[which]['rate']:,.0f}/s, {found[which]['per_cpu']:,.0f} per CPU-second" for which in (0, 1)
        )
        print(f"round {number + 1}: {told}, {found[1]['asked']} asked; ratio {ratios[-1]:.4f}", flush=True)
    print(f"{names[1]} / {names[0]}: median {statistics.median(ratios):.4f}, {min(ratios):.4f} to {max(ratios):.4f}")


def opening(folder: Path, options: argparse.Namespace) -> None:
    """The times of opening the page beside the load."""
    port, metrics = free_port(), free_port()
    settings = {"status_page": True, "metrics": ["127.0.0.1", metrics]}
    command = [str(paths.OUR_PYTHON), str(folder / "program.py"), str(port), json.dumps(settings)]
    with Server("inside", command, port, SERVER_CORE) as server:
        server.wait_until_right("GET", "/hello", b"", lambda status, body: status == 200)
        load_arguments = ["--warmup", "1", "--duration", "60", "--connections", "32"]
        with Load(port, load_arguments, LOAD_CORE, (str(paths.LOAD),)) as load:
            load.next_event()
            load.go_on()
            times = []
            for _ in range(options.opens):
                begun = time.perf_counter()
                ask(metrics, "/status")
                state = json.loads(ask(metrics, "/status.json"))
                times.append(time.perf_counter() - begun)
                time.sleep(0.2)
            said = f"beside {state['totals']['rate']:,.0f} requests/s"
            print(f"page and numbers {said}: median {statistics.median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms")
            in_chromium(metrics, said, min(5, options.opens))


def in_chromium(port: int, said: str, times: int) -> None:
    """The same in a browser, if there is one, with the helpers of the tests."""
    sys.path.insert(0, str(paths.ROOT / "tests"))
    try:
        from support.browser import CHROMIUM, Tab, chromium, devtools
    except ImportError as error:
        print(f"skipped: Chromium, because the tools of the tests are missing ({error}; make test-tools)")
        return
    if CHROMIUM is None:
        print("skipped: Chromium is not installed (make clients)")
        return
    taken = []
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        browser = devtools(process)
        for _ in range(times):
            tab = Tab(browser, "about:blank")
            begun = time.perf_counter()
            tab.call("Page.navigate", url=f"http://127.0.0.1:{port}/status")
            tab.wait_for_text("#workers td", "serving")
            taken.append(time.perf_counter() - begun)
            tab.close()
    print(f"opened in Chromium {said}: median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s")


def main() -> int:
    options = arguments()
    reason = install.our_python() or install.programs(print)
    if reason:
        sys.exit(f"bench-inside: {reason}")
    with tempfile.TemporaryDirectory(prefix="bench-inside-") as folder:
        compare(Path(folder), options)
        if not options.metrics:
            opening(Path(folder), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
