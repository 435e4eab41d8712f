"""Sessions: a dictionary in a signed cookie, `request.session`."""

from __future__ import annotations

import json
import time

import pytest

from outside import FilePath, OutsideHTTP, Response, Routes, WebSocket, flash, flashes
from outside._application.session import MOST_BYTES, NAME, Signer

SECRET = "a secret of thirty-two bytes ......"
OLD = "an older one of thirty-two bytes ..."


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config.update(secret=SECRET, access_log="off")
    return server


def test_what_a_handler_puts_in_is_there_at_the_next_request(server):
    @server.get("/count")
    def count(request):
        request.session["count"] = request.session.get("count", 0) + 1
        return str(request.session["count"])

    @server.get("/async")
    async def count_async(request):
        return count(request)

    client = server.test_client()
    assert [client.get(path).text for path in ("/count", "/async", "/count")] == ["1", "2", "3"]
    assert server.test_client().get("/count").text == "1", "another browser has another session"


def test_the_cookie_is_safe_unless_told_otherwise(server):
    server.get("/")(lambda request: request.session.update(user=7))
    cookie = server.test_client().get("/").headers["Set-Cookie"]
    assert cookie.startswith(f"{NAME}=")
    assert cookie.split("; ")[1:] == ["Max-Age=1209600", "Path=/", "HttpOnly", "SameSite=Lax"]


def test_it_is_written_only_when_it_has_changed_and_varies_when_it_was_looked_at(server):
    server.get("/set")(lambda request: request.session.update(user=[7]))
    server.get("/look")(lambda request: str(request.session.get("user")))
    server.get("/same")(lambda request: request.session.update(user=[7]))
    server.get("/deep")(lambda request: request.session["user"].append(8))
    server.get("/apart")(lambda request: "x")
    client = server.test_client()
    seen = {}
    for path in ("/set", "/look", "/same", "/deep", "/apart"):
        headers = client.get(path).headers
        seen[path] = ("Set-Cookie" in headers, headers.get("Vary"))
    assert seen == {
        "/set": (True, "Cookie"),
        "/look": (False, "Cookie"),
        "/same": (False, "Cookie"),
        "/deep": (True, "Cookie"),
        "/apart": (False, None),
    }


def test_vary_keeps_what_the_handler_said(server):
    server.get("/")(lambda request: Response(200, {"Vary": "Accept"}, str(request.session)))
    assert server.test_client().get("/").headers["Vary"] == "Accept, Cookie"


def test_clear_takes_the_cookie_away(server):
    server.get("/in")(lambda request: request.session.update(user=7))
    server.get("/out")(lambda request: request.session.clear())
    client = server.test_client()
    client.get("/in")
    assert "Max-Age=0" in client.get("/out").headers["Set-Cookie"]
    assert NAME not in client.cookies


def kinds(server):
    """Every kind of handler; each counts its calls in the session."""

    def count(request):
        request.session["n"] = request.session.get("n", 0) + 1
        return "ok"

    async def count_async(request):
        return count(request)

    def stream(request):
        count(request)
        yield "o"
        yield "k"

    group = Routes("/group")
    group.get("/in")(lambda request: count(request))
    server.mount(group)
    server.get("/decorated")(lambda request: count(request))
    server.get("/async")(count_async)
    server.set_route("/plain", count)
    server.set_route("/plain_async", count_async)

    def streaming(request):
        count(request)
        return Response(content=iter(["o", "k"]))

    server.get("/stream")(streaming)

    @server.errorhandler(404)
    def missing(request):
        return count(request)

    @server.errorhandler(KeyError)
    def failed(request):
        return count(request)

    @server.get("/fails")
    def fails():
        raise KeyError("x")


@pytest.mark.parametrize(
    "path", ["/decorated", "/async", "/group/in", "/plain", "/plain_async", "/stream", "/missing", "/fails"]
)
@pytest.mark.parametrize("with_hooks", [False, True])
def test_every_kind_of_handler_has_it(server, path, with_hooks):
    kinds(server)
    if with_hooks:
        server.before_request(lambda request: request.session.setdefault("before", True) and None)
        server.after_request(lambda request, response: None)
    client = server.test_client()
    assert [client.get(path).text for _ in range(3)] == ["ok"] * 3
    assert client.session["n"] == 3
    assert ("before" in client.session) is with_hooks


