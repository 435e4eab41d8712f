"""TLS as clients of others see it: Python's ssl (OpenSSL), curl, openssl; and messages to a programmer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect as connect_websocket

from outside import FilePath, OutsideHTTP, WebSocket
from support.certificates import Certificate, SecureWire, certificate
from support.gauge import cpu_seconds, need_proc, private_memory
from support.harness import Script, wait_until
from support.subprocesses import run_process
from support.tls import certificate_in, fetch_over_tls, served_certificate
from support.wire import Wire, request_bytes

OPENSSL, CURL = shutil.which("openssl"), shutil.which("curl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


def openssl(*arguments: str, stdin: bytes = b"") -> str:
    """Both outputs of openssl."""
    done = run_process([OPENSSL, *arguments], input=stdin, capture_output=True, timeout=20)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_hello(serve, own, version):
    running = serve(lambda request: f"{request.scheme} from {request.address[0]}", **own.config)
    context = own.client(minimum_version=version, maximum_version=version)
    with SecureWire(running.address, context) as wire:
        for _ in range(3):
            assert wire.send(request_bytes("/")).receive_answer().text == "https from 127.0.0.1"
        assert wire.socket.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(version, "TLSv1.3")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(serve, own, version):
    running = serve(lambda request: "hello", **own.config)
    context = own.client(minimum_version=version, maximum_version=version)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)alert (protocol version|handshake failure)"):
        fetch_over_tls(running.address, context)


def test_protocols(serve, own):
    running = serve(lambda request: "hello", **own.config)
    context = own.client()
    context.set_alpn_protocols(["spdy/3", "http/1.1"])
    with SecureWire(running.address, context) as wire:
        assert wire.socket.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["spdy/3"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        fetch_over_tls(running.address, context)


def test_the_server_says_goodbye(serve, own):
    running = serve(lambda request: "hello", **own.config)
    with SecureWire(running.address, own.client()) as wire:
        wire.send(request_bytes("/", headers={"Connection": "close"}))
        assert wire.receive_answer().text == "hello"
        # An end without a goodbye would be an SSLEOFError.
        wire.receive_end()


def test_pipelined_requests_and_a_body_in_pieces(serve, own):
    running = serve({"/": lambda request: request.params["n"], "/echo": lambda request: request.content}, **own.config)
    with SecureWire(running.address, own.client()) as wire:
        wire.send(b"".join(request_bytes(f"/?n={n}") for n in range(50)))
        assert [wire.receive_answer().text for _ in range(50)] == [str(n) for n in range(50)]
        body = os.urandom(300_000)
        whole = request_bytes("/echo", "POST", body=body)
        for start in range(0, len(whole), 7777):
            wire.send(whole[start : start + 7777])
        assert wire.receive_answer().body == body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_uploads_and_what_follows_them(serve, own, version):
    """Content is decrypted to where it stays; the request behind it may lie in the same record."""
    running = serve({"/": lambda request: request.params["n"], "/echo": lambda request: request.content}, **own.config)
    sizes = [1, 4096, 16_384, 65_536, 65_537, 262_143, 262_144, 262_145, 1_000_003]
    bodies = {n: os.urandom(size) for n, size in enumerate(sizes)}
    with SecureWire(running.address, own.client(maximum_version=version)) as wire:
        for n, body in bodies.items():
            wire.send(request_bytes("/echo", "POST", body=body) + request_bytes(f"/?n={n}"))
            assert wire.receive_answer().body == body
            assert wire.receive_answer().text == str(n)


def test_streams_and_errors(serve, own):
    def stream(request):
        from outside import Response

        return Response(content=(f"piece {n} " for n in range(5)))

    running = serve({"/stream": stream, "/fault": lambda request: 1 / 0}, **own.config)
    assert fetch_over_tls(running.address, own.client(), "/stream") == "piece 0 piece 1 piece 2 piece 3 piece 4 "
    with SecureWire(running.address, own.client()) as wire:
        assert wire.send(request_bytes("/fault")).receive_answer().status == 500
        assert wire.send(request_bytes("/nowhere")).receive_answer().status == 404


def test_a_websocket(serve, own):
    websocket = WebSocket()

    @websocket.on_connection
    def echo(connection):
        for message in connection:
            connection.send(message)

    running = serve({"/ws": websocket}, **own.config)
    port = running.address[1]
    with connect_websocket(f"wss://localhost:{port}/ws", ssl=own.client(), server_hostname="localhost") as client:
        for text in ("short", "long " * 20_000):
            client.send(text)
            assert client.recv() == text


def test_http_in_clear_is_told_the_way(serve, own):
    running = serve(lambda request: "hello", **own.config)
    with Wire(running.address) as wire:
        answer = wire.send(request_bytes("/")).receive_answer()
        assert answer.status == 400 and "https://" in answer.text
        assert answer.header("Content-Type") == "text/plain; charset=utf-8"
        wire.receive_end()


@pytest.mark.timed
def test_tls_in_clear_ends_at_once(serve, own):
    running = serve(lambda request: "hello")
    began = time.monotonic()
    with pytest.raises(ssl.SSLError):
        fetch_over_tls(running.address, own.client())
    assert time.monotonic() - began < 1


@pytest.mark.timed
def test_silence_ends(serve, own):
    running = serve(lambda request: "hello", tls_handshake_timeout=0.3, **own.config)
    with Wire(running.address) as wire:
        wire.receive_end()


def test_certificates_by_name(serve, own, tmp_path):
    other = certificate(tmp_path / "other", "other.example", "*.other.example")
    more = [{"certfile": Path(other.certfile), "keyfile": other.keyfile}]
    running = serve(lambda request: request.host, ssl_certificates=more, **own.config)
    assert fetch_over_tls(running.address, own.client()) == "localhost"
    assert fetch_over_tls(running.address, other.client(), name="other.example") == "localhost"
    assert fetch_over_tls(running.address, other.client(), name="a.other.example") == "localhost"
    with pytest.raises(ssl.SSLCertVerificationError):
        fetch_over_tls(running.address, own.client(), name="other.example")


def test_over_a_unix_socket(own, tmp_path, serve):
    running = serve(lambda request: request.scheme, host=f"unix:{tmp_path}/app.sock", **own.config)
    assert running.address == f"unix:{tmp_path}/app.sock"
    plain = socket.socket(socket.AF_UNIX)
    plain.connect(f"{tmp_path}/app.sock")
    with own.client().wrap_socket(plain, server_hostname="localhost") as client:
        client.sendall(request_bytes("/", headers={"Connection": "close"}))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.endswith(b"https")


@pytest.mark.parametrize("processes", [1, 2])
def test_faults_are_told_by_run(own, tmp_path, processes):
    empty, half, other = tmp_path / "empty.pem", tmp_path / "half.pem", certificate(tmp_path / "other")
    empty.write_bytes(b"")
    half.write_bytes(Path(own.certfile).read_bytes()[:300])
    for config, kind, parts in [
        ({"ssl_certfile": ""}, ValueError, ["ssl_certfile", "outside cert localhost"]),
        ({"ssl_certfile": "nowhere.pem"}, FileNotFoundError, ["certificate file", "nowhere.pem"]),
        ({"ssl_keyfile": str(tmp_path)}, IsADirectoryError, ["key file", str(tmp_path)]),
        ({"ssl_certfile": str(empty)}, ValueError, [str(empty), "is empty"]),
        ({"ssl_certfile": str(half)}, ValueError, [str(half), "is not complete"]),
        ({"ssl_keyfile": other.keyfile}, ValueError, [other.keyfile, "does not match", own.certfile]),
        ({"ssl_certificates": "a.pem"}, ValueError, ["ssl_certificates", "'certfile': path"]),
        ({"ssl_certificates": [{"certfile": 3}]}, ValueError, ["ssl_certificates"]),
        ({"ssl_keyfile": 3}, ValueError, ["ssl_keyfile"]),
    ]:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config.update({"processes": processes, **own.config, **config})
        with pytest.raises(kind) as raised:
            server.run()
        told = str(raised.value)
        assert all(part in told for part in parts), told
        assert "\n" not in told


@needs_openssl
@pytest.mark.parametrize("kind", ["PKCS#8", "PKCS#1", "SEC1", "P-384", "Ed25519"])
def test_kinds_of_keys(serve, tmp_path, kind):
    algorithm = {"PKCS#1": ["rsa:2048"], "PKCS#8": ["rsa:2048"], "Ed25519": ["ed25519"]}.get(kind)
    curve = "P-384" if kind == "P-384" else "P-256"
    algorithm = algorithm or ["ec", "-pkeyopt", f"ec_paramgen_curve:{curve}"]
    key, pem = str(tmp_path / "a.key"), str(tmp_path / "a.pem")
    openssl(
        *["req", "-x509", "-newkey", *algorithm, "-nodes", "-keyout", key, "-out", pem, "-days", "2"],
        *["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
    )
    if kind == "PKCS#1":
        openssl("rsa", "-in", key, "-traditional", "-out", key)
        assert "BEGIN RSA PRIVATE KEY" in Path(key).read_text()
    elif kind == "SEC1":
        openssl("ec", "-in", key, "-out", key)
        assert "BEGIN EC PRIVATE KEY" in Path(key).read_text()
    else:
        assert "BEGIN PRIVATE KEY" in Path(key).read_text()
    own = Certificate(pem, key)
    running = serve(lambda request: "hello", **own.config)
    assert fetch_over_tls(running.address, own.client()) == "hello"


@needs_openssl
def test_openssl_as_a_client(serve, own):
    running = serve(lambda request: "hello", **own.config)
    connect = ["s_client", "-connect", f"127.0.0.1:{running.address[1]}", "-servername", "localhost"]
    said = openssl(*connect, "-CAfile", own.certfile, "-verify_return_error", "-alpn", "http/1.1")
    assert "Verify return code: 0 (ok)" in said and "ALPN protocol: http/1.1" in said, said
    assert "TLSv1.3" in said
    for group in ("X25519", "P-256", "P-384"):
        assert "TLSv1.3, Cipher is TLS_" in openssl(*connect, "-groups", group), group
    assert "Secure Renegotiation IS supported" in openssl(*connect, "-tls1_2")
    for version in ("-tls1", "-tls1_1"):
        said = openssl(*connect, version, "-cipher", "ALL:@SECLEVEL=0")
        assert re.search("alert (protocol version|handshake failure)", said), said
    # A client that asks for new keys, and for another handshake, which there is not.
    said = openssl(*connect, "-tls1_2", stdin=b"R\n")
    assert "no renegotiation" in said or "renegotiation" in said.lower(), said


@needs_curl
def test_curl(serve, own, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(5_000_000))
    running = serve(
        {"/file": FilePath(str(large)), "/length": lambda request: str(len(request.content))},
        max_body_size_mb=64,
        **own.config,
    )

    def curl(target: str, *options: str, stdin: bytes = b"") -> bytes:
        url = f"https://localhost:{running.address[1]}{target}"
        command = [CURL, "-sS", "--noproxy", "*", "--cacert", own.certfile, "--max-time", "20", *options, url]
        done = run_process(command, input=stdin, capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    content = large.read_bytes()
    assert curl("/file") == content
    assert curl("/file", "--range", "1000000-3999999") == content[1_000_000:4_000_000]
    assert curl("/file", "--limit-rate", "20M") == content
    assert curl("/length", "--data-binary", "@-", stdin=content) == b"5000000"
    assert curl("/length", "-T", "-", "-H", "Expect: 100-continue", stdin=content) == b"5000000"


@pytest.mark.timed
def test_a_request_in_flight_is_answered_at_the_end(serve, own):
    began = []

    def slow(request):
        began.append(1)
        time.sleep(0.3)
        return "done"

    running = serve(slow, **own.config)
    with SecureWire(running.address, own.client()) as wire:
        wire.send(request_bytes("/"))
        wait_until(lambda: began)
        running.server.terminate()
        assert wire.receive_answer().text == "done"
        wire.receive_end()
    running.wait_for_return()
    serve.forget()


def test_a_client_that_vanishes_in_the_middle(serve, own):
    running = serve(lambda request: "x" * 10_000_000, **own.config)
    for _ in range(5):
        wire = SecureWire(running.address, own.client())
        wire.send(request_bytes("/"))
        wire.socket.recv(1000)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.close()
    with SecureWire(running.address, own.client()) as wire:
        assert len(wire.send(request_bytes("/")).receive_answer().body) == 10_000_000


class Command(Script):
    """`outside` with a certificate, for a folder."""

    def __init__(self, folder: Path, own: Certificate, program: list[str] | None = None) -> None:
        options = ["-m", "outside", "--port", "0", "--certfile", own.certfile, "--keyfile", own.keyfile, str(folder)]
        super().__init__(*options, program=program)


def test_the_command_serves_https_and_hears_of_new_certificates(tmp_path):
    own = certificate(tmp_path / "own")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("hello")
    running = Command(tmp_path / "site", own)
    assert running.line.startswith("outside is serving ") and " on https://127.0.0.1:" in running.line
    assert fetch_over_tls(running.address, own.client()) == "hello"
    own.replace(certificate(tmp_path / "new"))
    running.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: served_certificate(running.address, None) == certificate_in(own.certfile), "the new certificate is shown"
    )
    assert fetch_over_tls(running.address, own.client()) == "hello"
    # By itself, within a moment.
    own.replace(certificate(tmp_path / "newer"))
    wait_until(
        lambda: served_certificate(running.address, None) == certificate_in(own.certfile), "the newer certificate is shown"
    )
    before = certificate_in(own.certfile)
    Path(own.certfile).write_text("nonsense")
    running.process.send_signal(signal.SIGHUP)
    assert served_certificate(running.address, None) == before
    assert running.stop() == 0, running.errors
    assert "the old ones stay" in running.errors and "holds no certificate" in running.errors


def test_cert_writes_no_file_twice(tmp_path):
    own = certificate(tmp_path)
    assert os.stat(own.keyfile).st_mode & 0o777 == 0o600
    with pytest.raises(subprocess.CalledProcessError) as failed:
        certificate(tmp_path)
    assert b"localhost.pem is there already, and stays" in failed.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as failed:
        certificate(tmp_path, "a/b")
    assert failed.value.returncode == 2 and b"neither the name of a host" in failed.value.stderr


def test_memory_of_idle_connections(tmp_path, own):
    need_proc()
    (tmp_path / "index.html").write_text("hello")
    running = Command(tmp_path, own)
    context, count = own.client(), 400

    def connect() -> SecureWire:
        wire = SecureWire(running.address, context)
        assert wire.send(request_bytes("/")).receive_answer().text == "hello"
        return wire

    first = [connect() for _ in range(20)]
    before = private_memory(running.process.pid)
    idle = [connect() for _ in range(count)]
    each = (private_memory(running.process.pid) - before) / count
    print(f"{each:.0f} bytes for each idle connection")
    assert each <= 24 << 10
    for wire in first + idle:
        wire.close()
    assert running.stop() == 0, running.errors


@pytest.mark.timed
def test_a_flood_of_silent_connections_with_few_descriptors(tmp_path, own):
    """1,000 connections to a server that may open 256 descriptors: it does not spin, and clients that send a request are answered."""
    need_proc()
    (tmp_path / "index.html").write_text("hello")
    shell = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", sys.executable]
    running = Command(tmp_path, own, program=shell)
    silent = []
    for _ in range(1000):
        plain = socket.socket()
        plain.setblocking(False)
        plain.connect_ex(running.address)
        silent.append(plain)
    before, began = cpu_seconds(running.process.pid), time.monotonic()
    assert fetch_over_tls(running.address, own.client()) == "hello"
    assert fetch_over_tls(running.address, own.client()) == "hello"
    took = max(time.monotonic() - began, 1.0)
    assert cpu_seconds(running.process.pid) - before < 0.5 * took
    for plain in silent:
        plain.close()
    assert running.stop() == 0, running.errors
