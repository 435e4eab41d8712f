"""Automatic certificates, in full: 20 of 20 starts of each kind, ten minutes of certificates that live for 45 s, memory."""

from __future__ import annotations

import json
import statistics
import threading
import time
from pathlib import Path

import pytest

from support.authority import Authority, handshake, needs_pebble, wait_for_certificate
from support.authority_faults import processing
from support.certificate_keeping import keep_valid
from support.harness import PROGRAMS, Script
from support.mean_authority import MeanAuthority
from support.wire import fetch

pytestmark = needs_pebble

SYSTEM_ROOTS = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
KINDS = {
    "tls-alpn-01": ({}, {"acme_challenges": ["tls-alpn-01"]}, ["a.example"]),
    "http-01": ({}, {"acme_challenges": ["http-01"]}, ["a.example"]),
    "address": ({}, {}, ["127.0.0.1"]),
    "account": ({"eab": {"kid-1": KEY}}, {"acme_eab": ("kid-1", KEY)}, ["a.example"]),
    "ten names": ({}, {}, [f"n{number}.example" for number in range(10)]),
    "nonces": ({"bad_nonces": 20}, {}, ["a.example"]),
}


@pytest.mark.timed
@pytest.mark.parametrize("kind", KINDS)
def test_certificates_twenty_of_twenty_starts(serve, tmp_path, kind):
    options, config, names = KINDS[kind]
    authority = Authority(tmp_path / "authority", **options)
    slowest = 0.0
    try:
        context = authority.trusting()
        for number in range(20):
            begun = time.monotonic()
            running = serve(lambda request: "hello", **authority.config(tmp_path / str(number), *names), **config)
            for name in names:
                wait_for_certificate(authority.tls_port, context, name)
            slowest = max(slowest, time.monotonic() - begun)
            running.stop()
    finally:
        authority.stop()
    print(f"{kind}: 20 of 20, the slowest within {slowest:.1f} s")
    assert slowest <= 10


def test_certificates_ten_minutes_of_short_lives(tmp_path):
    figures = keep_valid(
        tmp_path, lifetime=45, processes=4, seconds=600, reload_every=120, kill_every=60, visitors=4, pause=0.05
    )
    print(figures)
    assert figures["handshakes"] >= 20_000


def memory(folder: Path, settings: dict[str, object], authority: Authority, trusted: Path) -> dict[str, float]:
    """MiB of a server that has shaken hands with 200 clients: anonymous memory, and all that is resident."""
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    environment = {"SSL_CERT_FILE": str(trusted)}
    script = Script(str(PROGRAMS / "certificate_app.py"), str(folder / "settings.json"), environment=environment)
    context = authority.trusting()
    wait_for_certificate(authority.tls_port, context, "memory.example")
    for _ in range(200):
        handshake(authority.tls_port, context, "memory.example")
    text = Path(f"/proc/{script.process.pid}/status").read_text()
    assert script.stop() == 0
    return {name: int(text.partition(f"{name}:")[2].split()[0]) / 1024 for name in ("RssAnon", "VmRSS")}


def test_certificates_memory(tmp_path):
    """The roots of the system are read, as with a public authority, and the certificate is ordered by the process that is measured."""
    authority = Authority(tmp_path / "authority")
    trusted = tmp_path / "trusted.pem"
    system = next((Path(path) for path in SYSTEM_ROOTS if Path(path).exists()), None)
    trusted.write_text((system.read_text() if system else "") + Path(authority.roots).read_text())
    found: dict[str, list[dict[str, float]]] = {"domains": [], "file": []}
    try:
        for number in range(5):
            folder = tmp_path / str(number)
            by_domains = {**authority.config(folder / "storage", "memory.example"), "acme_roots": ""}
            found["domains"].append(memory(folder, by_domains, authority, trusted))
            pair = str(folder / "storage/acme/certificates/memory.example/certificate.pem")
            by_file = {
                "host": ["127.0.0.1", authority.tls_port],
                "https_redirect": authority.http_port,
                "ssl_enabled": True,
                "ssl_certfile": pair,
                "ssl_keyfile": pair,
            }
            found["file"].append(memory(tmp_path / f"file{number}", by_file, authority, trusted))
    finally:
        authority.stop()
    middle = {
        (kind, name): statistics.median(one[name] for one in found[kind]) for kind in found for name in ("RssAnon", "VmRSS")
    }
    print({f"{kind} {name}": round(value, 2) for (kind, name), value in middle.items()}, "MiB")
    for name in ("RssAnon", "VmRSS"):
        assert middle["domains", name] - middle["file", name] <= 3, name


def p99(port: int, name: str, seconds: float) -> float:
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        assert fetch(("127.0.0.1", port), "/", headers={"Host": name}).status == 301
        times.append(time.monotonic() - begun)
    return sorted(times)[len(times) * 99 // 100]


@pytest.mark.timed
def test_certificates_of_an_authority_that_never_ends(serve, tmp_path, records):
    """An order that is processed for ever, and a question without an answer: the server answers others as always."""
    authority = Authority(tmp_path / "authority")
    mean = MeanAuthority(authority)
    try:
        quiet = serve(lambda request: "hello", **mean.config(tmp_path / "quiet", "quiet.example"))
        wait_for_certificate(authority.tls_port, authority.trusting(), "quiet.example")
        before = p99(authority.http_port, "quiet.example", 5)
        quiet.stop()

        mean.after = processing
        running = serve(lambda request: "hello", **mean.config(tmp_path / "ever", "ever.example"))
        during = p99(authority.http_port, "ever.example", 20)
        print(f"p99 {before * 1000:.2f} ms before, {during * 1000:.2f} ms during")
        assert during <= max(1.5 * before, before + 0.002)
        never, end = threading.Event(), time.monotonic() + 100
        while time.monotonic() < end and not any("within 90 s" in text for text in records.texts()):
            never.wait(0.5)
        records.wait_for("has not issued the certificate within 90 s")
        running.stop()
        mean.before = lambda asked: mean.silence.wait(60) and None
        running = serve(lambda request: "hello", **mean.config(tmp_path / "silent", "silent.example"))
        end = time.monotonic() + 40
        while time.monotonic() < end and not any("30 s" in text and "silent" in text for text in records.texts()):
            never.wait(0.5)
        assert p99(authority.http_port, "silent.example", 2) < 1
        records.wait_for(
            lambda record: (
                ("silent.example" in record.whole and "does not answer" in record.whole) or "within 30 s" in record.whole
            )
        )
        running.stop()
    finally:
        mean.stop()
        authority.stop()
