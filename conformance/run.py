"""The Autobahn TestSuite against our echo servers, and its verdicts against the expected ones.

`python conformance/run.py [--servers rust,python] [--groups 1-7,9,10,12,13] [--quick] [--jobs N]`. The suite is Python 2.7
code: it is installed into `conformance/work` by a Python 2.7 that is found on PATH or among pyenv's. Standard library only.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = HERE / "work"
SUITE = WORK / "suite"
COMMANDS = {
    "rust": [str(ROOT / "target" / "release" / "examples" / "echo"), "0"],
    "python": [sys.executable, str(HERE / "echo.py"), "0"],
}
# Server and style of the handler -> route.
AGENTS = {
    "rust-callbacks": "/",
    "rust-blocking": "/blocking",
    "python-callbacks": "/",
    "python-blocking": "/blocking",
    "python-async": "/async",
}
GROUPS = "1-7,9,10,12,13"
# Messages of 8 KiB and more, a thousand of each, in every variant of compression; and the largest of group 9.
SLOW = ["9.1.5", "9.1.6", "9.2.5", "9.2.6", "9.3.*", "9.4.*", *(f"{group}.{variant}.{size}" for group, variants in
        ((12, 5), (13, 7)) for variant in range(1, variants + 1) for size in range(6, 19))]  # fmt: skip
READY_WITHIN = 30
AGENT_WITHIN = 2 * 3600
# From the best to the worst.
RANKS = ["OK", "NON-STRICT"]


def main() -> int:
    options = arguments()
    groups = [group for part in options.groups.split(",") for group in expand(part)]
    expected = read_verdicts()
    wanted = {case for case in expected if case.split(".")[0] in groups}
    python = find_python()
    install(python)
    agents = [agent for agent in AGENTS if agent.split("-")[0] in options.servers.split(",")]
    excluded = SLOW if options.quick else []
    servers = {name: Server(COMMANDS[name]) for name in sorted({agent.split("-")[0] for agent in agents})}
    faults = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            run = {
                pool.submit(run_agent, python, agent, servers[agent.split("-")[0]].url + AGENTS[agent], groups, excluded): agent
                for agent in agents
            }
            for done in concurrent.futures.as_completed(run):
                faults += report(run[done], done.result(), expected, wanted, excluded)
    finally:
        for server in servers.values():
            server.stop()
    asked = [case for case in wanted if not any(matches(case, pattern) for pattern in excluded)]
    print(f"{len(agents)} servers and styles of {len(asked)} cases each: {faults} not as expected or missing")
    return min(faults, 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="rust,python", help="of rust and python, comma-separated")
    parser.add_argument("--groups", default=GROUPS, help=f"of {GROUPS}")
    parser.add_argument("--quick", action="store_true", help="without the largest messages: some minutes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="so many handlers are tested at a time")
    return parser.parse_args()


def expand(text: str) -> list[str]:
    """`1-3` is 1, 2, 3; `7` is 7."""
    first, _, last = text.partition("-")
    return [str(number) for number in range(int(first), int(last or first) + 1)]


def read_verdicts() -> dict[str, str]:
    """Case -> the worst verdict that is expected of it."""
    verdicts = {}
    for line in (HERE / "verdicts.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            cases, verdict = line.split()
            section, _, numbers = cases.rpartition(".")
            verdicts.update({f"{section}.{number}": verdict for number in expand(numbers)})
    return verdicts


def find_python() -> str:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(root.glob("versions/2.7*/bin/python"), reverse=True)
    for candidate in [shutil.which("python2.7"), *map(str, installed), shutil.which("pypy")]:
        question = [candidate, "-c", "import sys, pip; print(sys.version_info[:2] == (2, 7))"]
        if candidate and subprocess.run(question, capture_output=True, text=True).stdout.strip() == "True":
            return candidate
    sys.exit("conformance: no Python 2.7 with pip on PATH or in pyenv, which the suite needs (pyenv install 2.7.18)")


def install(python: str) -> None:
    requirements = HERE / "suite.txt"
    memory = SUITE / "installed.txt"
    if memory.exists() and memory.read_text() == python + requirements.read_text():
        return
    print(f"suite    pip install -r {requirements.relative_to(ROOT)}", flush=True)
    shutil.rmtree(SUITE, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--target", str(SUITE), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"conformance: the suite cannot be installed\n{done.stdout}{done.stderr}")
    memory.write_text(python + requirements.read_text())


class Server:
    """A server of its own process, from its first word to its end."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        urls: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, args=(urls,), daemon=True).start()
        try:
            self.url = urls.get(timeout=READY_WITHIN)
        except queue.Empty:
            self.stop()
            sys.exit(f"conformance: {' '.join(command)} is not ready in time")

    def listen(self, urls: queue.Queue[str]) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"http(://127\.0\.0\.1:\d+)", line):
                urls.put("ws" + found[1])
            elif not line.startswith("{"):
                print(f"server   {line}", end="", flush=True)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(READY_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run_agent(python: str, agent: str, url: str, groups: list[str], excluded: list[str]) -> Path:
    """Runs the suite against one route; the folder of its reports."""
    folder = WORK / agent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    specification = folder / "specification.json"
    cases = [f"{group}.*" for group in groups]
    specification.write_text(
        json.dumps(
            {
                "outdir": str(folder / "reports"),
                "servers": [{"agent": agent, "url": url}],
                "cases": cases,
                "exclude-cases": excluded,
                "exclude-agent-cases": {},
            }
        )
    )
    command = [python, str(HERE / "wstest.py"), str(SUITE), "--mode", "fuzzingclient", "--spec", str(specification)]
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=AGENT_WITHIN)
    print(f"{agent}: {time.monotonic() - began:.0f} s", flush=True)
    return folder / "reports"


