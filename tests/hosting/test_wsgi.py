"""WSGI (PEP 3333): what applications are given, and what becomes of their answers."""

from __future__ import annotations

import contextvars
import io
import sys
import threading
from wsgiref.validate import validator

import pytest

from outside import wsgi
from support.wire import Wire, fetch, request_bytes

TEXT = [("Content-Type", "text/plain")]


def answering(*pieces: bytes, status: str = "200 OK", headers: list = TEXT):
    def app(environ, start_response):
        start_response(status, list(headers))
        return list(pieces)

    return app


@pytest.fixture
def host(serve):
    return lambda app, route="/", **config: serve({route: wsgi(app)}, **config)


def environ_of(host, request: bytes, route: str = "/", **config) -> dict:
    seen: dict = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", TEXT)
        return [b""]

    running = host(app, route, **config)
    with Wire(running.address) as wire:
        assert wire.send(request).receive_answer().status == 200
    return seen


def test_the_validator_of_the_standard_library_is_content(host):
    def app(environ, start_response):
        read = environ["wsgi.input"]
        content = read.readline() + read.read(3) + b"".join(read.readlines()) + read.read(1)
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(content)))])
        return [content]

    running = host(validator(app))
    assert fetch(running.address, "/a?b=c", "POST", body=b"line\nother\nlast").body == b"line\nother\nlast"
    assert fetch(running.address, "/").body == b""


def test_environ(host):
    request = (
        b"POST /api//a%20b/../%E9%2F?x=%zz HTTP/1.1\r\nHost: example.com:81\r\nContent-Length: 2\r\nContent-Type: a/b\r\n"
        b"X-One: 1\r\nx-one: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_One: evil\r\nProxy: evil\r\nX-Latin: caf\xe9\r\nRemote-User: me\r\n\r\nhi"
    )
    environ = environ_of(host, request.replace(b"/../", b"/"), "/api")
    assert type(environ) is dict
    assert environ["REQUEST_METHOD"] == "POST"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", "//a b/\xe9/")
    assert environ["QUERY_STRING"] == "x=%zz"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/api//a%20b/%E9%2F?x=%zz"
    # The listener's: Host is HTTP_HOST.
    assert environ["SERVER_NAME"] == "127.0.0.1" and environ["SERVER_PORT"] not in ("81", "0")
    assert environ["HTTP_HOST"] == "example.com:81"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("2", "a/b")
    assert "HTTP_CONTENT_LENGTH" not in environ and "HTTP_CONTENT_TYPE" not in environ
    assert (environ["HTTP_X_ONE"], environ["HTTP_COOKIE"], environ["HTTP_X_LATIN"]) == ("1,2", "a=1; b=2", "caf\xe9")
    assert "HTTP_PROXY" not in environ and "REMOTE_USER" not in environ and environ["HTTP_REMOTE_USER"] == "me"
    assert environ["REMOTE_ADDR"] == "127.0.0.1" and environ["REMOTE_PORT"].isdigit()
    assert environ["wsgi.version"] == (1, 0) and environ["wsgi.url_scheme"] == "http" and "HTTPS" not in environ
    assert environ["wsgi.multithread"] is True and environ["wsgi.multiprocess"] is False and environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert "PATH" not in environ


@pytest.mark.parametrize(
    ("target", "path"), [("/api", ""), ("/api/", "/"), ("/api/a", "/a"), ("/x/../api/b", "/b"), ("/api/%2e%2e", None)]
)
def test_the_path_below_a_mount(host, target: str, path: str | None):
    seen = []

    def app(environ, start_response):
        seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        start_response("200 OK", TEXT)
        return []

    running = host(app, "/api")
    assert fetch(running.address, target).status == (404 if path is None else 200)
    assert seen == ([] if path is None else [("/api", path)])


def test_content_that_came_in_chunks_has_its_length(host):
    request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    environ = environ_of(host, request)
    assert environ["CONTENT_LENGTH"] == "11" and "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["wsgi.input"].read() == b"hello world"


