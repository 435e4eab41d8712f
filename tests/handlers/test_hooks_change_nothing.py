"""A server whose functions around handlers do nothing answers as one without them: fields, log lines, threads, memory."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from outside import FilePath, Response
from support.harness import DEADLINE, wait_until
from support.wire import request_bytes


@pytest.fixture(params=["before", "after"])
def hooked(serve, request):
    """Serves, with one function around all handlers."""

    def start(*arguments, **config):
        running = serve(*arguments, **config)
        if request.param == "before":
            running.server.before_request(lambda request: None)
        else:
            running.server.after_request(lambda request, response: None)
        return running

    return start


def test_the_fields_of_refusals_stay(hooked, tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")
    running = hooked({"/files": FilePath(tmp_path)})
    for code in (405, 416):
        running.server.set_errorhandler(code, lambda request, message=None, code=code: Response(code, {}, "own"))
    refused = running.fetch("/files/a.txt", "DELETE")
    assert (refused.status, refused.text, refused.header("Allow")) == (405, "own", "GET, HEAD, OPTIONS")
    refused = running.fetch("/files/a.txt", headers={"Range": "bytes=900-"})
    assert (refused.status, refused.text, refused.header("Content-Range")) == (416, "own", "bytes */10")


def test_the_log_names_a_fixed_limit_of_forms(hooked, records):
    head = 'Content-Disposition: form-data; name="a"' + "\r\nX: y" * 8
    content = f"--b\r\n{head}\r\n\r\n\r\n--b--\r\n".encode()
    running = hooked(lambda request: str(len(request.form)))
    assert running.fetch("/", "POST", {"Content-Type": "multipart/form-data; boundary=b"}, content).status == 413
    assert "too many headers" in records.wait_for("refused").getMessage()


def test_streams_whose_clients_have_left_hold_no_thread(hooked):
    count, waiting, go_on = 10, threading.Semaphore(0), threading.Event()

    def silent(request):
        def pieces():
            waiting.release()
            go_on.wait(DEADLINE)
            yield "late"

        return Response(200, {}, pieces())

    running = hooked({"/silent": silent}, max_workers=count)
    running.server.set_route("/thread", lambda request: "thread", blocking=True)
    try:
        wires = [running.wire().send(request_bytes("/silent")) for _ in range(count)]
        assert all(waiting.acquire(timeout=DEADLINE) for _ in wires)
        for wire in wires:
            wire.close()
        assert running.fetch("/thread").text == "thread"
    finally:
        go_on.set()


@pytest.mark.parametrize("style", ["plain", "async"])
def test_the_last_request_is_freed_with_its_answer(hooked, style):
    known = []

    def plain(request):
        known.append(weakref.ref(request))
        return str(len(request.content))

    async def asynchronous(request):
        return plain(request)

    running = hooked({"/": plain if style == "plain" else asynchronous})
    gc.disable()
    try:
        assert running.fetch("/", "POST", body=b"x" * 100_000).text == "100000"
        wait_until(lambda: known[0]() is None, "the request is freed")
    finally:
        gc.enable()