def report(agent: str, reports: Path, expected: dict[str, str], wanted: set[str], excluded: list[str]) -> int:
    """Compares, and prints the unexpected cases; returns their number."""
    index = reports / "index.json"
    verdicts = json.loads(index.read_text())[agent] if index.exists() else {}
    missing = {case for case in wanted - verdicts.keys() if not any(matches(case, pattern) for pattern in excluded)}
    worse = [case for case, verdict in verdicts.items() if not is_as_good(verdict, expected.get(case, "OK"))]
    for case in sorted(worse, key=in_order):
        explain(agent, case, verdicts[case], expected.get(case, "OK"), reports)
    if missing:
        print(f"{agent}: no verdict on {', '.join(sorted(missing, key=in_order))}; see {reports.parent / 'log'}")
    strict = sum(verdict["behavior"] == "OK" for verdict in verdicts.values())
    print(f"{agent}: {len(verdicts)} cases, {strict} OK, {len(worse)} not as expected, {len(missing)} missing", flush=True)
    return len(worse) + len(missing)


def matches(case: str, pattern: str) -> bool:
    return case.startswith(pattern[:-1]) if pattern.endswith("*") else case == pattern


def in_order(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]


def is_as_good(verdict: dict[str, str], expected: str) -> bool:
    """The verdict on the closing has to be the same or better, too."""
    if expected == "INFORMATIONAL":
        return verdict["behavior"] in (expected, "OK")
    allowed = RANKS[: RANKS.index(expected) + 1]
    return verdict["behavior"] in allowed and verdict["behaviorClose"] in ("OK", "INFORMATIONAL")


def explain(agent: str, case: str, verdict: dict[str, str], expected: str, reports: Path) -> None:
    details = json.loads((reports / verdict["reportfile"]).read_text())
    print(f"{agent}: case {case} is {verdict['behavior']}, its end {verdict['behaviorClose']}; expected {expected}")
    for name in ("description", "expectation", "result", "resultClose"):
        print(f"    {name}: {' '.join(re.sub('<[^>]*>', ' ', str(details[name])).split())}")
    print(f"    close code: {details['remoteCloseCode']} {details['remoteCloseReason'] or ''}")
    print(f"    received: {str(details['received'])[:400]}")


if __name__ == "__main__":
    sys.exit(main())
