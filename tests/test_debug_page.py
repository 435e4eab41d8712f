"""`config["debug"]`: the page about an exception, who sees it, and that nothing on it is alive."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from outside import OutsideHTTP, Request, Response

from harness import HERE
from test_chat import Tab, devtools
from test_file_clients import PICTURES, chromium, needs_chromium

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
    password, note, broken = "hunter2", "x" * 5000, Broken()  # noqa: F841
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
def test_what_it_says(path: str):
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
    for part in ("<script", "onclick=steal()>", "<i>", "hunter2", "sk-123", "session=abc", "_around.py"):
        body = page.partition("</style>")[2].partition("<h2>As text</h2>")[0]
        # Source lines are shown as they stand in the file.
        variables = "".join(part for part in body.split("<ol>") for part in part.partition("</ol>")[2:])
        assert part not in variables, part
    assert "<script" not in page


def test_functions_around_handlers_do_not_hide_it():
    server = make_server()
    server.after_request(lambda response: None)
    server.get("/decorated/{order}")(lambda request, order: pay(request))
    page = server.test_client().get("/decorated/7", headers=BROWSER).text
    assert "in <b>pay</b>" in page
    assert "in <b>_steps</b>" not in page


def test_nothing_on_it_runs_and_nobody_keeps_it():
    headers = make_server().test_client().get("/pay", headers=BROWSER).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_who_is_no_browser_gets_the_traceback_as_text():
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
    with pytest.raises(ValueError, match='config\\["debug"\\] shows source lines .* only this machine reaches, such as 127.0.0.1'):
        server.run()


@needs_chromium
def test_in_a_browser(serve, tmp_path: Path):
    running = serve({"/pay": pay}, debug=True)
    url = "http://127.0.0.1:{}/pay?order=7".format(running.address[1])
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), url)
        tab.wait_for_text("h1", "ValueError: nobody can pay for <Basket of 3> <script>alert(1)</script>")
        assert any(text.startswith(str((HERE / "test_debug_page.py").name)) or "test_debug_page.py:" in text for text in tab.texts("summary"))
        marked = tab.texts("li.here")
        assert any("raise ValueError" in line for line in marked)
        for scheme in ("light", "dark"):
            for kind, width, height in (("phone", 390, 844), ("desktop", 1280, 1000)):
                path = Path(PICTURES or tmp_path) / f"debug-{kind}-{scheme}.png"
                data = tab.picture(path, width, height, scheme)
                assert struct.unpack(">II", data[16:24]) == (width, height)
                assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
                assert len(data) > 20_000, "an empty page packs to less"
