"""Which cookies a test client keeps and sends, as a browser would: of which host, for which hosts."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP, Response, WebSocket
from outside.testing import TestClient


def make_client(**options: str) -> TestClient:
    """`/set?c=FIELD` sets a cookie, `/sent` and `/ws` tell which cookies came."""
    server, websocket = OutsideHTTP(("127.0.0.1", 0)), WebSocket()
    server.config["access_log"] = "off"

    @websocket.on_connection
    def tell(connection):
        connection.send(connection.request.headers.get("Cookie", ""))

    server.set_route("/set", lambda request: Response(headers={"Set-Cookie": request.params_all["c"]}, content="ok"))
    server.set_route("/sent", lambda request: request.headers.get("Cookie", ""))
    server.set_route("/go", lambda request: Response(302, {"Location": request.params["to"]}))
    server.set_route("/ws", websocket)
    return server.test_client(**options)  # type: ignore[arg-type]


def sent(client: TestClient, host: str, path: str = "/sent") -> str:
    return client.get(path, headers={"Host": host}).text


@pytest.mark.parametrize(
    ("host", "field", "gets", "gets_not"),
    [
        # Without a domain it belongs to the host that has set it.
        ("a.example", "sid=1", ["a.example", "A.EXAMPLE.", "a.example:8080"], ["b.a.example", "b.example", "example"]),
        ("a.example:80", "sid=1", ["a.example"], ["a.example.evil.example"]),
        ("[::1]:80", "sid=1", ["[::1]"], ["[::2]", "127.0.0.1"]),
        ("127.0.0.1", "sid=1", ["127.0.0.1:1"], ["127.0.0.2", "localhost"]),
        # With one it is for that name and all below it.
        ("a.shop.example", "sid=1; Domain=shop.example", ["shop.example", "a.shop.example", "b.c.shop.example"], ["ashop.example", "example"]),
        ("shop.example", "sid=1; domain=.Shop.Example", ["shop.example", "a.shop.example"], ["evil.example"]),
        ("127.0.0.1", "sid=1; Domain=127.0.0.1", ["127.0.0.1"], ["1.127.0.0.1"]),
        # No host sets any for another one, for one below it, or for all names of a country.
        ("a.example", "sid=1; Domain=b.example", [], ["a.example", "b.example"]),
        ("a.example", "sid=1; Domain=b.a.example", [], ["a.example", "b.a.example"]),
        ("a.example", "sid=1; Domain=xa.example", [], ["a.example", "xa.example"]),
        ("shop.example", "sid=1; Domain=example", [], ["shop.example", "other.example"]),
        ("10.0.0.1", "sid=1; Domain=0.0.1", [], ["10.0.0.1", "20.0.0.1"]),
        # An empty Domain is ignored: the cookie belongs to its host alone.
        ("a.example", "sid=1; Domain=", ["a.example"], ["b.a.example"]),
        ("a.example", "sid=1; Domain=a.example; Domain=b.example", [], ["a.example", "b.example"]),
    ],
)  # fmt: skip
def test_whose_cookie_it_is(host: str, field: str, gets: list[str], gets_not: list[str]):
    client = make_client()
    client.get("/set", params={"c": field}, headers={"Host": host})
    assert {other: sent(client, other) for other in [*gets, *gets_not]} == {
        **dict.fromkeys(gets, "sid=1"),
        **dict.fromkeys(gets_not, ""),
    }


def test_hosts_have_each_their_own():
    client = make_client(host="one.example")
    for host, value in [("one.example", "1"), ("two.example", "2")]:
        client.get("/set", params={"c": f"sid={value}"}, headers={"Host": host})
    assert (sent(client, "one.example"), sent(client, "two.example")) == ("sid=1", "sid=2")
    client.get("/set", params={"c": "sid=; Max-Age=0"}, headers={"Host": "two.example"})
    assert (sent(client, "one.example"), sent(client, "two.example")) == ("sid=1", "")
    del client.cookies["sid"]
    assert sent(client, "one.example") == ""


def test_a_cookie_of_the_test_is_for_every_host_until_a_host_sets_it():
    client = make_client()
    client.cookies["lang"] = "de"
    assert (sent(client, "localhost"), sent(client, "other.example")) == ("lang=de", "lang=de")
    client.get("/set", params={"c": "lang=en; Path=/"})
    assert (client.cookies["lang"], sent(client, "localhost")) == ("en", "lang=en")
    client.cookies["lang"] = "fr"
    assert (sent(client, "localhost"), len(client.cookies)) == ("lang=fr", 1)


def test_redirects_stay_on_the_host_that_was_asked():
    client = make_client(follow_redirects=True)
    client.get("/set", params={"c": "sid=1"}, headers={"Host": "shop.example"})
    for to in ("/sent", "http://shop.example/sent"):
        assert client.get("/go", params={"to": to}, headers={"Host": "shop.example"}).text == "sid=1"
    with pytest.raises(RuntimeError, match="another server"):
        client.get("/go", params={"to": "http://localhost/sent"}, headers={"Host": "shop.example"})


def test_websockets_send_them_too():
    client = make_client()
    client.get("/set", params={"c": "sid=1; Domain=shop.example"}, headers={"Host": "shop.example"})
    for host, cookie in [("a.shop.example", "sid=1"), ("other.example", "")]:
        with client.websocket("/ws", headers={"Host": host}) as ws:
            assert ws.recv() == cookie
