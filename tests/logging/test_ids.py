"""The ids of requests: which are taken over from proxies, and where they stand: on answers, on pages of errors, in every record."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outside import OutsideHTTP, Response, asgi, wsgi
from support.harness import Running
from support.wire import Wire

CORPUS = Path(__file__).parents[1] / "corpus/ids/trace_context.txt"
OWN = re.compile(r"[0-9a-f]{32}")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def unescaped(text: str) -> bytes:
    """`\\xhh` is a byte, `{text*n}` the text n times."""
    parts = re.split(r"\\x([0-9a-f]{2})|\{([^}]*)\*(\d+)\}", text)
    out = b""
    for plain, byte, repeated, times in zip(
        parts[::4], [*parts[1::4], ""], [*parts[2::4], ""], [*parts[3::4], ""], strict=True
    ):
        out += plain.encode()
        out += bytes.fromhex(byte) if byte else b""
        out += (repeated * int(times)).encode() if times else b""
    return out


def vectors(kind: str) -> list[tuple[bytes, str]]:
    rows = [line.split("\t") for line in CORPUS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return [(unescaped(field), unescaped(expected).decode()) for what, field, expected in rows if what == kind]


def told(request):
    return {"id": request.id, "traceparent": request.traceparent, "tracestate": request.tracestate}


def ask(running: Running, *fields: tuple[bytes, bytes]) -> tuple[dict, str | None] | int:
    """What the handler has seen, and the id on the answer; the status, if the request was refused."""
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    with running.wire() as wire:
        answer = wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n").receive_answer()
    return answer.status if answer.status != 200 else (json.loads(answer.text), answer.header("X-Request-ID"))


def is_malformed(field: bytes) -> bool:
    return any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in field)


def test_traceparent_vectors(serve):
    """`traceparent_vectors`: what is taken over from a trusted proxy, over the wire."""
    running = serve(told, trusted_proxies=["127.0.0.1"])
    found = vectors("traceparent")
    assert len(found) >= 40
    for field, expected in found:
        seen, id_there = ask(running, (b"traceparent", field), (b"tracestate", b"a=1"))
        _, trace, span, flags = seen["traceparent"].split("-")
        assert (len(trace), len(span), seen["id"], id_there) == (32, 16, trace, trace), field
        if expected == "-":
            assert (flags, seen["tracestate"]) == ("02", ""), field
            assert trace.encode() not in field
        else:
            assert (f"{trace} {flags}", seen["tracestate"]) == (expected, "a=1"), field
            assert span.encode() not in field, "the step of the caller is not ours"


def test_tracestate_vectors(serve):
    running = serve(told, trusted_proxies=["127.0.0.1"])
    for field, expected in vectors("tracestate"):
        answer = ask(running, (b"traceparent", PARENT.encode()), (b"tracestate", field))
        if is_malformed(field):
            assert answer == 400, field
        else:
            assert answer[0]["tracestate"] == ("" if expected == "-" else expected), field


def test_request_id_injection(serve, records):
    """`request_id_injection`: an id that could break a line, a page or a field is not taken over, nor is that of a stranger."""
    trusting = serve(told, trusted_proxies=["127.0.0.1"], access_log="json")
    for field, expected in vectors("id"):
        if b"\r\n" in field:
            continue  # two fields, over the wire
        answer = ask(trusting, (b"X-Request-ID", field))
        if is_malformed(field):
            assert answer == 400, field
        elif expected == "yes":
            assert (answer[0]["id"], answer[1]) == (field.decode(), field.decode())
            assert OWN.fullmatch(answer[0]["traceparent"].split("-")[1])
        else:
            assert OWN.fullmatch(answer[0]["id"]), field
            assert answer[1] == answer[0]["id"]
    twice = ask(trusting, (b"X-Request-ID", b"a"), (b"x-request-id", b"b"))
    assert OWN.fullmatch(twice[0]["id"])
    twice = ask(trusting, (b"traceparent", PARENT.encode()), (b"traceparent", PARENT.encode()))
    assert twice[0]["traceparent"].split("-")[1] not in PARENT
    trusting.stop()
    for record in records.records:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", record.request_id)
        json.loads(record.getMessage())


@pytest.mark.parametrize("proxies", [[], ["192.0.2.1"]])
def test_strangers_give_no_ids(serve, proxies):
    running = serve(told, trusted_proxies=proxies)
    seen, there = ask(running, (b"X-Request-ID", b"mine"), (b"traceparent", PARENT.encode()), (b"tracestate", b"a=1"))
    assert OWN.fullmatch(seen["id"])
    assert there == seen["id"]
    assert seen["traceparent"].split("-")[1] == seen["id"]
    assert (seen["traceparent"][-2:], seen["tracestate"]) == ("02", "")


def test_an_id_is_made_when_there_is_a_use_for_it(serve):
    silent = serve(lambda request: "x")
    assert silent.fetch().header("X-Request-ID") is None
    always = serve(lambda request: "x", request_ids=True)
    ids = {always.fetch().header("X-Request-ID") for _ in range(5)}
    assert len(ids) == 5
    assert all(OWN.fullmatch(id) for id in ids)
    named = serve(lambda request: "x", access_log_fields=["request_id"])
    assert OWN.fullmatch(named.fetch().header("X-Request-ID"))
    own = serve(lambda request: Response(200, {"X-Request-ID": "of the handler"}, request.id))
    assert own.fetch().header("X-Request-ID") == "of the handler"


def test_pages_of_errors_have_the_id(serve, records):
    running = serve({"/fails": lambda request: 1 / 0})
    for accept, found in [
        ("text/html", lambda text: re.search(r"Request ([0-9a-f]{32})", text)[1]),
        ("application/json", lambda text: json.loads(text)["request_id"]),
    ]:
        page = running.fetch("/fails", headers={"Accept": accept})
        assert (page.status, found(page.text)) == (500, page.header("X-Request-ID"))
        assert any(record.request_id == page.header("X-Request-ID") for record in records.records)
    missing = running.fetch("/missing", headers={"Accept": "text/html"})
    assert (missing.status, missing.header("X-Request-ID"), "Request " in missing.text) == (404, None, False)


def test_the_trace_is_on_the_answer_and_the_page_too(serve):
    running = serve({"/fails": lambda request: 1 / 0, "/": told}, trusted_proxies=["127.0.0.1"])
    trace = PARENT.split("-")[1]
    sent = {"X-Request-ID": "of-a-proxy", "traceparent": PARENT}
    answer = running.fetch("/", headers=sent)
    assert answer.header("traceparent") == json.loads(answer.text)["traceparent"]
    assert (answer.header("X-Request-ID"), answer.header("traceparent").split("-")[1]) == ("of-a-proxy", trace)
    page = running.fetch("/fails", headers={**sent, "Accept": "text/html"})
    assert f"Request of-a-proxy<br>Trace {trace}" in page.text
    assert page.header("traceparent").split("-")[1] == trace
    found = json.loads(running.fetch("/fails", headers={**sent, "Accept": "application/json"}).text)
    assert (found["request_id"], found["trace_id"]) == ("of-a-proxy", trace)
    # Without a use for ids the answer has none.
    silent = serve(lambda request: "x")
    assert silent.fetch().header("traceparent") is None


class Heard(logging.Handler):
    """The text of each record of the logger `work` with its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str]] = []
        self.all: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.getMessage(), record.request_id))
        self.all.append(record)


