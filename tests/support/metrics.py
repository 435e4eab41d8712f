"""A server with metrics in a process of its own, and its numbers as Prometheus reads them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from pathlib import Path

from support.harness import PROGRAMS, Script, wait_until
from support.wire import DEADLINE, Answer, parse_answer

DURATION = "http_server_request_duration_seconds"


class Measured(Script):
    """`metrics_app.py` with these settings; its metrics are on a Unix socket, unless the settings say otherwise."""

    def __init__(self, folder: Path, /, **settings: object) -> None:
        self.place = f"unix:{folder}/metrics"
        file = folder / "settings.json"
        file.write_text(json.dumps({"metrics": self.place, **settings}))
        self.heard: list[str] = []
        super().__init__(str(PROGRAMS / "metrics_app.py"), str(file))
        while "outside tells its metrics on " not in (line := self.read_line()):
            self.heard.append(line)
        self.place = line.partition(" on ")[2].strip()

    def ask(self, target: str, *, host: str = "localhost", method: str = "GET", fields: str = "") -> Answer:
        """An answer of the listener of the metrics."""
        with self.connect() as wire:
            wire.sendall(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
            data = b""
            while piece := wire.recv(65536):
                data += piece
        return parse_answer(data, head=method == "HEAD", ended=True)[0]

    def connect(self) -> socket.socket:
        path = re.sub("^.*unix:", "", self.place)
        if path != self.place:
            wire = socket.socket(socket.AF_UNIX)
            wire.settimeout(DEADLINE)
            wire.connect(path)
            return wire
        host, port = self.place.removeprefix("http://").rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=DEADLINE)

    def metrics(self) -> Metrics:
        answer = self.ask("/metrics")
        assert answer.status == 200, answer
        return Metrics(answer.text)

    def status(self) -> dict:
        answer = self.ask("/status.json")
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def wait_for_line(self, text: str) -> str:
        while text not in (line := self.read_line()):
            self.heard.append(line)
        return line

    def workers(self) -> dict[int, int]:
        """The process of each worker, by its number."""
        return {row["worker"]: row["pid"] for row in self.status()["workers"] if row["state"] == "serving"}

    def wait_for_workers(self, count: int, without: int | None = None) -> dict[int, int]:
        """The workers, once there are so many, and this process is none of them."""
        found: dict[int, int] = {}

        def are_there() -> bool:
            nonlocal found
            found = self.workers()
            return len(found) == count and without not in found.values()

        wait_until(are_there, f"{count} workers")
        return found

    def end(self) -> None:
        """Kills it with its children: some of their handlers never end."""
        try:
            workers = list(self.workers().values())
        except (OSError, AssertionError):
            workers = []
        for pid in [self.process.pid, *workers]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Metrics:
    """The text of an exposition, read strictly: each line is a comment or a sample."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.kinds, f"{name} is there twice"
                self.kinds[name] = kind
                continue
            if line.startswith("# HELP "):
                continue
            match = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)', line)
            assert match, f"no sample: {line!r}"
            labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            assert (match[1], labels) not in self.samples, f"twice: {line}"
            self.samples[match[1], labels] = float(match[3])

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name with these labels; an empty value stands for no such label."""
        return sum(
            value
            for (found, own), value in self.samples.items()
            if found == name and all(dict(own).get(label, "") == wanted for label, wanted in labels.items())
        )

    def requests(self, **labels: str) -> int:
        return int(self.value(f"{DURATION}_count", **labels))

    def counters(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """All samples that never fall."""
        suffixes = ("_bucket", "_sum", "_count")
        base = lambda name: next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)
        return {
            key: value
            for key, value in self.samples.items()
            if self.kinds.get(key[0]) == "counter" or self.kinds.get(base(key[0])) == "histogram"
        }


def stop(pid: int) -> None:
    """Stops a process, and waits until none of its threads runs: one of them may accept a connection before."""
    os.kill(pid, signal.SIGSTOP)
    states = lambda: {file.read_text().rpartition(")")[2].split()[0] for file in Path(f"/proc/{pid}/task").glob("*/stat")}
    wait_until(lambda: states() == {"T"}, f"process {pid} stands still")


def fallen(before: Metrics, after: Metrics) -> list[str]:
    """The counters that have fallen, or are gone."""
    later = after.counters()
    return [f"{key}: {value} to {later.get(key)}" for key, value in before.counters().items() if later.get(key, -1) < value]
