"""OutsideHTTP_Redirect: how targets join the destination, which status, which settings are refused."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP_Redirect
from support.harness import Running, Script, shows
from support.wire import request_bytes


@pytest.fixture
def redirect():
    started = []

    def start(destination: str) -> Running:
        started.append(Running(OutsideHTTP_Redirect(("127.0.0.1", 0), destination)))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.mark.parametrize(
    ("destination", "target", "location"),
    [
        ("https://example.com", "/", "https://example.com/"),
        ("https://example.com", "/a/b?c=d", "https://example.com/a/b?c=d"),
        ("https://example.com/", "/", "https://example.com/"),
        ("https://example.com/", "/a?b", "https://example.com/a?b"),
        ("https://example.com/base", "/", "https://example.com/base/"),
        ("https://example.com/base", "/a?b", "https://example.com/base/a?b"),
        ("https://example.com/base/", "/a", "https://example.com/base/a"),
        ("https://example.com:8443", "/a", "https://example.com:8443/a"),
        ("http://[::1]:80", "/a", "http://[::1]:80/a"),
        ("https://example.com", "/%C3%A9%20a?q=%20", "https://example.com/%C3%A9%20a?q=%20"),
        ("https://example.com", "http://other/a?b", "https://example.com/a?b"),
    ],
)
def test_location(redirect, destination, target, location):
    answer = redirect(destination).fetch(target)
    assert (answer.status, answer.header("Location")) == (301, location)


@pytest.mark.parametrize("target", ["//evil.example/a", "/\\evil.example", "/@evil.example", "/.evil.example"])
def test_no_target_leads_elsewhere(redirect, target):
    location = redirect("https://example.com").fetch(target).header("Location")
    assert location is None or location.startswith("https://example.com/")


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("DELETE", 308), ("OPTIONS", 308), ("BREW", 308)],
)
def test_status(redirect, method, status):
    assert redirect("https://example.com").fetch("/", method).status == status


def test_a_body_does_not_break_the_connection(redirect):
    with redirect("https://example.com").wire() as wire:
        wire.send(request_bytes("/a", "POST", body=b"body") + request_bytes("/b"))
        assert wire.receive_answer().status == 308
        assert wire.receive_answer().header("Location") == "https://example.com/b"


def test_bad_requests_are_refused_here_too(redirect):
    with redirect("https://example.com").wire() as wire:
        assert wire.send(b"GET / HTTP/1.1\r\n\r\n").receive_answer().status == 400
        wire.receive_end()


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "example.com",
        "//example.com",
        "/path",
        "https://",
        "https://a\r\nX: b",
        "https://a\0",
        "https://a b",
        "https://a\x7f",
        "javascript:alert(1)",
    ],
    ids=repr,
)
def test_a_bad_destination_is_refused(destination):
    with pytest.raises(ValueError) as error:
        OutsideHTTP_Redirect(("127.0.0.1", 0), destination)
    assert shows(error.value, destination)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError):
        OutsideHTTP_Redirect(("127.0.0.1", 0), 5)
    with pytest.raises(TypeError):
        OutsideHTTP_Redirect("127.0.0.1", "https://example.com")


def test_terminate_and_repr(redirect):
    running = redirect("https://example.com")
    assert "https://example.com" in repr(running.server)
    running.server.terminate(15, None)
    running.wait_for_return()


def test_a_signal_ends_it():
    running = Script(
        "-c",
        "from outside import *\nOutsideHTTP_Redirect(('127.0.0.1', 0), 'https://example.com').run()\nprint('returned')",
    )
    assert running.stop() == 0
    assert running.output == "returned\n"