def test_every_way_to_read(host):
    content = b"one\ntwo\n\nfour"
    ways = []

    def app(environ, start_response):
        read, like = environ["wsgi.input"], io.BytesIO(content)
        for way in ways[-1]:
            assert way(read) == way(like), way
        start_response("200 OK", TEXT)
        return [b"ok"]

    running = host(app)
    for steps in (
        [lambda f: f.read(), lambda f: f.read(), lambda f: f.readline()],
        [lambda f: f.read(4), lambda f: f.read(-1), lambda f: f.read(1)],
        [lambda f: f.read(0), lambda f: f.read(None)],
        [lambda f: f.readline(2), lambda f: f.readline(), lambda f: f.readline(100), lambda f: f.readlines()],
        [lambda f: f.readlines(5), lambda f: f.readlines()],
        [lambda f: next(iter(f)), lambda f: list(f)],
    ):
        ways.append(steps)
        assert fetch(running.address, "/", "POST", body=content).text == "ok"


def test_large_content_is_taken_while_it_comes_in(host):
    begun = threading.Event()

    def app(environ, start_response):
        first = environ["wsgi.input"].read(10)
        begun.set()
        rest = 0
        while piece := environ["wsgi.input"].read(1 << 16):
            rest += len(piece)
        start_response("200 OK", TEXT)
        return [f"{environ['CONTENT_LENGTH']} {len(first)} {rest}".encode()]

    running = host(app, spool_above_mb=1)
    length = 24 << 20
    with Wire(running.address) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        wire.send(b"x" * (1 << 16))
        assert begun.wait(10)
        for _ in range(length // (1 << 16) - 1):
            wire.send(b"x" * (1 << 16))
        assert wire.receive_answer().text == f"{length} 10 {length - 10}"


def test_one_context_and_one_thread_from_the_call_to_close(host):
    variable = contextvars.ContextVar("variable", default="unset")
    seen, closed = [], threading.Event()

    class Pieces:
        def __init__(self):
            self.left = 3

        def __iter__(self):
            return self

        def __next__(self):
            seen.append((variable.get(), threading.get_ident()))
            if not self.left:
                raise StopIteration
            self.left -= 1
            return b"x"

        def close(self):
            seen.append((variable.get(), threading.get_ident()))
            closed.set()

    def app(environ, start_response):
        assert variable.get() == "unset"
        variable.set(environ["PATH_INFO"])
        seen.append((variable.get(), threading.get_ident()))
        start_response("200 OK", TEXT)
        return Pieces()

    running = host(app)
    for target in ("/a", "/b"):
        assert fetch(running.address, target).body == b"xxx"
        assert closed.wait(5)
        assert len(set(seen)) == 1 and seen[0][0] == target and len(seen) == 6
        seen.clear()
        closed.clear()


def test_pieces_leave_as_they_are_made(host):
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"first"
        assert go_on.wait(10)
        yield b"second"

    running = host(app)
    with Wire(running.address) as wire:
        wire.send(request_bytes("/"))
        while b"first" not in wire.received:
            assert wire.receive_some()
        go_on.set()
        assert wire.receive_answer().body == b"firstsecond"


def test_content_that_is_complete_at_once_has_its_length(host):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b""
        yield b"a"
        yield b"b"

    answer = fetch(host(app).address)
    assert answer.body == b"ab"
    # Whether the pieces were there before the head left decides about chunks.
    assert (answer.header("content-length") == "2") != (answer.header("transfer-encoding") == "chunked")


def test_write_sends_at_once(host):
    go_on = threading.Event()

    def app(environ, start_response):
        write = start_response("201 Made", TEXT)
        write(b"one ")
        assert go_on.wait(10)
        write(b"two ")
        return [b"three"]

    with Wire(host(app).address) as wire:
        wire.send(request_bytes("/"))
        while b"one " not in wire.received:
            assert wire.receive_some()
        go_on.set()
        assert wire.receive_answer().body == b"one two three"


def test_exc_info_replaces_an_answer_that_has_not_left(host):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError("late")
        except ValueError:
            start_response("503 Sorry", [("X-A", "b")], sys.exc_info())
        return [b"sorry"]

    answer = fetch(host(app).address)
    assert (answer.status, answer.header("x-a"), answer.header("content-type"), answer.body) == (503, "b", None, b"sorry")


def test_exc_info_after_the_head_is_raised_and_cuts_the_answer(host, records):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"begun")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oh", TEXT, sys.exc_info())
        return [b"never"]

    with Wire(host(app).address) as wire:
        rest = wire.send(request_bytes("/")).receive_rest()
    assert b"begun" in rest and not rest.endswith(b"0\r\n\r\n")
    records.wait_for("ValueError: too late")


