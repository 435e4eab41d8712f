"""`config["debug"]`: the page about an exception, the clients that may see it, and that no markup on it is alive."""

from __future__ import annotations

import builtins
import signal
import struct
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from outside import OutsideHTTP, Request, Response
from outside._debug import token as _debug_token
from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium
from support.harness import Running, Script, wait_until
from support.processes import refused
from support.wire import fetch

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
PLAIN = "500 Internal Server Error\n"


class Basket:
    def __init__(self, *prices: object) -> None:
        self.prices = prices

    def __repr__(self) -> str:
        return f"<Basket of {len(self.prices)}>"

    def total(self) -> float:
        return sum(price / 100 for price in self.prices)  # type: ignore[operator]


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr either")


def pay(request: Request) -> str:
    basket = Basket(199, "<b onclick=steal()>free</b>", 250)
    password, note, broken = "hunter2", "x" * 5000, Broken()  # noqa: F841 - the page shows them
    settings = {"colour": "green", "api_key": "sk-123"}  # noqa: F841
    try:
        return f"{basket.total():.2f}"
    except TypeError as error:
        raise ValueError(f"nobody can pay for {basket!r} <script>alert(1)</script>") from error


async def pay_later(request: Request) -> str:
    return pay(request)


def make_server() -> OutsideHTTP:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(debug=True, access_log="off")
    server.set_route("/pay", pay)
    server.set_route("/later", pay_later)
    return server


@pytest.mark.parametrize("path", ["/pay", "/later"])
def test_its_content(path: str):
    response = make_server().test_client().get(path, headers={**BROWSER, "Cookie": "session=abc", "X-Wish": "<i>"})
    page = response.text
    assert response.status_code == 500
    assert "<title>ValueError: nobody can pay for &lt;Basket of 3&gt; &lt;script&gt;alert(1)&lt;/script&gt;</title>" in page
    for part in (
        "This was the cause",
        "TypeError: unsupported operand",
        "test_debug_page.py:",
        "in <b>pay</b>",
        "return f&quot;{basket.total():.2f}&quot;",  # source
        "&lt;Basket of 3&gt;",  # variables
        "(5,000 long)",
        "&lt;Broken whose repr raises RuntimeError&gt;",
        "&lt;i&gt;",  # fields of the request
    ):
        assert part in page, part
    for part in ("<script", "onclick=steal()>", "<i>", "hunter2", "sk-123", "session=abc", "around.py"):
        body = page.partition("</style>")[2].partition("<h2>As text</h2>")[0]
        # Source lines are shown as they stand in the file.
        variables = "".join(part for part in body.split("<ol>") for part in part.partition("</ol>")[2:])
        assert part not in variables, part
    assert "<script" not in page


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_a_group_of_exceptions_shows_what_it_holds():
    group: Any = vars(builtins)["ExceptionGroup"]

    def deep(depth: int) -> BaseException:
        return group(f"level {depth}", [deep(depth - 1)]) if depth else KeyError("the deepest")

    def gather(request: Request) -> str:
        failed: list[Exception] = []
        for wanted in (lambda: pay(request), lambda: int("<i>")):
            try:
                wanted()
            except ValueError as error:
                failed.append(error)
        raise group("two of them", [*failed, group("inner", [OSError(5, "a disk")]), deep(9)])

    server = make_server()
    server.set_route("/group", gather)
    page = server.test_client().get("/group", headers=BROWSER).text
    for part in (
        "ExceptionGroup: two of them (4 sub-exceptions)",
        "1 of 4: ValueError: nobody can pay for &lt;Basket of 3&gt;",
        "This was the cause",
        "in <b>pay</b>",
        "2 of 4: ValueError: invalid literal for int() with base 10: &#x27;&lt;i&gt;&#x27;",
        "3 of 4: ExceptionGroup: inner (1 sub-exception)",
        "1 of 1: OSError: [Errno 5] a disk",
        "1 of 1: ExceptionGroup: level 5",
        "and 1 inside",
    ):
        assert part in page, part
    body = page.partition("<h2>As text</h2>")[0]
    assert "level 4 (" not in body


def test_functions_around_handlers_do_not_hide_it():
    server = make_server()
    server.after_request(lambda response: None)
    server.get("/decorated/{order}")(lambda request, order: pay(request))
    page = server.test_client().get("/decorated/7", headers=BROWSER).text
    assert "in <b>pay</b>" in page
    assert "in <b>_steps</b>" not in page


