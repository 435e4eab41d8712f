"""Hosts: which are served, which routes belong to which host, and the fields of a proxy about a client. The rules themselves stand in tables
of the engine; here they go over sockets.
"""

from __future__ import annotations

import json

import httpx
import pytest

from outside import OutsideHTTP, WebSocket
from support.wire import Wire, fetch, request_bytes


def says(text: str):
    return lambda request: text


def client_of(request):
    return {"host": request.host, "scheme": request.scheme, "client": request.client, "peer": request.peer[0]}


def ask(running, host: str, target: str = "/", **more):
    return fetch(running.address, target, headers=[("Host", host)], **more)


# Which hosts are served.


def test_http2_knows_the_same_hosts(serve):
    running = serve(client_of, allowed_hosts=["example.com"], trusted_proxies=["127.0.0.1"], proxy_fields=EVERY_FIELD, h2c=True)
    running.server.set_route("/", says("api"), host="api.example.com")
    base = "http://{}:{}".format(*running.address)
    with httpx.Client(http1=False, http2=True, base_url=base) as client:
        for headers, status, text in [
            ({"Host": "example.com", "X-Forwarded-For": "203.0.113.7"}, 200, "203.0.113.7"),
            ({"Host": "Example.com.:80"}, 200, "127.0.0.1"),
            ({"Host": "evil.example"}, 421, "no host of that name"),
            ({"Host": "example.com", "X-Forwarded-Host": "evil.example"}, 421, "no host of that name"),
            ({"Host": "example.com", "X-Forwarded-For": "1.1.1.1", "Forwarded": "for=1.1.1.1"}, 400, "both"),
        ]:
            answer = client.get("/", headers=headers)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", status), headers
            assert text in answer.text
        # One that is refused takes none of the others with it.
        assert client.get("/", headers={"Host": "example.com"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("example.com", 200),
        ("EXAMPLE.com.:8080", 200),
        ("a.b.example.org", 200),
        ("[::1]:8080", 200),
        ("example.org", 421),
        ("evil-example.com", 421),
        ("example.com.evil.org", 421),
        ("localhost", 421),
        ("127.0.0.1", 421),
        ("example.com@evil.org", 400),
    ],
)
def test_other_hosts_reach_no_handler(serve, host, status):
    called = []
    running = serve(lambda request: called.append(request.host) or "ok", allowed_hosts=["example.com", "*.example.org", "::1"])
    answer = ask(running, host)
    assert answer.status == status
    assert called == ([host] if status == 200 else [])


def test_a_body_for_another_host_is_not_waited_for(serve):
    running = serve(says("never"), allowed_hosts=["example.com"])
    with Wire(running.address) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nGET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        answer = wire.receive_answer()
        assert (answer.status, answer.header("Connection")) == (421, "close")
        assert wire.receive_rest() == b""


def test_the_target_of_the_request_line_counts(serve):
    running = serve(says("ok"), allowed_hosts=["example.com"])
    assert ask(running, "evil.example", "http://example.com/").status == 200
    assert ask(running, "example.com", "http://evil.example/").status == 421


def test_an_error_handler_sees_the_request(serve):
    running = serve(says("ok"), allowed_hosts=["example.com"])
    running.server.set_errorhandler(421, lambda request, message: f"not here: {request.host}")
    assert ask(running, "x.example").text == "not here: x.example"


def test_health_checks_need_no_host(serve):
    running = serve(says("ok"), allowed_hosts=["example.com"], health_route="/up")
    assert ask(running, "10.0.0.1", "/up").status == 200
    assert ask(running, "10.0.0.1", "/").status == 421


def test_an_old_client_without_host_is_nobodys(serve):
    running = serve(says("ok"), allowed_hosts=["example.com"])
    with Wire(running.address) as wire:
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.receive_answer().status == 421


def test_the_log_says_which_setting_it_was(serve, records):
    running = serve(says("ok"), allowed_hosts=["example.com"])
    assert ask(running, "x.example").status == 421
    records.wait_for("allowed_hosts")


@pytest.mark.parametrize(
    ("host", "hosts", "is_told"), [("0.0.0.0", [], True), ("0.0.0.0", ["*"], False), ("127.0.0.1", [], False)]
)
def test_a_public_server_for_any_host_is_warned_of(serve, records, host, hosts, is_told):
    serve(says("ok"), host=(host, 0), allowed_hosts=hosts)
    assert any("any host name" in text for text in records.texts()) == is_told


# Routes of hosts.


