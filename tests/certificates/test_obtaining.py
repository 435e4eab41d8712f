"""Certificates from an authority that others wrote, from the start of a server to its first answer by HTTPS."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time

import pytest

from support.authority import Authority, handshake, needs_pebble, wait_for_certificate
from support.certificates import SecureWire
from support.harness import wait_until
from support.ipv6 import needs_ipv6
from support.subprocesses import run_process
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


def test_an_address(authority, serve, tmp_path):
    serve(lambda request: "hello", **authority.config(tmp_path, "127.0.0.1"))
    context = authority.trusting()
    assert wait_for_certificate(authority.tls_port, context, "127.0.0.1") < WITHIN
    assert answer_over_tls(authority.tls_port, context, "127.0.0.1") == "hello"


@needs_ipv6
def test_an_address_of_ipv6(authority, serve, tmp_path):
    config = authority.config(tmp_path, "::1")
    serve(
        lambda request: "hello",
        **{**config, "host": ("::1", authority.tls_port), "https_redirect": ("::1", authority.http_port)},
    )
    context = authority.trusting()
    assert wait_for_certificate(authority.tls_port, context, "::1", address="::1") < WITHIN
    names = handshake(authority.tls_port, context, "::1", "::1")["subjectAltName"]
    assert names == (("IP Address", "0:0:0:0:0:0:0:1"),)
    assert (tmp_path / "acme/certificates/__1/certificate.pem").exists()


def test_ten_names_each_with_its_own_and_shared_ones(authority, serve, tmp_path):
    names = [f"n{number}.example" for number in range(10)]
    serve(lambda request: "hello", **authority.config(tmp_path, *names, ("shared.example", "www.shared.example")))
    context = authority.trusting()
    assert max(wait_for_certificate(authority.tls_port, context, name) for name in names) < WITHIN
    shown = [wait_for_certificate(authority.tls_port, context, name) for name in ("shared.example", "www.shared.example")]
    assert max(shown) < WITHIN
    both = handshake(authority.tls_port, context, "www.shared.example")["subjectAltName"]
    assert both == (("DNS", "shared.example"), ("DNS", "www.shared.example"))


def test_an_account_that_is_given_out_otherwise(serve, tmp_path):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    strict = Authority(tmp_path / "authority", eab={"kid-1": key}, bad_nonces=20)
    try:
        serve(lambda request: "hello", **strict.config(tmp_path / "storage", "a.example"), acme_eab=("kid-1", key))
        assert wait_for_certificate(strict.tls_port, strict.trusting(), "a.example") < WITHIN
    finally:
        strict.stop()


def test_a_record_in_the_dns(authority, serve, tmp_path, records):
    set_names, removed, told = [], [], []

    def set_record(name: str, value: str):
        set_names.append(name)
        authority.set_dns("set-txt", host=f"{name}.", value=value)
        return lambda: removed.append(name)

    config = authority.config(tmp_path, ("*.wild.example", "wild.example"))
    serve(lambda request: "hello", **config, acme_dns=set_record, on_certificate=lambda *news: told.append(news))
    assert wait_for_certificate(authority.tls_port, authority.trusting(), "any.wild.example") < WITHIN
    wait_until(lambda: told and removed, "the hooks are called")
    # Pebble asks for both names at the same place of the DNS.
    assert set(set_names) == set(removed) == {"_acme-challenge.wild.example"}
    assert told == [(["*.wild.example", "wild.example"], tmp_path / "acme/certificates/_.wild.example/certificate.pem")]


def test_before_the_first_certificate(authority, serve, tmp_path, records):
    """Port 80 answers at once; a handshake waits, then gets an alert; a challenge certificate is for validations alone."""
    authority.set_dns("add-a", host="nowhere.example.", addresses=["127.0.0.2"])
    running = serve(lambda request: "hello", **authority.config(tmp_path, "nowhere.example"))
    assert fetch(("127.0.0.1", authority.http_port), "/", headers={"Host": "nowhere.example"}).status == 301
    begun = time.monotonic()
    with pytest.raises(ssl.SSLError, match="alert"):
        handshake(authority.tls_port, authority.trusting(), "nowhere.example")
    assert 4 < time.monotonic() - begun < 10
    record = records.wait_for("could not be obtained")
    for part in ("nowhere.example", "127.0.0.2", "the next attempt is at", "IPv6"):
        assert part in record.whole
    unknown = fetch(
        ("127.0.0.1", authority.http_port), "/.well-known/acme-challenge/unknown", headers={"Host": "nowhere.example"}
    )
    assert unknown.status == 301, "another token is the program's"
    # The state outlives the server: a restart makes no new attempt.
    running.stop()
    orders = authority.orders()
    again = serve(lambda request: "hello", **authority.config(tmp_path, "nowhere.example"))
    assert json.loads((tmp_path / "acme/certificates/nowhere.example/state.json").read_text())["failures"] == 1
    shown = run_process(
        [sys.executable, "-m", "outside", "cert", "status", "--acme-storage", str(tmp_path)], capture_output=True, timeout=20
    ).stdout.decode()
    assert "nowhere.example\n  not obtained yet" in shown and "last error:" in shown and "next step at" in shown
    assert authority.orders() == orders
    # A wish skips the pause; the name leads here now.
    authority.set_dns("clear-a", host="nowhere.example.")
    renew = [sys.executable, "-m", "outside", "cert", "renew", "nowhere.example", "--acme-storage", str(tmp_path)]
    assert run_process(renew, capture_output=True, timeout=20).returncode == 0
    assert wait_for_certificate(authority.tls_port, authority.trusting(), "nowhere.example") < WITHIN
    again.stop()


def test_a_renewal_replaces_the_certificate_with_a_new_key(authority, serve, tmp_path, records):
    running = serve(lambda request: "hello", **authority.config(tmp_path, "renewed.example"))
    context = authority.trusting()
    wait_for_certificate(authority.tls_port, context, "renewed.example")
    file = tmp_path / "acme/certificates/renewed.example/certificate.pem"
    before, serial = file.read_text(), handshake(authority.tls_port, context, "renewed.example")["serialNumber"]
    renew = [sys.executable, "-m", "outside", "cert", "renew", "--acme-storage", str(tmp_path)]
    assert run_process(renew, capture_output=True, timeout=20).returncode == 0
    wait_until(
        lambda: handshake(authority.tls_port, context, "renewed.example")["serialNumber"] != serial, "the new one is shown"
    )
    key = before.split("-----END PRIVATE KEY-----")[0]
    assert not file.read_text().startswith(key)
    running.stop()


def test_a_hello_that_is_no_validation_never_gets_a_challenge_certificate(authority, serve, tmp_path):
    serve(lambda request: "hello", **authority.config(tmp_path, "shy.example"))
    context = authority.trusting()
    wait_for_certificate(authority.tls_port, context, "shy.example")
    for protocols, has_certificate in [
        (["http/1.1", "acme-tls/1"], True),
        (["acme-tls/1"], False),
        (["acme-tls/1", "x"], False),
    ]:
        context.set_alpn_protocols(protocols)
        if has_certificate:
            assert handshake(authority.tls_port, context, "shy.example")
        else:
            with pytest.raises(ssl.SSLError):
                handshake(authority.tls_port, context, "shy.example")
