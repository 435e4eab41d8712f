"""A generator that fails before its first piece is answered as if its handler had failed; one that fails later cuts its answer."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from outside import Response, abort, event_stream
from support.handler_styles import STYLES, styled
from support.wire import request_bytes


def plain(failure):
    def pieces():
        failure()
        yield "never"

    return pieces()


def later(failure):
    async def pieces():
        await asyncio.sleep(0)
        failure()
        yield "never"

    return pieces()


def nothing_first(failure):
    """An iterator that is no generator."""

    class Pieces:
        def __iter__(self):
            return self

        def __next__(self):
            failure()

    return Pieces()


KINDS = {
    "generator": lambda failure: Response(content=plain(failure)),
    "async generator": lambda failure: Response(content=later(failure)),
    "events": lambda failure: event_stream(plain(failure)),
    "async events": lambda failure: event_stream(later(failure)),
    "iterator": lambda failure: Response(content=nothing_first(failure)),
}
# The head of a stream of events goes out 50 ms after the handler at the latest; a generator that fails later cuts the answer.
EACH_KIND = [pytest.param(kind, marks=pytest.mark.timed) if "events" in kind else kind for kind in KINDS]


def fail():
    raise LookupError("the cause")


@pytest.mark.timed
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("has_hooks", [False, True])
def test_it_is_answered(server, start, records, version, style, has_hooks):
    server.config["h2c"] = True
    seen = []
    if has_hooks:
        server.before_request(lambda: None)
        server.after_request(lambda request, response: seen.append((request.path, response.status_code)))
    for name, make in KINDS.items():
        server.get(f"/{name}/raises")(styled(style, lambda request, make=make: make(fail)))
        server.set_route(f"/plain/{name}", styled(style, lambda request, make=make: make(fail)))
        server.get(f"/{name}/aborts")(styled(style, lambda request, make=make: make(lambda: abort(409, "not now"))))
        server.get(f"/{name}/own")(styled(style, lambda request, make=make: make(lambda: abort(404))))
    server.errorhandler(404)(lambda request, message: Response(404, content=f"nothing at {request.path}"))
    base = "http://{}:{}".format(*start().address)
    with httpx.Client(http1=version == "HTTP/1.1", http2=version == "HTTP/2", base_url=base, trust_env=False) as client:

        def ask(target):
            """A stream of events has a moment to fail before its head goes out, which a busy machine may let pass."""
            for _ in range(5):
                try:
                    answer = client.get(target)
                except httpx.HTTPError:
                    continue
                if answer.status_code != 200:
                    break
            return answer

        for name in KINDS:
            path = name.replace(" ", "%20")
            for target in (f"/{path}/raises", f"/plain/{path}"):
                answer = ask(target)
                assert answer.status_code == 500, target
                assert "the cause" not in answer.text
                record = records.wait_for(f"GET {target}: ")
                assert "LookupError: the cause" in record.whole
            answer = ask(f"/{path}/aborts")
            assert (answer.status_code, answer.text) == (409, "409 Conflict: not now\n"), name
            answer = ask(f"/{path}/own")
            assert (answer.status_code, answer.text) == (404, f"nothing at /{name}/own"), name
    if has_hooks:
        expected = [(500, "raises"), (500, "plain"), (409, "aborts"), (404, "own")] * len(KINDS)
        assert [status for _, status in seen if status != 200] == [status for status, _ in expected]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", EACH_KIND)
def test_the_handler_of_its_class_answers(server, start, kind, style):
    server.get("/")(styled(style, lambda request: KINDS[kind](fail)))
    server.errorhandler(LookupError)(
        styled(style, lambda request, error: Response(410, content=f"{request.path} {error.args[0]}"))
    )
    answer = start().fetch("/")
    assert (answer.status, answer.text) == (410, "/ the cause")


@pytest.mark.parametrize("kind", EACH_KIND)
def test_an_error_handler_that_fails_in_the_same_way_is_one_answer(server, start, kind):
    server.get("/")(lambda request: KINDS[kind](fail))
    server.errorhandler(500)(lambda request, message: KINDS[kind](fail))
    running = start()
    answer = running.fetch("/")
    assert (answer.status, answer.text) == (500, "500 Internal Server Error\n")
    server.after_request(lambda request, response: response.headers.update({"X-After": str(response.status_code)}))
    answer = running.fetch("/")
    assert (answer.status, answer.header("X-After")) == (500, "500")


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_the_next_request_on_the_connection_is_answered(serve, kind):
    running = serve({"/fails": lambda request: KINDS[kind](fail), "/": lambda request: "text"})
    with running.wire() as wire:
        wire.send(request_bytes("/") + request_bytes("/fails") + request_bytes("/") + request_bytes("/fails"))
        assert [wire.receive_answer().status for _ in range(4)] == [200, 500, 200, 500]


@pytest.mark.parametrize("kind", [plain, later])
def test_later_it_is_cut_and_the_log_names_the_request(serve, records, kind):
    def handler(request):
        if kind is plain:

            def pieces():
                yield "first"
                fail()
        else:

            async def pieces():
                yield "first"
                fail()

        return Response(content=pieces())

    with serve(handler).wire() as wire:
        received = wire.send(request_bytes("/some?where")).receive_rest()
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")
    record = records.wait_for("LookupError: the cause")
    assert record.getMessage() == "GET /some?where: a streamed response failed"
    assert len([text for text in records.texts() if "stream" in text]) == 1


@pytest.mark.parametrize("kind", EACH_KIND)
def test_a_test_client_and_the_debug_page_see_it(server, kind):
    server.config["debug"] = True
    server.get("/")(lambda request: KINDS[kind](fail))
    with server.test_client(headers={"Accept": "text/html"}) as client:
        answer = client.get("/")
        assert answer.status_code == 500
        assert re.search("LookupError.*the cause", answer.text, re.DOTALL)
    with server.test_client(raise_exceptions=True) as client, pytest.raises(LookupError):
        client.get("/")
