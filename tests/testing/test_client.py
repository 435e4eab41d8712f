"""Tests without a port: the requests and answers of a test client, and the parts of the server that are real."""

from __future__ import annotations

import gc
import io
import sys
import threading
from pathlib import Path

import pytest

from outside import FilePath, OutsideHTTP, Request, Response, ResponseCookie
from outside.testing import TestClient
from support.harness import Records
from support.request_echo import describe, make_server
from support.subprocesses import run_process


@pytest.fixture
def client():
    with make_server().test_client() as client:
        yield client


def test_the_first_minute():
    server = OutsideHTTP(("127.0.0.1", 8080))
    server.set_route("/hello", lambda request: f"Hello, {request.params.get('name', 'World')}!")

    client = server.test_client()
    response = client.get("/hello", params={"name": "you"})
    assert response.status_code == 200
    assert response.text == "Hello, you!"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert client.get("/nothing").status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(client: TestClient, method: str):
    assert getattr(client, method.lower())("/tell").json()["method"] == method
    assert client.request(method, "/tell").json()["method"] == method


def test_head_has_no_content(client: TestClient):
    response = client.head("/tell")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0
    assert client.get("/tell").json()["method"] == "GET"  # on the same connection


@pytest.mark.parametrize(
    ("options", "media_type", "text"),
    [
        ({"json": {"a": [1, "ü"]}}, "application/json", '{"a": [1, "ü"]}'),
        ({"json": None}, "application/json", "null"),
        ({"data": {"a": "1 &", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", "a=1+%26&b=x&b=y"),
        ({"data": [("a", "1"), ("a", "2")]}, "application/x-www-form-urlencoded", "a=1&a=2"),
        ({"data": "ü"}, "text/plain; charset=utf-8", "ü"),
        ({"data": b"raw"}, None, "raw"),
        ({"data": b"<a/>", "headers": {"content-type": "text/xml"}}, "text/xml", "<a/>"),
        ({"data": iter([b"in ", b"chunks"])}, None, "in chunks"),
        ({}, None, ""),
    ],
)
def test_content(client: TestClient, options: dict, media_type: str | None, text: str):
    told = client.post("/tell", **options).json()
    assert told["headers"].get("content-type") == media_type
    assert told["text"] == text


def test_files_are_a_multipart_form(client: TestClient, tmp_path: Path):
    def receive(request: Request) -> dict:
        files = {name: [file.filename, file.content_type, file.read().decode()] for name, file in request.files.items()}
        return {"form": dict(request.form), "files": files}

    client.server.set_route("/form", receive)
    (tmp_path / "c.csv").write_text("1,2")
    with open(tmp_path / "c.csv", "rb") as opened:
        files = {"a": b"alpha", "b": ("b.txt", "beta"), "c": opened, "d": ("d", io.BytesIO(b"delta"), "image/png")}
        answer = client.post("/form", data={"name": 'quo"te'}, files=files).json()
    assert answer["form"] == {"name": 'quo"te'}
    assert answer["files"] == {
        "a": ["a", "application/octet-stream", "alpha"],
        "b": ["b.txt", "text/plain", "beta"],
        "c": ["c.csv", "text/csv", "1,2"],
        "d": ["d", "image/png", "delta"],
    }


def test_paths_and_queries(client: TestClient):
    told = client.get("/tell/ü b?a=1", params={"b": ["2", "3"], "c": "&"}).json()
    assert told["path"] == "/tell/ü b"
    assert told["params"] == {"a": ["1"], "b": ["2", "3"], "c": ["&"]}
    assert client.get("/tell/%2F").status_code == 200
    with pytest.raises(ValueError, match="begins with '/', not 'tell'"):
        client.get("tell")


def test_header_fields(client: TestClient):
    client.headers["X-Always"] = "1"
    told = client.get("/tell", headers={"X-Once": "2", "x-always": "3"}).json()["headers"]
    assert (told["host"], told["x-once"], told["x-always"]) == ("localhost", "2", "3")
    assert client.get("/tell").json()["headers"]["x-always"] == "1"
    with pytest.raises(ValueError, match="line break"):
        client.get("/tell", headers={"X": "a\r\nB: c"})


def test_the_client_has_the_address_that_a_test_wants():
    assert make_server().test_client().get("/tell").json()["address"] == "127.0.0.1"
    assert make_server().test_client(address="2001:db8::1").get("/tell").json()["address"] == "2001:db8::1"


class TestCookies:
    @pytest.fixture
    def client(self):
        server = make_server()
        set_by = {
            "/in": {"user": ResponseCookie("ann"), "inner": ResponseCookie("1", path="/tell/inner")},
            "/out": {"user": ResponseCookie("", max_age=0)},
        }
        for path, cookies in set_by.items():
            server.set_route(path, lambda request, cookies=cookies: Response(content="ok", cookies=cookies))
        return server.test_client()

    def sent(self, client: TestClient, path: str = "/tell", **options: object) -> str | None:
        return client.get(path, **options).json()["headers"].get("cookie")  # type: ignore[arg-type]

    def test_they_are_kept_until_they_are_deleted(self, client: TestClient):
        assert self.sent(client) is None
        assert client.get("/in").cookies == {"user": "ann", "inner": "1"}
        assert self.sent(client) == "user=ann"
        client.get("/out")
        assert self.sent(client) is None

    def test_they_belong_to_a_path(self, client: TestClient):
        client.get("/in")
        assert self.sent(client, "/tell/inner/x") == "inner=1; user=ann"
        assert self.sent(client, "/tell/innermost") == "user=ann"

    def test_a_test_may_set_some_itself(self, client: TestClient):
        client.cookies["lang"] = "de"
        assert self.sent(client, cookies={"once": "1"}) == "lang=de; once=1"
        assert self.sent(client) == "lang=de"
        del client.cookies["lang"]
        assert self.sent(client) is None
        assert dict(client.cookies) == {}


class TestRedirects:
    @pytest.fixture
    def client(self):
        server = make_server()
        for code in (301, 302, 303, 307, 308):
            server.set_route(f"/{code}", lambda request, code=code: Response(code, {"Location": "/tell?x=1"}))
        server.set_route("/loop", lambda request: Response(302, {"Location": "loop"}))
        server.set_route("/away", lambda request: Response(302, {"Location": "https://example.com/"}))
        return server.test_client()

    def test_they_are_answers_like_others_unless_they_are_followed(self, client: TestClient):
        response = client.get("/302")
        assert (response.status_code, response.headers["Location"]) == (302, "/tell?x=1")
        followed = client.get("/302", follow_redirects=True)
        assert followed.json()["params"] == {"x": ["1"]}
        assert [hop.status_code for hop in followed.history] == [302]

    @pytest.mark.parametrize(("code", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
    def test_a_post_that_is_redirected(self, client: TestClient, code: int, method: str):
        told = client.post(f"/{code}", data={"a": "1"}, follow_redirects=True).json()
        assert (told["method"], told["text"]) == (method, "a=1" if method == "POST" else "")

    def test_endless_ones_and_those_that_lead_away(self, client: TestClient):
        with pytest.raises(RuntimeError, match="more than 20 redirects"):
            client.get("/loop", follow_redirects=True)
        with pytest.raises(RuntimeError, match=r"https://example\.com/ leads to another server"):
            client.get("/away", follow_redirects=True)


class TestExceptions:
    @pytest.fixture
    def server(self):
        server = make_server()

        def fail(request: Request) -> None:
            raise LookupError("nobody is called that")

        async def fail_later(request: Request) -> None:
            raise LookupError("nobody is called that")

        server.set_route("/fail", fail)
        server.set_route("/later", fail_later)
        return server

    @pytest.mark.parametrize("path", ["/fail", "/later"])
    def test_the_client_sees_the_500_and_the_test_sees_the_exception(self, server: OutsideHTTP, path: str):
        client = server.test_client()
        response = client.get(path)
        assert response.status_code == 500
        assert "nobody" not in response.text
        assert isinstance(response.exception, LookupError)
        assert client.get("/tell").exception is None

    @pytest.mark.parametrize("path", ["/fail", "/later"])
    def test_or_it_is_raised_where_the_test_asked(self, server: OutsideHTTP, path: str):
        with pytest.raises(LookupError, match="nobody is called that") as caught:
            server.test_client(raise_exceptions=True).get(path)
        assert caught.traceback[-1].path == Path(__file__)

    def test_with_functions_around_the_handlers_as_well(self, server: OutsideHTTP):
        server.before_request(lambda request: None)

        @server.get("/item/<int:number>")
        def item(number: int) -> None:
            raise LookupError(f"no item {number}")

        response = server.test_client().get("/item/7")
        assert (response.status_code, str(response.exception)) == (500, "no item 7")

        @server.errorhandler(LookupError)
        def nothing(error: LookupError) -> tuple[int, str]:
            return 404, str(error)

        handled = server.test_client().get("/item/7")
        assert (handled.status_code, handled.exception) == (404, None)
        assert "no item 7" in handled.text

    def test_two_clients_do_not_get_each_others(self, server: OutsideHTTP):
        first, second = server.test_client(), server.test_client()
        first.get("/fail")
        assert second.get("/tell").exception is None

    def test_error_handlers_and_hooks_and_the_log_are_those_of_the_server(self, server: OutsideHTTP, records: Records):
        server.set_errorhandler(500, lambda request, message=None: Response(500, content="sorry"))
        server.config["pre_send"] = lambda response: response.headers.update({"X-Sent": "1"})
        response = server.test_client().get("/fail")
        assert (response.text, response.headers["X-Sent"]) == ("sorry", "1")
        records.wait_for("LookupError: nobody is called that")


class TestStreams:
    def test_pieces_as_they_come(self):
        server, go_on = make_server(), threading.Semaphore(0)

        def count(request: Request) -> Response:
            def pieces():
                for number in range(3):
                    yield f"data: {number}\n\n"
                    go_on.acquire(timeout=30)

            return Response(content=pieces())

        server.set_route("/count", count)
        with server.test_client() as client, client.get("/count", stream=True) as response:
            lines = response.iter_lines()
            for number in range(3):
                assert next(lines) == f"data: {number}"
                assert next(lines) == ""
                go_on.release()
            assert list(lines) == []
            assert client.get("/tell").status_code == 200

    def test_an_endless_one_ends_when_the_test_has_seen_enough(self):
        server, closed = make_server(), threading.Event()

        async def numbers():
            try:
                while True:
                    yield b"x" * 10_000
            finally:
                closed.set()

        server.set_route("/endless", lambda request: Response(content=numbers()))
        client = server.test_client()
        with client.get("/endless", stream=True) as response:
            assert len(next(response.iter_content(100))) == 100
        assert closed.wait(30)
        client.close()

    def test_one_that_breaks_off_is_no_whole_answer(self):
        server = make_server()

        def broken():
            yield "begun"
            raise OSError("the disk is gone")

        server.set_route("/broken", lambda request: Response(content=broken()))
        with pytest.raises(Exception, match="IncompleteRead"):
            server.test_client().get("/broken")


class TestTheServerIsReal:
    """The same codec and limits as over a network."""

    def test_a_body_beyond_the_limit(self):
        server = make_server()
        server.config["max_body_size_mb"] = 1
        client = server.test_client()
        assert client.post("/tell", data=b"x" * (8 << 20)).status_code == 413
        assert client.post("/tell", data=(b"x" * 65536 for _ in range(100))).status_code == 413
        assert client.post("/tell", data=b"x" * 1000).status_code == 200

    def test_a_head_beyond_the_limit(self, client: TestClient):
        assert client.get("/tell", headers={"X": "x" * 40_000}).status_code == 431
        assert client.get("/tell/" + "x" * 10_000).status_code == 414
        assert client.get("/tell", headers={"Host": "a b"}).status_code == 400

    def test_files_with_ranges_and_validators(self, client: TestClient, tmp_path: Path):
        (tmp_path / "a.txt").write_text("0123456789" * 100_000)
        client.server.set_route("/a", FilePath(tmp_path / "a.txt"))
        whole = client.get("/a")
        assert len(whole.content) == 1_000_000
        assert client.get("/a", headers={"Range": "bytes=3-5"}).text == "345"
        assert client.get("/a", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304

    def test_compression_if_the_test_asks_for_it(self, client: TestClient):
        client.server.set_route("/long", lambda request: "long " * 1000)
        assert "Content-Encoding" not in client.get("/long").headers
        assert client.get("/long", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"

    def test_no_port_is_bound(self):
        server = OutsideHTTP(("192.0.2.1", 80))  # an address that no machine has
        server.config["access_log"] = "off"
        server.set_route("/tell", describe)
        with server.test_client() as client:
            assert client.get("/tell").status_code == 200
            assert server.address is None

    def test_wrong_settings_are_refused_as_by_run(self):
        server = make_server()
        server.config["max_worker"] = 3
        with pytest.raises(ValueError, match='did you mean "max_workers"'):
            server.test_client().get("/tell")
        with pytest.raises(ValueError, match="max_workers"), server.test_client():
            pass

    def test_the_settings_are_read_again_by_the_next_client(self):
        server = make_server()
        with server.test_client() as client:
            assert client.post("/tell", data=b"x" * 2_000_000).status_code == 200
        server.config["max_body_size_mb"] = 1
        with server.test_client() as client:
            assert client.post("/tell", data=b"x" * 2_000_000).status_code == 413


class TestLife:
    def test_it_runs_from_the_first_request_to_close(self):
        server, ends = make_server(), []
        server.config["server_cleanup"] = lambda: ends.append(1)
        client = server.test_client()
        assert not server._terminate_process
        client.get("/tell")
        client.close()
        assert ends == [1]
        client.get("/tell")  # it begins again
        client.close()
        assert ends == [1, 1]

    def test_startup_and_shutdown(self):
        server, said = make_server(), []
        server.on_startup(lambda: said.append("up"))
        server.on_shutdown(lambda: said.append("down"))
        with server.test_client() as client:
            assert said == ["up"]
            assert client.get("/tell").status_code == 200
        assert said == ["up", "down"]

    def test_a_startup_that_fails_is_raised(self):
        server = make_server()

        @server.on_startup
        def connect() -> None:
            raise ConnectionError("no database")

        with pytest.raises(ConnectionError, match="no database"):
            server.test_client().get("/tell")

    def test_several_clients_share_it(self):
        server, ends = make_server(), []
        server.config["server_cleanup"] = lambda: ends.append(1)
        with server.test_client() as first, server.test_client() as second:
            assert first.get("/tell").status_code == 200
            first.close()
            assert second.get("/tell").status_code == 200
            assert ends == []
        assert ends == [1]

    def test_a_client_that_is_forgotten_ends_it_as_well(self):
        server, ended = make_server(), threading.Event()
        server.config["server_cleanup"] = ended.set
        server.test_client().get("/tell")
        gc.collect()
        assert ended.wait(30)

    def test_a_server_that_runs_anyway_is_not_run_twice(self, serve):
        running = serve({"/": describe})
        with pytest.raises(RuntimeError, match="running already"):
            running.server.test_client().get("/")

    def test_a_server_that_is_terminated_says_so(self, client: TestClient):
        client.server.set_route("/end", lambda request: client.server.terminate() or "bye")
        assert client.get("/end").text == "bye"

    def test_a_program_that_never_closes_it_ends(self):
        program = (
            "from outside import OutsideHTTP\n"
            "server = OutsideHTTP(('127.0.0.1', 0))\n"
            "server.config['access_log'] = 'off'\n"
            "server.set_route('/', lambda request: 'hi')\n"
            "client = server.test_client()\n"
            "print(client.get('/').text)\n"
        )
        done = run_process([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr, done.returncode) == ("hi\n", "", 0)

    def test_a_time_out_names_the_request(self):
        server, release = make_server(), threading.Event()
        server.set_route("/slow", lambda request: release.wait(30) and "")
        client = server.test_client(timeout=0.1)
        with pytest.raises(TimeoutError, match="GET /slow: no answer within 0.1 s"):
            client.get("/slow")
        release.set()
        client.close()
