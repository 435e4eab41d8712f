"""Certificates for the tests, as `outside cert` writes them, and clients that trust them."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from pathlib import Path
from typing import NamedTuple

from support.subprocesses import run_process
from support.wire import DEADLINE, Wire


class Certificate(NamedTuple):
    certfile: str
    keyfile: str

    @property
    def config(self) -> dict[str, object]:
        return {"ssl_enabled": True, "ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile}

    def replace(self, other: Certificate) -> None:
        """Puts another one into the place of this one, one file after the other."""
        os.replace(other.keyfile, self.keyfile)
        os.replace(other.certfile, self.certfile)

    def client(self, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        """A client that trusts this one and nothing else."""
        context = ssl.create_default_context(cafile=self.certfile)
        for name, version in versions.items():
            setattr(context, name, version)
        return context


def certificate(folder: Path, *names: str) -> Certificate:
    """A new one, in a folder of which it is the only one."""
    names = names or ("localhost",)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "outside", "cert", *names]
    run_process(command, cwd=folder, check=True, capture_output=True, timeout=DEADLINE)
    base = folder / ".outside" / names[0].replace("*", "_")
    return Certificate(f"{base}.pem", f"{base}.key")


class SecureWire(Wire):
    """A connection with TLS; the handshake is done when the constructor returns."""

    def __init__(
        self, address: tuple, context: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
    ) -> None:
        plain = socket.create_connection(address[:2], timeout=DEADLINE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=name, session=session)
        self.received = bytearray()
        self.ended = False
