"""Sign-in by a field: `basic_auth` and `bearer` as functions for `before_request`."""

from __future__ import annotations

import base64

import pytest

from outside import FilePath, OutsideHTTP, basic_auth, bearer


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config["access_log"] = "off"
    server.get("/")(lambda request: str(request.state.user if "user" in request.state else None))
    return server


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("style", ["dict", "plain", "async"])
def test_a_user_and_a_password(server, style):
    def check(user, password):
        return {"name": user} if (user, password) == ("ann", "s:ecret") else None

    async def check_async(user, password):
        return check(user, password)

    server.before_request(basic_auth({"dict": {"ann": "s:ecret"}, "plain": check, "async": check_async}[style]))
    client = server.test_client()
    assert client.get("/", headers=basic("ann", "s:ecret")).text == ("ann" if style == "dict" else "{'name': 'ann'}")
    for headers in (
        {},
        basic("ann", "wrong"),
        basic("bob", "s:ecret"),
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer x"},
    ):
        refused = client.get("/", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="this site", charset="UTF-8"'


@pytest.mark.parametrize("style", ["text", "plain", "async"])
def test_a_token(server, style):
    async def check_async(token):
        return token == "t0ken"

    checks = {"text": "t0ken", "plain": lambda token: token == "t0ken", "async": check_async}
    server.before_request(bearer(checks[style], realm="api"))
    client = server.test_client()
    assert client.get("/", headers={"Authorization": "bearer t0ken"}).status_code == 200
    assert client.get("/").headers["WWW-Authenticate"] == 'Bearer realm="api"'
    wrong = client.get("/", headers={"Authorization": "Bearer x"})
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer realm="api", error="invalid_token"')


def test_files_and_missing_pages_ask_too(server, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    server.set_route("/a", FilePath(str(tmp_path / "a.txt")))
    server.before_request(basic_auth({"ann": "s"}))
    client = server.test_client()
    for path in ("/a", "/missing"):
        assert "WWW-Authenticate" in client.get(path).headers
    assert [client.get(path, headers=basic("ann", "s")).status_code for path in ("/a", "/missing")] == [200, 404]


def test_the_error_handler_of_401_keeps_the_field(server):
    server.before_request(basic_auth({"ann": "s"}))
    server.errorhandler(401)(lambda: "sign in, please")
    refused = server.test_client().get("/")
    assert refused.text == "sign in, please" and refused.headers["WWW-Authenticate"].startswith("Basic")


def test_over_plain_http_clients_elsewhere_are_refused(server):
    server.before_request(basic_auth({"ann": "s"}))
    assert server.test_client(address="192.0.2.1").get("/", headers=basic("ann", "s")).status_code == 403
    assert server.test_client(address="::1").get("/", headers=basic("ann", "s")).status_code == 200


def test_unless_it_is_said(server):
    server.before_request(bearer("t", insecure=True))
    assert server.test_client(address="192.0.2.1").get("/", headers={"Authorization": "Bearer t"}).status_code == 200


@pytest.mark.parametrize("make", [lambda: basic_auth(7), lambda: bearer(7), lambda: bearer(""), lambda: bearer("t", realm='"')])
def test_wrong_checks(make):
    with pytest.raises((TypeError, ValueError)):
        make()
