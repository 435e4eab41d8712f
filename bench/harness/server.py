"""One server process tree: start it on its core, weigh it, end it.

The tree is every process of the session that the server was started in, so that workers whose parent has gone are still
counted. CPU time is user plus system time of the living and of the dead children they have waited for, read from
`/proc`; the difference of two readings is the cost of a stretch of load.
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import paths

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """The server did not start or died; the text is the reason to print."""


def free_port() -> int:
    """A port that is free now: most peers cannot say which one port 0 became."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _stat_fields(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the state on: the name before may hold spaces and brackets."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def _process_cpu_seconds(pid: int) -> float:
    """The CPU time of one process and of the dead children that it has waited for; 0 if it is gone.

    `stat` cuts off whole ticks, twice per process, which adds up in a server of many processes; `schedstat` counts
    nanoseconds, but forgets the threads that have ended. Neither is ever too high, so the higher one is nearer.
    """
    try:
        # Fields 14 to 17: utime, stime, cutime, cstime.
        user, system, children_user, children_system = (int(field) for field in _stat_fields(pid)[11:15])
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return 0.0
    nanoseconds = 0
    for thread in threads:
        try:
            nanoseconds += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
        except (OSError, IndexError):
            continue
    own = max((user + system) / TICKS_PER_SECOND, nanoseconds / 1e9)
    return own + (children_user + children_system) / TICKS_PER_SECOND


class Server:
    """A started server; use as a context manager, so that it is always ended."""

    def __init__(self, name: str, command: list[str], port: int, core: int | None, prefix: tuple[str, ...] = (),
                 settings: dict[str, str] | None = None, secure: bool = False) -> None:  # fmt: skip
        self.port = port
        self.secure = secure
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        # Messages and access logs go to a file, for every peer alike.
        self.log = paths.LOGS / f"{name}.log"
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        environment.update(settings or {})

        def prepare() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    [*prefix, *command], cwd=paths.PEERS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=environment, start_new_session=True, preexec_fn=prepare,
                )  # fmt: skip
            except OSError as error:
                raise ServerFailed(f"cannot be started: {error}") from error

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        if self.secure:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait_until_right(self, method: str, path: str, body: bytes, is_right: Callable[[int, bytes], bool],
                         headers: dict[str, str] | None = None, seconds: float = 20) -> None:  # fmt: skip
        """Waits until the question is answered as it must be; raises `ServerFailed` with the reason otherwise."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise ServerFailed(f"ended with status {self.process.returncode}: {self.last_words()}")
            try:
                status, answer = self.ask(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise ServerFailed(f"did not answer within {seconds:.0f} s ({error}): {self.last_words()}") from error
                time.sleep(0.02)
                continue
            if status == 502 and time.monotonic() < deadline:
                # A server in front is ready before the one behind it.
                time.sleep(0.02)
                continue
            if not is_right(status, answer):
                raise ServerFailed(f"answered {method} {path} with {status} {answer[:80]!r}")
            return

    def last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][-300:] if lines else "it said nothing"

    def tree(self) -> list[int]:
        members = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    # Field 6 of the file is the session.
                    if int(_stat_fields(int(entry))[3]) == self.process.pid:
                        members.append(int(entry))
                except (OSError, IndexError, ValueError):
                    continue
        return members

    def cpu_seconds(self) -> float:
        return sum(_process_cpu_seconds(pid) for pid in self.tree())

    def memory_kib(self) -> tuple[int, int]:
        """The tree's memory now (PSS: shared pages counted once) and the sum of its processes' peaks (VmHWM)."""
        proportional = peak = 0
        for pid in self.tree():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            proportional += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
            peak += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return proportional, peak

    def stop(self, seconds: float = 5) -> None:
        """SIGTERM to the server, then SIGKILL to the rest of the session."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        for pid in self.tree():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