def test_a_file_is_sent_from_its_position_on(host, tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789" * 10_000)

    def app(environ, start_response):
        file = open(tmp_path / "file", "rb")  # noqa: SIM115 - the server closes it
        file.read(5)
        length = environ["QUERY_STRING"]
        start_response("200 OK", [("Content-Length", length)] if length else TEXT)
        files.append(file)
        return environ["wsgi.file_wrapper"](io.BytesIO(file.read()) if environ["PATH_INFO"] == "/memory" else file, 100)

    files: list = []
    running = host(app)
    whole = b"0123456789" * 10_000
    for target, content in (("/", whole[5:]), ("/?7", whole[5:12]), ("/memory", whole[5:])):
        assert fetch(running.address, target).body == content
    running.stop()
    assert [file.closed for file in files] == [True, True, False]


def test_a_hosted_application_has_no_deadline_and_no_fields_of_ours(host):
    def app(environ, start_response):
        import time

        time.sleep(0.3)
        start_response("200 OK", [])
        return [b"<html>" * 1000]

    answer = fetch(host(app, process_timeout=0.1, compression=True).address, headers=[("Accept-Encoding", "gzip")])
    assert answer.status == 200 and answer.header("content-type") is None and answer.header("content-encoding") is None


def test_errors_go_to_the_log(host, records):
    def app(environ, start_response):
        environ["wsgi.errors"].write("one\ntw")
        environ["wsgi.errors"].writelines(["o\n"])
        start_response("200 OK", TEXT)
        return []

    fetch(host(app).address)
    assert [record.getMessage() for record in records.records if record.name == "outside.wsgi"] == ["one", "two"]


def test_the_socket_of_an_upgrade_is_the_applications(host):
    def app(environ, start_response):
        connection = environ["werkzeug.socket"]
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
        while data := connection.recv(100):
            connection.sendall(data.upper())
        return []

    with Wire(host(app).address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
        begun = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nEARLY"
        assert wire.receive_exactly(begun) == begun
        assert wire.send(b"late").receive_exactly(b"LATE") == b"LATE"
        wire.send_end().receive_end()


def test_an_upgrade_that_is_not_taken_is_a_request_like_others(host):
    running = host(answering(b"plain"))
    with Wire(running.address) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert wire.receive_answer().body == b"plain"


def test_the_test_client_calls_hosted_applications(server):
    server.mount("/app", answering(b"hosted", status="200 Yes"))
    server.get("/app/native")(lambda: "native")
    with server.test_client() as client:
        assert client.get("/app/x").text == "hosted"
        assert client.get("/app/native").text == "native"


def test_clients_that_leave_free_their_threads(host):
    """200 clients leave in the middle of a stream, and every generator is closed."""
    closed, some = [], threading.Semaphore(0)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(1)
            some.release()

    running = host(app, max_workers=16)
    for _ in range(20):
        wires = [Wire(running.address).send(request_bytes("/")) for _ in range(10)]
        for wire in wires:
            assert wire.receive_some()
            wire.close()
    for _ in range(200):
        assert some.acquire(timeout=20)
    assert len(closed) == 200