def test_a_file_and_an_error_page_leave_it_alone(server, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    server.set_route("/a", FilePath(str(tmp_path / "a.txt")))
    client = server.test_client()
    client.session["user"] = 7
    for path in ("/a", "/missing"):
        headers = client.get(path).headers
        assert "Set-Cookie" not in headers and "Cookie" not in headers.get("Vary", "")


def test_a_websocket_reads_that_of_its_opening_request(server):
    websocket = WebSocket()

    @websocket.on_connection
    def greet(connection):
        connection.send(str(connection.request.session.get("user")))

    @server.websocket("/decorated")
    async def greet_async(connection):
        await connection.send(str(connection.request.session.get("user")))

    server.set_route("/plain", websocket)
    client = server.test_client()
    client.session["user"] = "ann"
    for path in ("/plain", "/decorated"):
        with client.websocket(path) as connection:
            assert connection.recv() == "ann"


def test_a_message_for_the_next_page(server):
    server.get("/save")(lambda request: flash(request, "saved"))
    server.get("/fail")(lambda request: flash(request, "no room", "error"))
    server.get("/page")(lambda request: flashes(request, with_categories=True))
    client = server.test_client()
    client.get("/save"), client.get("/fail")
    assert client.get("/page").json() == [["message", "saved"], ["error", "no room"]]
    assert client.get("/page").json() == []


# What an attacker may try.


def test_no_changed_bit_is_accepted():
    signer = Signer(SECRET, 14)
    value = signer.sign(NAME, b'{"user":7}')
    assert signer.verify(NAME, value) == b'{"user":7}'
    for at in range(len(value)):
        for bit in range(7):
            changed = value[:at] + chr(ord(value[at]) ^ 1 << bit) + value[at + 1 :]
            # The case of the hexadecimal time is signed too.
            assert signer.verify(NAME, changed) is None, changed


@pytest.mark.parametrize("value", ["", ".", "..", "...", "a.b.c", "é.1.x", "e30.zz.x", "e30..", "x" * 5000, "e30.-1.x"])
def test_nonsense_is_an_empty_session(server, value):
    assert Signer(SECRET, 14).verify(NAME, value) is None


def test_an_invalid_cookie_is_an_empty_session(server):
    server.get("/")(lambda request: dict(request.session))
    client = server.test_client()
    assert client.get("/", headers={"Cookie": f"{NAME}=nonsense"}).json() == {}


def test_a_cookie_holds_under_its_own_name_alone():
    signer = Signer(SECRET, 14)
    assert signer.verify("other", signer.sign(NAME, b"{}")) is None
    assert signer.verify(NAME, signer.sign("other", b"{}")) is None


def test_old_secrets_verify_and_the_first_one_signs():
    before = Signer(OLD, 14).sign(NAME, b"{}")
    both = Signer([SECRET, OLD], 14)
    assert both.verify(NAME, before) == b"{}"
    assert Signer(SECRET, 14).verify(NAME, both.sign(NAME, b"{}")) == b"{}"
    assert Signer(SECRET, 14).verify(NAME, before) is None, "a secret that is gone"


def test_the_server_ends_it():
    signer, now = Signer(SECRET, 2), time.time()
    value = signer.sign(NAME, b"{}", now)
    assert signer.verify(NAME, value, now + 2 * 86_400 - 2) == b"{}"
    assert signer.verify(NAME, value, now + 2 * 86_400) is None
    assert signer.verify(NAME, value, now - 3600) is None, "of the future"


def test_more_than_four_kilobytes_is_an_error(server, records):
    server.get("/")(lambda request: request.session.update(small=1, large="x" * MOST_BYTES))
    response = server.test_client().get("/")
    assert response.status_code == 500 and "Set-Cookie" not in response.headers
    text = "\n".join(records.texts())
    assert "4,096" in text and "'large'" in text


def test_values_that_json_cannot_hold_are_an_error(server, records):
    server.get("/")(lambda request: request.session.update(user=object()))
    assert server.test_client().get("/").status_code == 500
    text = "\n".join(records.texts())
    assert "'user': object" in text


# What a programmer may get wrong.


def test_without_a_secret_the_first_use_says_how_to_make_one(records):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["access_log"] = "off"
    server.get("/")(lambda request: str(request.session))
    assert server.test_client().get("/").status_code == 500
    text = "\n".join(records.texts())
    assert "secrets.token_urlsafe(32)" in text


@pytest.mark.parametrize("secret", ["eight ch", "x" * 31, [], ["x" * 31], [SECRET, "short"], 7, b"x" * 32])
def test_a_bad_secret_is_refused_and_not_shown(server, secret):
    server.config["secret"] = secret
    with pytest.raises(ValueError, match="32 bytes") as refused:
        server.test_client().get("/")
    assert "eight ch" not in str(refused.value)


def test_a_test_sets_the_session_of_its_client(server):
    server.get("/")(lambda request: dict(request.session))
    client = server.test_client()
    client.session["user"] = "ann"
    client.session["role"] = "admin"
    del client.session["role"]
    assert client.get("/").json() == {"user": "ann"}
    assert json.dumps(dict(client.session)) == '{"user": "ann"}'


def test_the_cookie_is_that_of_the_rust_face():
    """The same text stands in the tests of the Rust face (`crates/outside/tests/application/sessions.rs`)."""
    signer = Signer("the old secret of at least thirty-two bytes", 1)
    value = "eyJ1c2VyIjoiYWRhIn0.6553f100.ENn7mhWSG-mpjmkKeQMBt1BAP2_hnSWCjxgLcjG79Ms"
    assert signer.sign("session", b'{"user":"ada"}', 1_700_000_000) == value
    assert signer.verify("session", value, 1_700_000_100) == b'{"user":"ada"}'
