"""Connections that wait to be accepted when the server is told to end: they are accepted and answered, then the port is closed.

A server that is stopped (SIGSTOP) accepts no connection, while the kernel goes on connecting clients: the test decides how long the queue is.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl

import pytest

from support.certificates import certificate
from support.harness import wait_until
from support.processes import Processes, refused, start_processes, stopped  # noqa: F401 - a fixture
from support.wire import DEADLINE, Wire, request_bytes

COUNT = 30
ASK = request_bytes("/echo?n=1")


class Client(Wire):
    """A connection of any kind, on which nothing has been sent."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket, self.received, self.ended = connected, bytearray(), False
        connected.settimeout(DEADLINE)

    def check_answer(self) -> None:
        answer = self.receive_answer()
        self.close()
        assert (answer.status, answer.text) == (200, "1")


def processes_of(script: Processes) -> list[int]:
    return [script.supervisor, *script.workers().values()]


def halt(script: Processes) -> None:
    for pid in processes_of(script):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda pid=pid: stopped(pid), "the process is stopped")


def go_on_to_the_end(script: Processes) -> None:
    script.send_signal(signal.SIGTERM)
    for pid in processes_of(script):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_waiting_connection_with_a_request_is_answered(start_processes, processes):
    script = start_processes(processes=processes)
    halt(script)
    clients = [Client(socket.create_connection(script.address)) for _ in range(COUNT)]
    for client in clients:
        client.send(ASK)
    go_on_to_the_end(script)
    for client in clients:
        client.check_answer()
    assert script.wait() == 0
    assert refused(script.address)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_request_that_is_still_on_its_way_is_answered(start_processes, processes):
    script = start_processes(processes=processes)
    halt(script)
    clients = [Client(socket.create_connection(script.address)) for _ in range(4)]
    go_on_to_the_end(script)
    for client in clients:
        client.send(ASK)
    for client in clients:
        client.check_answer()
    assert script.wait() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_over_tls(start_processes, tmp_path, processes):
    own = certificate(tmp_path / "own")
    script = start_processes(processes=processes, **own.config)
    halt(script)
    clients = []
    for _ in range(COUNT):
        plain = socket.create_connection(script.address)
        plain.setblocking(False)
        secure = own.client().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
        with pytest.raises(ssl.SSLWantReadError):
            secure.do_handshake()
        clients.append(secure)
    go_on_to_the_end(script)
    for secure in clients:
        secure.settimeout(DEADLINE)
        secure.do_handshake()
        Client(secure).send(ASK).check_answer()
    assert script.wait() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_at_a_unix_socket(start_processes, tmp_path, processes):
    path = str(tmp_path / "app.sock")
    script = start_processes(processes=processes, test={"also": [[f"unix:{path}", None]]})
    script.wait_for_all(f"unix:{path}")
    halt(script)
    clients = []
    for _ in range(COUNT):
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(path)
        clients.append(Client(plain).send(ASK))
    go_on_to_the_end(script)
    for client in clients:
        client.check_answer()
    assert script.wait() == 0
    assert not os.path.exists(path)


def test_of_many_at_once_none_is_reset(start_processes):
    script = start_processes(processes=1)
    clients = [Client(socket.create_connection(script.address)).send(ASK) for _ in range(COUNT)]
    script.send_signal(signal.SIGTERM)
    for client in clients:
        client.receive_answer()
        client.close()
    assert script.wait() == 0


def test_a_place_that_the_next_generation_gives_up_answers_waiting_connections(start_processes):
    """Its socket is closed by the generation before: no other process would answer."""
    script = start_processes(processes=2, drain_idle=0.5, test={"also": [[["127.0.0.1", 0], None]]})
    script.wait_for("with 2 processes")
    lines = [line for line in script.heard if "serving on" in line]
    place = ("127.0.0.1", int(lines[-1].split(" with ")[0].rpartition(":")[2]))
    workers = list(script.workers().values())
    script.change(processes=2)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda pid=pid: stopped(pid), "the worker is stopped")
    clients = [Client(socket.create_connection(place)).send(ASK) for _ in range(COUNT)]
    script.reload()
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        client.check_answer()
    assert script.stop() == 0


def test_clients_that_say_nothing_do_not_hold_up_the_end(start_processes):
    script = start_processes(processes=1, termination_timeout=60)
    silent = [Client(socket.create_connection(script.address)) for _ in range(4)]
    script.send_signal(signal.SIGTERM)
    assert script.wait() == 0
    for client in silent:
        client.receive_end()
