"""TLS with several processes: sessions that any worker resumes, and new generations with new certificates."""

from __future__ import annotations

import os
import signal
import ssl
from pathlib import Path

from support.certificates import SecureWire, certificate
from support.harness import wait_until
from support.processes import start_processes  # noqa: F401 - a fixture
from support.tls import certificate_in, served_certificate
from support.wire import request_bytes


class Client:
    """Comes again and again with the session of the last time."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.session: ssl.SSLSession | None = None

    def answering_worker(self, address: tuple) -> tuple[int, bool]:
        """The worker's process, and whether the session was resumed."""
        with SecureWire(address, self.context, session=self.session) as wire:
            pid = wire.send(request_bytes("/worker")).receive_answer().text.split()[0]
            self.session = wire.socket.session
            return int(pid), wire.socket.session_reused


def resumed_everywhere(running, client: Client, count: int) -> None:
    """More than 95 of 100 connections resume, and every worker has had some."""
    workers, resumed = set(), 0
    for _ in range(count):
        pid, was_resumed = client.answering_worker(running.address)
        workers.add(pid)
        resumed += was_resumed
    assert resumed > 0.95 * count, f"{resumed} of {count}"
    assert workers == set(running.workers().values())


def test_any_worker_resumes_a_session(start_processes, tmp_path):
    own = certificate(tmp_path / "own")
    running = start_processes(processes=3, **own.config)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        client = Client(own.client(minimum_version=version, maximum_version=version))
        assert not client.answering_worker(running.address)[1]
        resumed_everywhere(running, client, 60)
    assert running.stop() == 0


def test_generations_share_sessions_and_change_certificates(start_processes, tmp_path):
    own = certificate(tmp_path / "own")
    running = start_processes(processes=2, **own.config)
    client = Client(own.client())
    client.answering_worker(running.address)
    before = running.supervisor
    running.reload()
    wait_until(lambda: running.supervisor != before)
    serving = running.supervisor
    assert client.answering_worker(running.address)[1], "a session of the generation before"
    # A bad certificate: the new generation does not come up, the old one goes on.
    Path(own.certfile).write_text("nonsense")
    running.send_signal(signal.SIGHUP)
    running.wait_for("the one before it goes on serving")
    assert client.answering_worker(running.address)[0] in running.workers().values()
    os.kill(serving, signal.SIGTERM)
    assert running.wait() == 0


def test_workers_take_new_certificates_over_by_themselves(start_processes, tmp_path):
    own = certificate(tmp_path / "own")
    running = start_processes(processes=2, **own.config)
    own.replace(certificate(tmp_path / "new"))
    running.wait_for_all("new certificates are in use")
    shown = certificate_in(own.certfile)
    wait_until(lambda: all(served_certificate(running.address, None) == shown for _ in range(10)), "both show the new one")
    # A worker that dies while the files are bad: the next one begins with the files that the supervisor has read.
    Path(own.keyfile).write_text("")
    running.wait_for("the old ones stay")
    assert running.stop() == 0
