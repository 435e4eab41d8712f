"""Certificates as clients see them: the one that a server shows."""

from __future__ import annotations

import base64
import re
import ssl
from pathlib import Path

from support.certificates import SecureWire
from support.wire import request_bytes


def fetch_over_tls(address: tuple, context: ssl.SSLContext, target: str = "/", name: str = "localhost") -> str:
    with SecureWire(address, context, name) as wire:
        return wire.send(request_bytes(target)).receive_answer().text


def served_certificate(address: tuple, context: ssl.SSLContext) -> str:
    """The certificate that is shown, as a number."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with SecureWire(address, context) as wire:
        return base64.b64encode(wire.socket.getpeercert(binary_form=True)).decode()


def certificate_in(pem: str) -> str:
    return "".join(re.findall(r"-----BEGIN CERTIFICATE-----(.*?)-----END", Path(pem).read_text(), re.S)[0].split())
