"""Rates of requests: `server.limit` for a handler, `Routes(limit=…)` for a group."""

from __future__ import annotations

import sys

import pytest

from outside import OutsideHTTP, Request, Routes
from outside._handlers.limits import Limit, client_of
from support.subprocesses import run_process


def test_a_limit_lets_its_number_pass_at_once_then_its_pace():
    limit = Limit("2/s")
    assert [limit.wait("a", 0.0), limit.wait("a", 0.0)] == [0.0, 0.0]
    assert limit.wait("a", 0.0) == pytest.approx(0.5)
    assert limit.wait("b", 0.0) == 0.0, "another client"
    assert limit.wait("a", 0.5) == 0.0
    assert limit.wait("a", 0.6) == pytest.approx(0.4)
    assert limit.wait("a", 100.0) == 0.0


def test_a_burst_is_what_may_come_at_once():
    limit = Limit("1/s", burst=3)
    assert [limit.wait("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, pytest.approx(1.0)]


def test_memory_is_bounded():
    limit = Limit("1/h")
    for number in range(100_500):
        limit.wait(number, 0.0)
    assert len(limit._times) <= 100_000


@pytest.mark.parametrize("style", ["plain", "async", "set_route"])
def test_too_many_get_429_and_the_time_to_wait(server: OutsideHTTP, style):
    server.config["access_log"] = "off"
    if style == "plain":

        @server.get("/{name}")
        @server.limit("2/m")
        def handler(name):
            return name

    elif style == "async":

        @server.get("/{name}")
        @server.limit("2/m")
        async def handler_async(request, name):
            return name

    else:
        server.set_route("/a", server.limit("2/m")(lambda request: "a"))
    client = server.test_client()
    assert [client.get("/a").text, client.get("/a").text] == ["a", "a"]
    refused = client.get("/a")
    assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 30
    assert server.test_client(address="192.0.2.9").get("/a").status_code == 200


def test_other_servers_of_the_process_pay_nothing():
    """What has no parts of the application layer is called without it."""
    program = """
import outside
from outside._handlers import around
one, other = (outside.OutsideHTTP(("127.0.0.1", 0)) for _ in range(2))
one.get("/")(one.limit("5/m")(lambda request: "a"))
one.before_request(outside.basic_auth({"a": "b"}))
one.mount(outside.Routes("/group", limit="5/m"))
other.get("/")(lambda request: "a")
called = []
around.call = lambda *given: called.append(given)
other.config["access_log"] = "off"
assert other.test_client().get("/").text == "a"
print(len(called), one._hooks.adds_fields, other._hooks.adds_fields)
"""
    ended = run_process([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.split() == ["0", "True", "False"], ended.stderr


def test_the_error_handler_of_429_keeps_the_time_to_wait(server: OutsideHTTP):
    server.config["access_log"] = "off"
    server.get("/")(server.limit("1/h")(lambda: "x"))
    server.errorhandler(429)(lambda message: "slowly")
    client = server.test_client()
    client.get("/")
    refused = client.get("/")
    assert (refused.status_code, refused.text) == (429, "slowly") and refused.headers["Retry-After"] == "3600"


def test_a_group_shares_one_limit(server: OutsideHTTP):
    server.config["access_log"] = "off"
    group = Routes("/api", limit="2/h")
    group.get("/a")(lambda: "a")
    group.get("/b")(lambda: "b")
    server.mount(group)
    server.get("/free")(lambda: "free")
    client = server.test_client()
    assert [client.get(path).status_code for path in ("/api/a", "/api/b", "/api/a", "/free")] == [200, 200, 429, 200]


def test_a_key_of_the_program(server: OutsideHTTP):
    server.config["access_log"] = "off"
    server.get("/")(server.limit("1/h", by=lambda request: request.params.get("user"))(lambda: "x"))
    client = server.test_client()
    assert [client.get(path).status_code for path in ("/?user=a", "/?user=a", "/?user=b", "/", "/")] == [
        200,
        429,
        200,
        200,
        200,
    ]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_an_ipv6_client_is_its_network(one, other, is_same):
    def key(address):
        return client_of(Request("GET", {}, b"", "HTTP/1.1", "/", (address, 1)))

    assert (key(one) == key(other)) is is_same


@pytest.mark.parametrize("rate", ["", "20", "x/s", "0/s", "5/0s", "-1/s", "5/fortnight", 5, None])
def test_a_wrong_rate_is_refused_where_it_is_written(server: OutsideHTTP, rate):
    with pytest.raises(ValueError, match=r"test_rate_limits\.py:\d+: a rate is a text such as '20/s'"):
        server.limit(rate)


@pytest.mark.parametrize("burst", [0, -1, 1.5, True])
def test_a_wrong_burst(server: OutsideHTTP, burst):
    with pytest.raises(ValueError, match=r"test_rate_limits\.py:\d+: a burst"):
        server.limit("1/s", burst)