def test_nothing_on_it_runs_and_no_cache_keeps_it():
    headers = make_server().test_client().get("/pay", headers=BROWSER).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_other_clients_than_browsers_get_the_traceback_as_text():
    response = make_server().test_client().get("/pay")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text.startswith("Traceback (most recent call last):\n")
    assert "The above exception was the direct cause" in response.text
    assert "ValueError: nobody can pay" in response.text


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"address": "192.0.2.7"}, {}),
        ({"address": "::ffff:192.0.2.7"}, {}),
        ({}, {"X-Forwarded-For": "192.0.2.7"}),
        ({}, {"Forwarded": "for=192.0.2.7"}),
        ({}, {"Via": "1.1 proxy"}),
        ({}, {"Host": "rebound.example"}),
        ({}, {"Host": "127.0.0.1.example"}),
        ({}, {"Host": "192.0.2.7"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Sec-Fetch-Site": ""}),
        ({}, {"Origin": "http://localhost:3000"}),
        ({}, {"Origin": "https://localhost"}),
        ({}, {"Origin": "null"}),
    ],
)
def test_anybody_else_gets_a_plain_500(options: dict, headers: dict):
    response = make_server().test_client(**options).get("/pay", headers=headers)
    assert (response.status_code, response.text) == (500, PLAIN)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "app.localhost", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"])
def test_names_of_this_machine(host: str):
    assert "Traceback" in make_server().test_client(host=host).get("/pay").text


def test_without_debug_it_is_a_plain_500():
    server = make_server()
    server.config["debug"] = False
    assert server.test_client().get("/pay").text == PLAIN


def test_an_error_handler_waits_until_debug_is_off():
    server = make_server()
    server.set_errorhandler(500, lambda request, message=None: Response(500, content="sorry"))
    assert "Traceback" in server.test_client().get("/pay").text
    server.config["debug"] = False
    assert server.test_client().get("/pay").text == "sorry"


@pytest.mark.parametrize("host", [("0.0.0.0", 0), ("::", 0), "unix:debug.sock"])
def test_it_is_refused_where_others_can_connect(host: object):
    server = OutsideHTTP(host)  # type: ignore[arg-type]
    server.config["debug"] = True
    with pytest.raises(
        ValueError, match='config\\["debug"\\] shows source lines .* only this machine reaches, such as 127.0.0.1'
    ):
        server.run()


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}]
)
def test_pages_of_the_same_origin_may_see_it(headers: dict[str, str]):
    assert "Traceback" in make_server().test_client().get("/pay", headers=headers).text


@pytest.mark.parametrize("cors", ["*", {"origins": ["http://app.example"], "credentials": True, "expose": ["X-A"]}])
def test_pages_of_other_origins_may_not_read_it(cors: object):
    """Permission may come from the configuration, a path, a function, or the answer of an earlier handler."""
    server = make_server()
    server.config["cors"] = cors
    server.set_cors("/later", "*")  # type: ignore[arg-type]
    server.set_route("/plain", lambda request: "ok")

    @server.after_request
    def allow(request: Request, response: Response) -> None:
        if request.path == "/pay":
            response.headers["access-control-allow-origin"] = "*"
            response.headers["Timing-Allow-Origin"] = "*"

    client = server.test_client()
    for path in ("/pay", "/later"):
        for headers in ({}, BROWSER):
            answer = client.get(path, headers=headers)
            assert "nobody can pay" in answer.text
            assert [name for name in answer.headers if name.lower().startswith(("access-control", "timing"))] == []
    assert client.get("/plain", headers={"Origin": "http://app.example"}).headers["Access-Control-Allow-Origin"] in (
        "*",
        "http://app.example",
    )
    foreign = client.get("/later", headers={"Origin": "http://app.example", "Sec-Fetch-Site": "cross-site"})
    assert (foreign.text, foreign.headers.get("Access-Control-Allow-Origin")) == (PLAIN, "*")


