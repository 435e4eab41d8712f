"""How a connection ends: in stages after an answer, so that the client can read it, with a reset where bytes remain unsent."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from outside import FilePath, Folder, HTTPException, Response, abort
from support.harness import Running, wait_until
from support.wire import Wire, request_bytes

MEGABYTES = 20 << 20
need_tables = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system does not say what it holds")


def held(running: Running) -> list[tuple[str, int]]:
    """State (proc(5): 04 is FIN-WAIT-1) and unsent bytes of each connection of a server, as the system has them."""
    port = f":{running.address[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(row[3], int(row[4].split(":")[0], 16)) for row in rows if row[1].endswith(port) and row[3] != "0A"]


def lazy(running: Running, target: str, **fields: str) -> Wire:
    """A client that asks and reads nothing."""
    wire = Wire.__new__(Wire)
    wire.socket, wire.received, wire.ended = socket.socket(), bytearray(), False
    wire.socket.settimeout(10)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.socket.connect(running.address)
    return wire.send(request_bytes(target, headers=fields))


# --- answers that come before the content


def by_http_client(address: tuple, target: str) -> int:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("POST", target, body=b"x" * MEGABYTES)
    return connection.getresponse().status


def by_urllib(address: tuple, target: str) -> int:
    host, port = address
    try:
        return urllib.request.urlopen(f"http://{host}:{port}{target}", b"x" * MEGABYTES, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("client", [by_http_client, by_urllib])
def test_clients_that_send_everything_before_they_look_get_an_early_answer(serve, client):
    running = serve({"/": lambda request: "x"}, max_body_size_mb=1)

    def forbidden(request):
        abort(401)

    async def asynchronous(request):
        return Response(403, {}, "no")

    running.server.set_route("/large", lambda request: "x")
    running.server.set_route("/401", forbidden, streaming=True)
    running.server.set_route("/403", asynchronous, streaming=True)
    for target, status in {"/large": 413, "/401": 413, "/403": 413}.items():
        assert client(running.address, target) == status
    running.stop()
    again = serve({"/": lambda request: "x"}, max_body_size_mb=50)
    again.server.set_route("/401", forbidden, streaming=True)
    again.server.set_route("/403", asynchronous, streaming=True)
    for target, status in {"/401": 401, "/403": 403}.items():
        assert client(again.address, target) == status


def test_bytes_behind_a_refusal_have_a_bound(serve):
    """A client that is not uploading has two seconds, one that is 64 MiB."""
    running = serve(lambda request: "x", max_body_size_mb=1)
    with running.wire() as wire:
        wire.send(request_bytes("/", "POST", {"Content-Length": str(1 << 30)}))
        assert wire.receive_answer().status == 413
        sent, piece = 0, b"x" * (1 << 20)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while sent < 200 << 20:
                wire.socket.sendall(piece)
                sent += len(piece)
        assert 60 << 20 < sent < 80 << 20


EXPECT = {"Expect": "100-continue", "Content-Length": "5"}


def test_no_continue_for_a_refused_request(serve, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    routes = {
        "/x": lambda request: request.content,
        "/file": FilePath(str(tmp_path / "a.txt")),
        "/folder": Folder(str(tmp_path)),
    }
    running = serve(routes, allowed_hosts=["localhost"], max_body_size_mb=1)
    running.server.get("/get")(lambda: "got")
    refused = {
        ("/missing", "localhost", "5"): 404,
        ("/get", "localhost", "5"): 405,
        ("/file", "localhost", "5"): 405,
        ("/folder/a.txt", "localhost", "5"): 405,
        ("/x", "elsewhere", "5"): 421,
        ("/x", "localhost", str(1 << 30)): 413,
    }
    for (target, host, length), status in refused.items():
        with running.wire() as wire:
            fields = {"Host": host, "Expect": "100-continue", "Content-Length": length}
            wire.send(request_bytes(target, "POST", fields))
            answer = wire.receive_answer(interim=True)
            assert (target, answer.status, answer.header("Connection")) == (target, status, "close")
            assert wire.send_if_possible(b"12345").send_end().receive_rest() == b""
    with running.wire() as wire:
        wire.send(request_bytes("/x", "POST", EXPECT))
        assert wire.receive_answer(interim=True).status == 100
        assert wire.send(b"12345").receive_answer().body == b"12345"


def test_a_function_before_every_request_may_look_at_content(server, start):
    seen = []
    server.before_request(lambda request: seen.append(request.content))
    with start().wire() as wire:
        wire.send(request_bytes("/missing", "POST", EXPECT))
        assert wire.receive_answer(interim=True).status == 100
        assert wire.send(b"12345").receive_answer().status == 404
    assert seen == [b"12345"]


# --- bytes that the system holds


@pytest.mark.timed
@need_tables
@pytest.mark.parametrize("target", ["/bytes", "/file", "/stream"])
def test_a_client_that_reads_nothing_is_held_little_for(serve, records, tmp_path, target):
    path = tmp_path / "file"
    with path.open("wb") as sparse:
        sparse.truncate(MEGABYTES)
    routes = {
        "/bytes": lambda request: b"x" * MEGABYTES,
        "/file": FilePath(str(path)),
        "/stream": lambda request: Response(200, {}, (b"x" * 65536 for _ in range(MEGABYTES >> 16))),
    }
    running = serve(routes, write_stall_timeout=0.5, access_log="json")
    wire = running.wire()
    wire.send(request_bytes(target))
    wait_until(lambda: any(unsent > 0 for _, unsent in held(running)))
    most = 0
    while not any(record.name == "outside.access" for record in records.records):
        most = max([most, *(unsent for _, unsent in held(running))])
        threading.Event().wait(0.02)
    assert most < 1 << 20, "a bound on what waits in the system"
    # In place of FIN-WAIT-1 with all that: nothing.
    wait_until(lambda: held(running) == [])
    with pytest.raises(ConnectionResetError):
        while wire.socket.recv(1 << 20):
            pass
    wire.close()


@pytest.mark.timed
@need_tables
def test_a_complete_answer_is_waited_for_as_long_as_any(serve, records):
    """It is small enough for the system to take all of it; the client takes it later, or not at all."""
    running = serve(lambda request: b"x" * 150_000, write_stall_timeout=1)
    with lazy(running, "/", Connection="close") as wire, lazy(running, "/", Connection="close") as never:
        wait_until(lambda: len([1 for _, unsent in held(running) if unsent > 0]) == 2)
        threading.Event().wait(0.3)
        assert len(wire.receive_answer().body) == 150_000
        records.wait_for("write_stall_timeout")
        wait_until(lambda: not any(unsent > 0 for _, unsent in held(running)))
        with pytest.raises(ConnectionResetError):
            while never.socket.recv(1 << 20):
                pass


def test_a_stream_that_fails_is_not_taken_for_whole(serve):
    """HTTP/1.1 has a last chunk that is missing; HTTP/1.0 has nothing but the end of the connection."""

    def pieces():
        yield "first"
        raise HTTPException(500)

    running = serve(lambda request: Response(200, {}, pieces()))
    with running.wire() as wire:
        data = wire.send(request_bytes("/")).receive_rest()
        assert data.endswith(b"5\r\nfirst\r\n")
    with running.wire() as wire, pytest.raises(ConnectionResetError):
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        while wire.socket.recv(1 << 16):
            pass
