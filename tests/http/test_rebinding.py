"""DNS rebinding: on a port that only this machine reaches, hosts of other names are not ours until they are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from outside import OutsideHTTP, WebSocket
from support.command import binary, program  # noqa: F401 - fixtures
from support.harness import Script
from support.subprocesses import run_process
from support.wire import Wire, fetch, request_bytes

OURS = [
    "localhost",
    "LocalHost.:8080",
    "app.localhost:1",
    "127.0.0.1",
    "127.9.9.9:80",
    "[::1]:8080",
    "[0:0::1]",
    "[::ffff:127.0.0.1]",
]
OTHERS = [
    "rebound.example", "localhost.rebound.example", "127.0.0.1.rebound.example", "xlocalhost", "0.0.0.0", "192.0.2.1", "[::]",
    "[2001:db8::1]", "127.1", "2130706433",
]  # fmt: skip


def statuses(address: tuple, hosts: list[str]) -> dict[str, int]:
    return {host: fetch(address, "/", headers={"Host": host}).status for host in hosts}


@pytest.mark.parametrize("arguments", [[], ["redirect", "https://example.com"]], ids=str)
def test_the_command(program, tmp_path: Path, arguments: list[str]):
    (tmp_path / "index.html").write_text("secret")
    for host in ("127.0.0.1", "::1"):
        running = Script(*arguments, "-p0", "--host", host, "--log=off", program=program, folder=tmp_path)
        assert set(statuses(running.address, OURS).values()) <= {200, 301}
        assert set(statuses(running.address, OTHERS).values()) == {421}
        with Wire(running.address) as wire:
            assert wire.send(b"GET / HTTP/1.0\r\n\r\n").receive_answer().status in (200, 301), "no browser leaves it out"
        assert running.stop() == 0


def test_hosts_that_are_named(program, tmp_path: Path):
    running = Script(
        "-lp0",
        "--allowed-host",
        "dev.example",
        "--allowed-host=*.tunnel.example",
        "--log=off",
        program=program,
        folder=tmp_path,
    )
    wanted = {"dev.example": 200, "a.tunnel.example": 200, "rebound.example": 421, "localhost": 421}
    assert statuses(running.address, list(wanted)) == wanted
    assert running.stop() == 0
    running = Script("-lp0", "--host", "0.0.0.0", "--log=off", program=program, folder=tmp_path)
    assert fetch(("127.0.0.1", running.address[1]), "/", headers={"Host": "any.example"}).status == 200, "others reach it"
    assert running.stop() == 0


def test_debug_mode(serve):
    running = serve(lambda request: "ok", debug=True)
    assert set(statuses(running.address, OURS).values()) == {200}
    assert set(statuses(running.address, OTHERS).values()) == {421}
    with running.wire() as wire:
        wire.send(request_bytes("http://rebound.example/", headers={"Host": "rebound.example"}))
        assert wire.receive_answer().status == 421
    assert statuses(serve(lambda request: "ok").address, ["rebound.example"]) == {"rebound.example": 200}, (
        "without it nothing changes"
    )
    named = serve(lambda request: "ok", debug=True, allowed_hosts=["dev.example"])
    assert statuses(named.address, ["dev.example", "localhost"]) == {"dev.example": 200, "localhost": 421}


OPENING = (
    b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_websockets_and_a_test_client(serve):
    websocket = WebSocket()
    websocket.on_message(lambda connection, message: connection.send(message))
    running = serve({"/": websocket}, debug=True)
    for host, status in [(b"localhost", 101), (b"rebound.example", 421)]:
        with running.wire() as wire:
            wire.socket.sendall(OPENING % host)
            assert wire.socket.recv(12) == b"HTTP/1.1 %d" % status
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["debug"] = True
    server.set_route("/", lambda request: request.host)
    assert server.test_client(host="shop.example").get("/").text == "shop.example", "no network leads to it"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
def test_each_version(serve, version: str):
    running = serve(lambda request: request.version, debug=True, h2c=True)
    for host, status in [("localhost", "200"), ("[::1]", "200"), ("rebound.example", "421")]:
        url = f"http://127.0.0.1:{running.address[1]}/"
        command = ["curl", "-s", version, "-H", f"Host: {host}", "-o", "/dev/null", "-w", "%{http_code}", url]
        assert run_process(command, capture_output=True, text=True, timeout=20, check=True).stdout == status
