"""A certificate authority for tests: Debian's `pebble`, with the DNS of `pebble-challtestsrv`, both on loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from support.certificates import certificate
from support.harness import wait_until
from support.subprocesses import start_process
from support.wire import DEADLINE

PEBBLE = shutil.which("pebble")
DNS = shutil.which("pebble-challtestsrv")

needs_pebble = pytest.mark.skipif(
    PEBBLE is None or DNS is None, reason="needs pebble and pebble-challtestsrv (make clients installs Debian's package pebble)"
)


def free_port() -> int:
    """A port that is free now for TCP."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Authority:
    """Pebble, which validates at `tls_port` and `http_port` of 127.0.0.1, whatever the name."""

    def __init__(
        self,
        folder: Path,
        *,
        lifetime: int | None = None,
        eab: dict[str, str] | None = None,
        bad_nonces: int = 0,
        valid_for_all: bool = False,
        reuse: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.management, self.http_port, self.tls_port = (free_port() for _ in range(4))
        self.dns_port, self.dns_management = free_port(), free_port()
        own = certificate(folder / "own", "localhost")
        self.roots = own.certfile
        self.client = own.client()
        settings: dict[str, object] = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": own.certfile,
            "privateKey": own.keyfile,
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": eab is not None,
        }
        if eab is not None:
            settings["externalAccountMACKeys"] = eab
        if lifetime is not None:
            settings["certificateValidityPeriod"] = lifetime
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(bad_nonces),
            "PEBBLE_VA_ALWAYS_VALID": str(int(valid_for_all)),
        }
        if reuse is not None:
            # The percentage of proofs that are remembered for the next order.
            environment["PEBBLE_AUTHZREUSE"] = str(reuse)
        self.output = (folder / "pebble.log").open("wb")
        names = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]
        places = ["-dns01", f"127.0.0.1:{self.dns_port}", "-management", f"127.0.0.1:{self.dns_management}"]
        output = {"stdout": self.output, "stderr": self.output, "env": environment}
        self.processes = [
            start_process([DNS, *names, *places], **output),
            start_process(
                [PEBBLE, "-strict", "-config", str(folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self.dns_port}"],
                **output,
            ),
        ]
        wait_until(lambda: listens(self.port) and listens(self.dns_management), "the authority listens")

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.port}/dir"

    def config(self, storage: Path, *domains: object) -> dict[str, object]:
        """The settings of a server whose certificates come from here."""
        return {
            "host": ("127.0.0.1", self.tls_port),
            "https_redirect": self.http_port,
            "domains": list(domains),
            "acme_directory": self.directory,
            "acme_roots": self.roots,
            "acme_storage": str(storage),
        }

    def trusting(self) -> ssl.SSLContext:
        """A client that trusts the certificates from here, and nothing else."""
        with urllib.request.urlopen(
            f"https://localhost:{self.management}/roots/0", context=self.client, timeout=DEADLINE
        ) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())

    def log(self) -> str:
        return (self.folder / "pebble.log").read_text()

    def orders(self) -> int:
        """The orders that were made here."""
        return self.log().count(" orders in the db")

    def set_dns(self, what: str, **content: object) -> None:
        """Asks the DNS: `add-a`, `set-txt`, `clear-txt`, …"""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.dns_management}/{what}", data=json.dumps(content).encode(), method="POST"
        )
        urllib.request.urlopen(request, timeout=DEADLINE).close()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(DEADLINE)
        self.output.close()


def handshake(port: int, context: ssl.SSLContext, name: str | None, address: str = "127.0.0.1") -> dict:
    """The certificate that is shown for this name, checked as a client checks it."""
    plain = socket.create_connection((address, port), timeout=DEADLINE)
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        return secure.getpeercert()


def wait_for_certificate(
    port: int, context: ssl.SSLContext, name: str, within: float = DEADLINE, address: str = "127.0.0.1"
) -> float:
    """The seconds until a client takes the certificate for this name."""
    start, never = time.monotonic(), threading.Event()
    while True:
        try:
            handshake(port, context, name, address)
            return time.monotonic() - start
        except (OSError, ssl.SSLError) as error:
            assert time.monotonic() - start < within, f"no certificate within {within} s: {error}"
            never.wait(0.02)