class TestToken:
    """A server on an address of the network: requests through a proxy in front look as if they came from this machine."""

    @pytest.fixture
    def running(self, serve):
        return serve({"/pay": pay, "/later": pay_later}, debug=True)

    def cookie(self, running) -> dict[str, str]:
        answer = running.fetch(f"{_debug_token.PATH}?token={_debug_token.token()}")
        assert (answer.status, answer.header("Location")) == (303, "/")
        name, *attributes = answer.header("Set-Cookie").split("; ")
        assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
        assert name.startswith("outside-debug")
        return {"Cookie": name}

    @pytest.mark.parametrize("path", ["/pay", "/later"])
    def test_without_it_nothing_is_shown(self, running, path: str):
        for cookie in ({}, {"Cookie": "outside-debug=guess"}, {"Cookie": "outside-debug="}, {"Cookie": "outside-debug=\xff"}):
            assert running.fetch(path, headers=cookie).text == PLAIN
            page = running.fetch(path, headers={**BROWSER, **cookie})
            assert (page.status, "500 Internal Server Error" in page.text, 'action="/.outside/debug"' in page.text) == (
                500,
                True,
                True,
            )
            assert not any(
                part in page.text for part in ("nobody can pay", "Traceback", "test_debug_page", _debug_token.token())
            )
        cookie = self.cookie(running)
        assert "nobody can pay" in running.fetch(path, headers={**BROWSER, **cookie}).text
        assert running.fetch(path, headers=cookie).text.startswith("Traceback")
        for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Sec-Fetch-Site": "cross-site"}):
            assert running.fetch(path, headers={**cookie, **headers}).text == PLAIN

    def test_the_error_handler_of_the_program_answers_others(self, running):
        running.server.set_errorhandler(500, lambda request, message=None: Response(500, content="sorry"))
        assert running.fetch("/pay").text == "sorry"

    def test_the_form(self, running):
        ask = lambda **fields: running.fetch(
            _debug_token.PATH,
            "POST",
            body=urlencode(fields).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        for wrong in ({}, {"token": ""}, {"token": "x" * 36}, {"token": _debug_token.token()[:-1]}, {"token": "é"}):
            answer = ask(**wrong)
            assert (answer.status, answer.header("Set-Cookie")) == (403, None)
        assert "That is not the token" in answer.text
        for to, location in [
            ("/pay?order=7", "/pay?order=7"), ("/a%20b", "/a%20b"), ("", "/"), ("//evil.example", "/"), ("/\\evil.example", "/"),
            ("https://evil.example", "/"), ("/a\r\nSet-Cookie: x=1", "/"), ("javascript:alert(1)", "/"),
        ]:  # fmt: skip
            answer = ask(token=_debug_token.token(), to=to)
            assert (answer.status, answer.header("Location")) == (303, location)
        page = running.fetch("/pay?order=%22%3E%3Cscript%3E", headers=BROWSER).text
        assert 'name=to value="/pay?order=%22%3E%3Cscript%3E"' in page

    def test_functions_around_handlers_are_not_in_its_way(self, serve):
        server = make_server()
        server.before_request(lambda request: (401, "sign in"))
        running = Running(server)
        try:
            assert running.fetch("/pay").status == 401
            self.cookie(running)
        finally:
            running.stop()

    def test_it_is_printed_where_it_is_needed(self, tmp_path: Path):
        """Once, for all processes and those that come after them."""
        (tmp_path / "app.py").write_text(
            "import logging, os, sys\nfrom outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
            "logging.basicConfig(stream=sys.stdout)\nserver.config.update(access_log='off', drain_idle=0)\n"
            "server.set_route('/', lambda request: 1 / 0)\nserver.set_route('/parent', lambda request: str(os.getppid()))\nserver.set_route('/env', lambda request: str(dict(os.environ)))\n"
        )
        command = [sys.executable, "-m", "outside", "run", "app:server", "--debug", "--workers", "2"]
        script = Script(program=command, folder=tmp_path)
        line = script.read_line()
        token = line.rpartition("token=")[2].strip()
        assert len(token) == 36
        assert line.startswith(
            f"Pages about exceptions are for a browser that has opened http://127.0.0.1:{script.address[1]}/.outside/debug?token="
        )
        cookie = {"Cookie": f"outside-debug-{script.address[1]}={token}"}
        headers = {**cookie, "Host": f"127.0.0.1:{script.address[1]}"}
        assert all("ZeroDivisionError" in fetch(script.address, "/", headers=headers).text for _ in range(10))
        assert fetch(script.address, "/").text == PLAIN
        assert token not in fetch(script.address, "/env").text
        first = fetch(script.address, "/parent").text
        script.process.send_signal(signal.SIGHUP)
        wait_until(lambda: fetch(script.address, "/parent").text != first, "the new generation answers")
        assert "ZeroDivisionError" in fetch(script.address, "/", headers=headers).text
        script.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(script.address), "the end")

    def test_without_debug_there_is_no_such_path(self, serve):
        running = serve({"/pay": pay})
        assert running.fetch(_debug_token.PATH).status == 404
        assert running.fetch("/pay", headers=BROWSER).text.count("token") == 0


@needs_chromium
def test_in_a_browser(serve, tmp_path: Path):
    running = serve({"/pay": pay}, debug=True)
    url = f"http://127.0.0.1:{running.address[1]}/.outside/debug?token={_debug_token.token()}"
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), url)
        # It goes on to /, where nothing is, without the token in its address.
        tab.wait_for_text("h1", "404")
        assert tab.evaluate("location.pathname + location.search + document.cookie") == "/"
        tab.evaluate("location.href = '/pay?order=7'")
        tab.wait_for_text("h1", "ValueError: nobody can pay for <Basket of 3> <script>alert(1)</script>")
        assert any("test_debug_page.py:" in text for text in tab.texts("summary"))
        marked = tab.texts("li.here")
        assert any("raise ValueError" in line for line in marked)
        for scheme in ("light", "dark"):
            for kind, width, height in (("phone", 390, 844), ("desktop", 1280, 1000)):
                path = Path(PICTURES or tmp_path) / f"debug-{kind}-{scheme}.png"
                data = tab.picture(path, width, height, scheme)
                assert struct.unpack(">II", data[16:24]) == (width, height)
                assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
                assert len(data) > 20_000, "an empty page packs to less"
