"""Certificates from an authority that others wrote, from the start of a server to its first answer by HTTPS."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from support.authority import Authority, handshake, needs_pebble, wait_for_certificate
from support.certificates import SecureWire
from support.wire import fetch, request_bytes

pytestmark = needs_pebble

# Seconds from the start of a server to its first answer by HTTPS.
WITHIN = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    yield authority
    authority.stop()


def answer_over_tls(port: int, context: ssl.SSLContext, name: str) -> str:
    with SecureWire(("127.0.0.1", port), context, name) as wire:
        return wire.send(request_bytes("/", headers={"Host": name})).receive_answer().text


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
def test_by_one_kind_of_challenge_alone(authority, serve, tmp_path, challenge):
    name = f"{challenge}.example"
    running = serve(lambda request: "hello", **authority.config(tmp_path, name), acme_challenges=[challenge])
    context = authority.trusting()
    assert wait_for_certificate(authority.tls_port, context, name) < WITHIN
    assert answer_over_tls(authority.tls_port, context, name) == "hello"
    redirected = fetch(("127.0.0.1", authority.http_port), "/a?b", headers={"Host": name})
    assert (redirected.status, redirected.header("Location")) == (301, f"https://{name}:{authority.tls_port}/a?b")
    assert fetch(("127.0.0.1", authority.http_port), "/", headers={"Host": "other.example"}).status == 421
    files = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    folder = f"acme/certificates/{name}"
    assert files[f"{folder}/certificate.pem"] == 0o600 and files[folder] == 0o700 and files["acme"] == 0o700
    for path, mode in files.items():
        assert mode == (0o700 if (tmp_path / path).is_dir() else 0o600), path
    assert os.listdir(tmp_path / "acme/challenges") == []
    running.stop()