def test_routes_of_hosts(serve):
    running = serve({"/": says("any"), "/deep/er": says("any, deeper")})
    server = running.server
    server.set_route("/", says("api"), host="API.example.com:443")
    server.set_route("/deep", says("below"), host="*.example.com")
    for host, target, expected in [
        ("example.com", "/deep", "any"),
        ("api.example.com", "/deep", "api"),
        ("api.example.com.:8080", "/", "api"),
        ("shop.example.com", "/deep/er", "below"),
        ("shop.example.com", "/other", "any"),
        ("", "/deep/er/x", "any, deeper"),
    ]:
        answer = fetch(running.address, target, headers=[("Host", host)]) if host else ask(running, "x", target)
        assert answer.text == expected, (host, target)
    assert list(server._routes) == ["*.example.com/deep", "/", "/deep/er", "api.example.com/"]
    with pytest.raises(KeyError, match="no route .*api.example.com/x.*there are .*api.example.com/"):
        server.remove_route("/x", host="api.example.com")
    with pytest.raises(KeyError):
        server.remove_route("/deep")
    server.remove_route("/", host="api.example.com")
    assert ask(running, "api.example.com", "/deep").text == "below"
    assert list(server._routes) == ["*.example.com/deep", "/", "/deep/er"]
    server.set_route("/deep/", says("new"), host="*.Example.com")
    assert ask(running, "api.example.com", "/deep").text == "new"
    assert list(server._routes) == ["*.example.com/deep/", "/", "/deep/er"]


@pytest.mark.parametrize("host", ["", "https://example.com", "a b", "*", "*.*.com", "example.com/x"])
def test_a_host_that_is_none(host):
    server = OutsideHTTP(("127.0.0.1", 0))
    if host == "*":
        server.set_route("/", says("any"), host=host)
        assert list(server._routes) == ["/"]
        return
    with pytest.raises(ValueError, match="a host is a name such as"):
        server.set_route("/", says("x"), host=host)
    assert server._routes == {}


def both(request):
    return {"host": request.host, "headers": request.headers["host"], "all": request.headers.get_all("Host")}


async def both_later(request):
    return both(request)


@pytest.mark.parametrize("handler", [both, both_later])
def test_an_absolute_target_names_the_host(serve, handler):
    """RFC 9112 section 3.2.2: its authority is the host, and the field Host is ignored; handlers see one host."""
    running = serve({"/": handler, "/base": handler}, allowed_hosts=["good.example", "api.example"])
    running.server.set_route("/", lambda request: f"api: {request.headers['Host']}", host="api.example")
    good = {"host": "good.example:81", "headers": "good.example:81", "all": ["good.example:81"]}
    for line in (
        b"GET http://good.example:81/ HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET HTTP://good.example:81/base?x HTTP/1.1\r\nA: b\r\nhost: good.example\r\nC: d\r\n",
        b"GET http://good.example:81 HTTP/1.0\r\nConnection: keep-alive\r\n",
        b"POST http://good.example:81/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n",
    ):
        with running.wire() as wire:
            content = b"ab" if line.startswith(b"POST") else b""
            # The request behind it has a host of its own.
            wire.send(line + b"\r\n" + content + b"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")
            assert json.loads(wire.receive_answer().text) == good, line
            assert json.loads(wire.receive_answer().text)["all"] == ["good.example"]
    with running.wire() as wire:
        wire.send(b"GET http://api.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n")
        assert wire.receive_answer().text == "api: api.example"
        wire.send(b"GET http://evil.example/ HTTP/1.1\r\nHost: good.example\r\n\r\n")
        assert wire.receive_answer().status == 421