@pytest.fixture
def work() -> Iterator[Heard]:
    heard, logger = Heard(), logging.getLogger("work")
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    yield heard
    logger.removeHandler(heard)


log = logging.getLogger("work")


def test_ids_in_threads_and_tasks(server: OutsideHTTP, start, work: Heard):
    """`ids_in_threads_and_tasks`: each record has the id of its own request, however many there are at one moment."""
    meeting = threading.Barrier(4)

    @server.get("/plain/{name}")
    def plain(request, name):
        meeting.wait(10)  # four handlers at once, of which three are on threads of the pool
        log.info(name)
        return request.id

    server.set_route("/bare", lambda request: (log.info("bare"), request.id)[1])

    @server.get("/async/{name}")
    async def asynchronous(request, name):
        log.info(name)

        async def later():
            await asyncio.sleep(0.01)
            log.info(name)
            await asyncio.to_thread(log.info, name)

        await asyncio.gather(later(), later())
        copied = contextvars.copy_context()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(copied.run, log.info, name).result()
        log.info(name)
        return request.id

    @server.get("/stream/{name}")
    def stream(request, name):
        def pieces():
            yield request.id
            log.info(name)
            yield ""

        return Response(200, {}, pieces())

    @server.get("/async-stream/{name}")
    async def async_stream(request, name):
        async def pieces():
            yield request.id
            await asyncio.sleep(0)
            log.info(name)

        return Response(200, {}, pieces())

    @server.get("/fails/{name}")
    def fails(request, name):
        log.info(name)
        raise ValueError

    @server.errorhandler(500)
    def failed(request, message=None):
        log.info(request.path_params["name"])
        return request.id, 500

    running = start()
    wires = [Wire(running.address) for _ in range(4)]
    ids = {}
    for count in range(5):
        for kind, times in [("plain", 1), ("async", 7), ("stream", 1), ("async-stream", 1), ("fails", 2)]:
            for number, wire in enumerate(wires):
                wire.send(f"GET /{kind}/{kind}-{count}-{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            for number, wire in enumerate(wires):
                ids[f"{kind}-{count}-{number}"] = wire.receive_answer().text, times
    bare = running.fetch("/bare").text
    log.info("outside")
    for wire in wires:
        wire.close()
    assert len({id for id, _ in ids.values()}) == len(ids)
    heard = dict.fromkeys(ids, 0)
    for name, id in work.heard:
        if name in ids:
            assert id == ids[name][0], name
            heard[name] += 1
    assert heard == {name: times for name, (_, times) in ids.items()}
    assert ("bare", bare) in work.heard
    assert work.heard[-1] == ("outside", "-")
    trace = {(record.request_id, record.trace_id, len(record.span_id)) for record in work.all[:-1]}
    assert all(id == trace_id and length == 16 for id, trace_id, length in trace)


def test_ids_in_hosted_applications(serve, work: Heard):
    def wsgi_app(environ, start_response):
        log.info("wsgi")
        start_response("200 OK", [])
        log.info("wsgi")
        return [b"x"]

    async def asgi_app(scope, receive, send):
        if scope["type"] == "http":
            log.info("asgi")
            await asyncio.create_task(asyncio.to_thread(log.info, "asgi"))
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x"})

    running = serve({"/wsgi": wsgi(wsgi_app), "/asgi": asgi(asgi_app, lifespan="off")})
    for kind in ("wsgi", "asgi"):
        id = running.fetch(f"/{kind}").header("X-Request-ID")
        assert OWN.fullmatch(id)
        assert [there for name, there in work.heard if name == kind] == [id, id]


def test_a_factory_of_the_program_stays(serve, work: Heard):
    before = logging.getLogRecordFactory()

    def factory(*arguments, **named):
        record = before(*arguments, **named)
        record.own = "own"
        return record

    logging.setLogRecordFactory(factory)
    try:
        running = serve(lambda request: (log.info("x"), request.id)[1])
        id = running.fetch().text
        assert logging.getLogRecordFactory() is factory
        assert [(record.own, record.request_id) for record in work.all] == [("own", id)]
        logging.setLogRecordFactory(logging.LogRecord)
        another = serve(lambda request: (log.info("y"), request.id)[1])
        assert ("y", another.fetch().text) in work.heard
    finally:
        logging.setLogRecordFactory(before)


def test_requests_made_by_hand_have_ids():
    from outside import Request

    one, other = (Request("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1)) for _ in range(2))
    assert OWN.fullmatch(one.id)
    assert one.id != other.id
    assert one.traceparent == one.traceparent
