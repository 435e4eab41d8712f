"""Certificates that live for seconds, in several processes, while the program is started again and processes die.

The functions with numbers as arguments are run short by `make test` and in full by `make soak`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import threading
import time
from pathlib import Path

from support.authority import Authority, handshake, wait_for_certificate
from support.harness import PROGRAMS, Script, wait_until
from support.mean_authority import MeanAuthority

NAME = "kept.example"


class Keeping:
    """The program, and what it has printed so far."""

    def __init__(self, folder: Path, authority: Authority | MeanAuthority, **settings: object) -> None:
        self.authority, self.storage = authority, folder / "storage"
        path = folder / "settings.json"
        path.write_text(json.dumps({**authority.config(self.storage, NAME), **settings}))
        self.script = Script(str(PROGRAMS / "certificate_app.py"), str(path))
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.script.process.stdout:
            self.lines.append(f"{time.time():.2f} {line.decode(errors='replace').rstrip()}")

    def leader(self) -> int | None:
        """The process that has the lock of the certificate."""
        lock = self.storage / f"acme/certificates/{NAME}/lock"
        if not lock.exists():
            return None
        inode = lock.stat().st_ino
        found = re.search(rf"FLOCK +ADVISORY +WRITE +(\d+) +\S+:{inode} ", Path("/proc/locks").read_text())
        return int(found[1]) if found else None

    def stop(self) -> int:
        self.script.process.send_signal(signal.SIGTERM)
        return self.script.process.wait(30)


class Visitors:
    """Clients that shake hands again and again, each certificate checked with the clock."""

    def __init__(self, port: int, context: ssl.SSLContext, count: int, pause: float) -> None:
        self.done, self.faults, self._pause = 0, [], pause
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._visit, args=(port, context), daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _visit(self, port: int, context: ssl.SSLContext) -> None:
        while not self._stopping.is_set():
            try:
                shown = handshake(port, context, NAME)
                fault = None if ssl.cert_time_to_seconds(shown["notAfter"]) > time.time() - 1 else f"expired: {shown}"
            except OSError as error:
                fault = f"{time.time():.2f} {error!r}"
            with self._lock:
                self.done += 1
                if fault:
                    self.faults.append(fault)
            self._stopping.wait(self._pause)

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)


def keep_valid(
    folder: Path,
    *,
    lifetime: int,
    processes: int,
    seconds: float,
    reload_every: float,
    kill_every: float,
    visitors: int,
    pause: float = 0.01,
) -> dict[str, float]:
    """Keeps a certificate valid for this long; returns the numbers of handshakes, orders, kills and renewals due."""
    authority = Authority(folder / "authority", lifetime=lifetime)
    keeping = Keeping(folder, authority, processes=processes)
    kills = reloads = 0
    try:
        context = authority.trusting()
        wait_for_certificate(authority.tls_port, context, NAME)
        crowd = Visitors(authority.tls_port, context, visitors, pause)
        begin = time.monotonic()
        next_reload, next_kill, never = begin + reload_every, begin + kill_every, threading.Event()
        while (now := time.monotonic()) < begin + seconds:
            if now >= next_kill:
                next_kill += kill_every
                leader = keeping.leader()
                if leader is not None and leader != keeping.script.process.pid:
                    os.kill(leader, signal.SIGKILL)
                    kills += 1
            if now >= next_reload:
                next_reload += reload_every
                keeping.script.process.send_signal(signal.SIGHUP)
                reloads += 1
                wait_until(
                    lambda wanted=reloads: (
                        sum("the new generation" in line and "serves" in line for line in keeping.lines) >= wanted
                    ),
                    "a reload",
                )
            never.wait(0.05)
        crowd.stop()
        orders = authority.orders()
    finally:
        status = keeping.stop()
        authority.stop()
    # A connection that a killed process had accepted is lost with it; no other one is.
    lost = [fault for fault in crowd.faults if "reset" in fault.lower() or "EOF" in fault]
    wrong = [fault for fault in crowd.faults if fault not in lost]
    (folder / "log.txt").write_text("\n".join(keeping.lines))
    assert not wrong, f"{len(wrong)} of {crowd.done}: {wrong[:3]}; the log is {folder / 'log.txt'}"
    assert len(lost) <= kills * visitors, f"{len(lost)} of {crowd.done} lost, with {kills} kills"
    assert status == 0, keeping.lines[-20:]
    # A certificate is renewed at half of its life.
    due = 1 + seconds / (lifetime / 2)
    assert orders <= due + 1 + kills, f"{orders} orders, {due:.0f} due, {kills} kills"
    assert orders >= due / 2, f"{orders} orders, {due:.0f} due"
    return {"handshakes": crowd.done, "lost": len(lost), "orders": orders, "due": due, "kills": kills, "reloads": reloads}