def test_the_origin_of_a_websocket_is_compared_with_the_target(serve):
    websocket = WebSocket()
    websocket.on_message(lambda connection, message: None)
    running = serve({"/": websocket})
    for origin, status in (("http://good.example", 101), ("http://evil.example", 403)):
        with running.wire() as wire:
            wire.send(
                b"GET http://good.example/ HTTP/1.1\r\nHost: evil.example\r\nOrigin: " + origin.encode() + b"\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert wire.receive_answer(interim=True).status == status, origin


# Proxies.

EVERY_FIELD = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"]

SPOOFED = [
    ("X-Forwarded-For", "127.0.0.1, 203.0.113.7, 10.0.0.2"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "a.example"),
]


def told(running, headers) -> dict:
    return json.loads(fetch(running.address, headers=[("Host", "inner:8080"), *headers]).text)


def test_no_proxy_is_trusted_by_default(serve):
    running = serve(client_of)
    for headers in (SPOOFED, [("Forwarded", "for=203.0.113.7;proto=https;host=a.example")]):
        found = told(running, headers)
        assert found == {"host": "inner:8080", "scheme": "http", "client": found["client"], "peer": "127.0.0.1"}
        assert found["client"][0] == "127.0.0.1" and found["client"][1] > 0


def test_a_trusted_proxy_is_believed_from_the_right(serve):
    running = serve(client_of, trusted_proxies=["127.0.0.1", "10.0.0.0/8"], proxy_fields=EVERY_FIELD)
    expected = {"host": "a.example", "scheme": "https", "client": ["203.0.113.7", 0], "peer": "127.0.0.1"}
    assert told(running, SPOOFED) == expected
    standard = 'for=127.0.0.1;host=evil, for="203.0.113.7";proto=https;host=a.example, for=10.0.0.2;proto=http'
    assert told(running, [("Forwarded", standard)]) == expected
    assert told(running, [("Forwarded", "for=unknown")])["client"] == ["", 0]
    # Another request on the same connection has a client of its own.
    with Wire(running.address) as wire:
        for headers, client in ((SPOOFED, "203.0.113.7"), ([], "127.0.0.1")):
            wire.send(request_bytes("/", headers=headers))
            assert json.loads(wire.receive_answer().text)["client"][0] == client


def test_which_field_is_the_proxys_must_be_known(serve):
    both = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.8")]
    running = serve(client_of, trusted_proxies=["127.0.0.1"], proxy_fields=EVERY_FIELD)
    assert fetch(running.address, headers=both).status == 400
    for fields, client in (("forwarded", "203.0.113.8"), (["X-Forwarded-For"], "203.0.113.7")):
        running = serve(client_of, trusted_proxies=["127.0.0.1"], proxy_fields=fields)
        assert told(running, both)["client"][0] == client


def test_fields_that_are_not_listed_may_be_the_clients(serve):
    """nginx and HAProxy set X-Forwarded-For alone, as a rule, and hand on the other fields as the client sent them."""
    running = serve(client_of, trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    expected = {"host": "inner:8080", "scheme": "http", "client": ["203.0.113.7", 0], "peer": "127.0.0.1"}
    assert told(running, SPOOFED) == expected
    assert told(running, [*SPOOFED, ("Forwarded", "for=1.1.1.1;proto=https;host=a.example")]) == expected
    running = serve(client_of, trusted_proxies=["127.0.0.1", "10.0.0.0/8"], proxy_fields=EVERY_FIELD[:2])
    assert told(running, SPOOFED) == {**expected, "scheme": "https"}


def test_proxies_on_a_unix_socket(serve, tmp_path):
    running = serve(client_of, host=f"unix:{tmp_path}/s", trusted_proxies=["unix"])
    assert running.server.address == f"unix:{tmp_path}/s"
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/s")
        client.sendall(b"GET / HTTP/1.0\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert json.loads(received.partition(b"\r\n\r\n")[2])["client"] == ["203.0.113.7", 0]


def test_the_forwarded_host_is_the_one_that_is_allowed_and_routed(serve):
    running = serve(
        {"/": says("any")},
        trusted_proxies=["127.0.0.1"],
        proxy_fields="x-forwarded-host",
        allowed_hosts=["a.example", "inner"],
    )
    running.server.set_route("/", says("a"), host="a.example")
    for forwarded, status, text in (("a.example", 200, "a"), ("inner", 200, "any"), ("b.example", 421, None)):
        answer = fetch(running.address, headers=[("Host", "inner"), ("X-Forwarded-Host", forwarded)])
        assert (answer.status, text or answer.text) == (status, answer.text)


def test_the_log_shows_the_client(serve, records):
    running = serve(client_of, trusted_proxies=["127.0.0.1"], access_log="common")
    fetch(running.address, headers=SPOOFED)
    fetch(running.address, headers=[("X-Forwarded-For", "unknown")])
    for client in ("10.0.0.2", "unknown"):
        start = f"{client} - -"
        records.wait_for(lambda record, start=start: record.name == "outside.access" and record.whole.startswith(start))


# Settings that run() refuses.


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("allowed_hosts", ["https://example.com"], ["https://example.com", "'*.example.com'"]),
        ("allowed_hosts", ["example.com", 5], ["5", "a list of host names"]),
        ("allowed_hosts", None, ["None"]),
        ("allowed_hosts", ("example.com",), ["('example.com',)"]),
        ("trusted_proxies", ["10.0.0.1/8"], ["10.0.0.1/8", "'10.0.0.0/8'"]),
        ("trusted_proxies", ["localhost"], ["localhost"]),
        ("trusted_proxies", True, ["True"]),
        ("proxy_fields", "both", ["both", "'x-forwarded-for'"]),
        ("proxy_fields", ["x-forwarded-for", "x-real-ip"], ["x-real-ip", "'forwarded'"]),
        ("proxy_fields", None, ["None"]),
    ],
)
def test_wrong_settings(key, value, parts):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config[key] = value
    with pytest.raises(ValueError, match=key) as error:
        server.run()
    for part in parts:
        assert part in str(error.value)


def test_one_text_is_a_list_of_one(serve):
    running = serve(says("ok"), allowed_hosts="example.com")
    assert (ask(running, "example.com").status, ask(running, "x").status) == (200, 421)


def test_each_server_has_lists_of_its_own():
    one, other = OutsideHTTP(("127.0.0.1", 0)), OutsideHTTP(("127.0.0.1", 0))
    one.config["allowed_hosts"].append("example.com")
    assert other.config["allowed_hosts"] == []
