"""pre_send, post_callback and server_cleanup: when they run, which changes they may make, how their failures end."""

from __future__ import annotations

import logging
import threading

from outside import Response
from support.wire import request_bytes


def test_pre_send_changes_the_response_in_place(serve):
    def pre_send(response):
        response.headers["X-Added"] = "1"
        response.status_code = 202
        response.content = response.content + "!"

    answer = serve(lambda request: Response(200, {}, "body"), pre_send=pre_send).fetch()
    assert (answer.status, answer.header("X-Added"), answer.text) == (202, "1", "body!")


def test_pre_send_sees_converted_returns(serve):
    seen = []
    running = serve(lambda request: "text", pre_send=lambda response: seen.append((type(response), response.status_code)))
    assert running.fetch().text == "text"
    assert seen == [(Response, 200)]


def test_pre_send_cannot_split_the_response(serve):
    def pre_send(response):
        response.headers["X-A"] = "a\r\nX-B: b"

    answer = serve(lambda request: "text", pre_send=pre_send).fetch()
    assert answer.status == 500
    assert answer.header("X-B") is None


def test_a_failing_pre_send_is_one_clean_answer(serve, records):
    def pre_send(response):
        raise RuntimeError("secret of pre_send")

    running = serve(lambda request: "text", pre_send=pre_send)
    with running.wire() as wire:
        answer = wire.send(request_bytes("/") * 2).receive_answer()
        assert answer.status in (200, 500)
        assert "secret" not in answer.text
        assert wire.receive_answer().status == answer.status
    records.wait_for("secret of pre_send")


def test_post_callback_gets_request_and_response(serve):
    seen, done = [], threading.Event()

    def post_callback(request, response):
        seen.append((request.url, response.status_code))
        done.set()

    running = serve(lambda request: Response(201, {}, "x"), post_callback=post_callback)
    assert running.fetch("/a").status == 201
    assert done.wait(10)
    assert seen == [("/a", 201)]


def test_post_callback_runs_after_the_last_byte_and_after_the_log(serve, records):
    order, done = [], threading.Event()

    class Lines(logging.Handler):
        def emit(self, record):
            order.append("log")

    def pieces():
        yield "one"
        order.append("written")
        yield "two"

    def post_callback(request, response):
        order.append("callback")
        done.set()

    access = logging.getLogger("outside.access")
    handler, level = Lines(), access.level
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    try:
        running = serve(lambda request: Response(200, {}, pieces()), post_callback=post_callback, access_log="common")
        assert running.fetch().text == "onetwo"
        assert done.wait(10)
    finally:
        access.removeHandler(handler)
        access.setLevel(level)
    assert order == ["written", "log", "callback"]


def test_post_callback_does_not_delay_the_answer(serve):
    go_on = threading.Event()
    running = serve(lambda request: "text", post_callback=lambda request, response: go_on.wait(10))
    try:
        assert running.fetch().text == "text"
    finally:
        go_on.set()


def test_a_failing_post_callback_is_logged_no_more(serve, records):
    def post_callback(request, response):
        raise RuntimeError("secret of post_callback")

    running = serve(lambda request: "text", post_callback=post_callback)
    assert running.fetch().text == "text"
    records.wait_for("secret of post_callback")
    assert running.fetch().text == "text"


def test_post_callback_once_for_each_request_of_a_pipeline(serve):
    seen, done = [], threading.Event()

    def post_callback(request, response):
        seen.append(request.url)
        if len(seen) == 8:
            done.set()

    running = serve(lambda request: "text", post_callback=post_callback)
    with running.wire() as wire:
        wire.send(b"".join(request_bytes(f"/{i}") for i in range(8)))
        for _ in range(8):
            assert wire.receive_answer().text == "text"
    assert done.wait(10)
    assert sorted(seen) == [f"/{i}" for i in range(8)]


def test_server_cleanup_runs_once_after_everything_has_stopped(serve):
    seen = []
    running = serve(lambda request: "text", server_cleanup=lambda: seen.append(running.server._active_requests))
    running.fetch()
    assert seen == []
    running.stop()
    assert seen == [[]]
    running.stop()
    assert seen == [[]]


def test_a_failing_server_cleanup_is_logged(serve, records):
    def server_cleanup():
        raise RuntimeError("secret of cleanup")

    serve(lambda request: "text", server_cleanup=server_cleanup).stop()
    records.wait_for("secret of cleanup")
