"""Records of the access log: their attributes, the ways of `logging` to filter them, fields by name, lines of JSON, and one line for
each exchange however it has ended."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from outside import OutsideHTTP, Response
from support.harness import Records, Script, wait_until
from support.wire import fetch, request_bytes


def lines(records: Records) -> list[logging.LogRecord]:
    return [record for record in records.records if record.name == "outside.access"]


def test_attributes(server: OutsideHTTP, start, records):
    server.config["access_log"] = "common"

    @server.post("/users/{id:int}")
    def user(id: int):
        return Response(201, {}, "12345")

    running = start()
    running.fetch("/users/7?q=%20x", "POST", {"Referer": "http://r/", "User-Agent": "t/1", "Cookie": "a=b"}, b"body")
    record = records.wait_for(lambda record: record.name == "outside.access")
    assert (record.client, record.method, record.target, record.version) == ("127.0.0.1", "POST", "/users/7?q=%20x", "HTTP/1.1")
    assert (record.status, record.bytes, record.referer, record.agent) == (201, 5, "http://r/", "t/1")
    assert 0 <= record.microseconds < 60_000_000
    assert record.host == "localhost"
    assert (record.end, record.request_id, record.levelno) == ("complete", "-", logging.INFO)
    assert record.getMessage().startswith("127.0.0.1 - - [")
    assert not any("a=b" in str(value) for value in record.__dict__.values())


def test_records_of_the_engine_name_no_file_of_logging(serve, records):
    serve(lambda request: 1 / 0, access_log="common").fetch()
    for record in (records.wait_for(lambda record: record.name == "outside.access"), records.wait_for("ZeroDivisionError")):
        assert (record.filename, record.module, record.lineno, record.funcName) == ("outside", "outside", 0, "engine")


def test_filters_and_levels_of_logging(serve, records):
    access = logging.getLogger("outside.access")
    running = serve({"/a": lambda request: "x"}, access_log="json")
    only_failures = lambda record: record.status >= 400
    access.addFilter(only_failures)
    try:
        running.fetch("/a")
        running.fetch("/missing")
        records.wait_for(lambda record: record.name == "outside.access")
    finally:
        access.removeFilter(only_failures)
    access.setLevel(logging.WARNING)
    try:
        running.fetch("/a")
        running.stop()
    finally:
        access.setLevel(logging.NOTSET)
    assert [record.status for record in lines(records)] == [404]


def test_a_filter_that_fails_loses_no_other_line(serve, records, capsys):
    def fails(record):
        if record.target == "/b":
            raise ValueError("no filter")
        return True

    access = logging.getLogger("outside.access")
    running = serve(lambda request: "x", access_log="json")
    access.addFilter(fails)
    try:
        with running.wire() as wire:
            wire.send(request_bytes("/a") + request_bytes("/b") + request_bytes("/c"))
            for _ in range(3):
                wire.receive_answer()
        running.stop()
    finally:
        access.removeFilter(fails)
    assert [record.target for record in lines(records)] == ["/a", "/c"]
    assert "no filter" in capsys.readouterr().err


def test_fields_by_name(serve, records):
    wanted = ["status", "path", "query", "scheme", "peer", "header:X-Tenant", "worker", "referer", "request_id"]
    running = serve(lambda request: "x", access_log="json", access_log_fields=wanted)
    running.fetch("/a%20b?c=d", headers={"X-Tenant": 'é"x'})
    record = records.wait_for(lambda record: record.name == "outside.access")
    line = json.loads(record.getMessage())
    assert list(line) == ["status", "path", "query", "scheme", "peer", "header:x-tenant", "worker", "request_id"]
    assert (line["path"], line["query"], line["peer"], line["header:x-tenant"]) == ("/a b", "c=d", "127.0.0.1", 'é"x')
    assert (record.header_x_tenant, record.referer, record.method) == ('é"x', None, "GET")
    assert record.request_id == line["request_id"]


@pytest.mark.parametrize(
    "fields",
    [
        ["time", "statsu"],
        ["Authorization"],
        ["header:Authorization"],
        ["header:cookie"],
        ["header:Set-Cookie"],
        ["header:X-Session-Id"],
        ["header:X-CSRF-Token"],
        ["session"],
        ["header:"],
        [7],
        "nonsense",
        7,
        None,
    ],
)
def test_a_field_that_does_not_exist_is_refused(fields):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(access_log_fields=fields, keepalive=False)
    with pytest.raises(ValueError, match="access_log_fields") as refused:
        server.run()
    assert "keep_alive" in str(refused.value), "all faults in one message"
    assert "allowed: a list of 'time'" in str(refused.value)


JSON = """\
import logging, os, sys
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="json", processes=int(sys.argv[1]))
server.set_route("/raise", lambda request: 1 / 0)
server.set_route("/warn", lambda request: logging.getLogger("outside").warning("of %s", "the program") or "x")
{more}
server.run()
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_events_are_lines_of_json_too(processes):
    script = Script("-c", JSON.format(more=""), processes)
    failed = fetch(script.address, "/raise")
    assert fetch(script.address, "/warn").text == "x"
    assert script.stop() == 0
    entries = [json.loads(line) for line in script.errors.splitlines()]
    events = [entry for entry in entries if "event" in entry]
    assert [entry["status"] for entry in entries if "status" in entry] == [500, 200]
    assert [entry["level"] for entry in events] == ["error", "warning"]
    assert events[0]["event"] == "GET /raise: the handler failed"
    assert events[0]["exception"].endswith("ZeroDivisionError: division by zero")
    assert events[1]["event"] == "of the program"
    failure = next(entry for entry in entries if entry.get("status") == 500)
    assert events[0]["request_id"] == failed.header("X-Request-ID") == failure["request_id"]
    assert all(entry["time"].endswith("Z") for entry in entries)


def test_a_configuration_of_logging_has_the_events_as_ever():
    script = Script("-c", JSON.format(more="logging.basicConfig(format='%(name)s|%(request_id)s|%(message)s')"), "1")
    failed = fetch(script.address, "/raise")
    assert script.stop() == 0
    assert f"outside|{failed.header('X-Request-ID')}|GET /raise: the handler failed" in script.errors
    assert '"event"' not in script.errors


class Gate:
    """Handlers that wait until the test lets them go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, request):
        self.begun.set()
        self.go_on.wait(30)
        return "late"


def ended(records: Records, target: str) -> tuple[int, str]:
    record = records.wait_for(lambda record: record.name == "outside.access" and record.target == target)
    return record.status, record.end


def test_one_line_however_an_exchange_has_ended(server: OutsideHTTP, start, records):
    server.config.update(access_log="json", process_timeout=0.5, termination_timeout=0.2, body_stall_timeout=0.3)
    gates = {name: Gate() for name in ("/left", "/timeout")}
    for name, gate in gates.items():
        server.set_route(name, gate)
    server.set_route("/stream", lambda request: Response(200, {}, (b"x" * 65536 for _ in iter(int, 1))))
    server.set_route("/short", lambda request: Response(200, {"Content-Length": "10"}, iter(["x"])))
    server.set_route("/body", lambda request: "x", streaming=False)
    running = start()
    with running.wire() as wire:
        wire.send(request_bytes("/left"))
        assert gates["/left"].begun.wait(10)
        wire.send(request_bytes("/behind"))
    gates["/left"].go_on.set()
    with running.wire() as wire:
        wire.send(request_bytes("/stream")).receive_some()
    assert ended(records, "/stream") == (200, "cut")
    with running.wire() as wire:
        assert wire.send(request_bytes("/timeout")).receive_answer().status == 504
    gates["/timeout"].go_on.set()
    assert ended(records, "/timeout") == (504, "complete")
    with running.wire() as wire:
        wire.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxx")
    assert ended(records, "/body") == (499, "unanswered")
    with running.wire() as wire:
        wire.send(b"GET /half HTTP/1.1\r\nHo")
    with running.wire() as wire:
        wire.send(b"nonsense\r\n\r\n").receive_answer()
    running.stop()
    targets = [record.target for record in lines(records)]
    assert len(targets) == len(set(targets)), targets
    assert "/half" not in targets


@pytest.mark.timed
def test_requests_that_the_end_of_the_server_cuts_have_lines(server: OutsideHTTP, start, records):
    server.config.update(access_log="json", termination_timeout=0.2)
    gate = Gate()
    server.set_route("/", gate)
    running = start()
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        assert gate.begun.wait(10)
        server.terminate()
        wire.receive_end()
    assert ended(records, "/") == (499, "unanswered")
    gate.go_on.set()
    running.wait_for_return()


def test_streams_of_http2_that_are_reset_have_lines(server: OutsideHTTP, start, records):
    httpx = pytest.importorskip("httpx")
    server.config.update(access_log="json", h2c=True)
    gate = Gate()
    server.set_route("/left", gate)
    running = start()
    with httpx.Client(http1=False, http2=True, timeout=0.3) as client, pytest.raises(httpx.TimeoutException):
        client.get(f"http://{running.address[0]}:{running.address[1]}/left")
    assert ended(records, "/left") == (499, "unanswered")
    gate.go_on.set()


class Blocked(logging.Handler):
    """A handler that lets nothing through until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.reached = threading.Event(), threading.Event()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.reached.set()
        self.go_on.wait(60)
        self.count += 1


def test_log_sink_blocked(serve, records):
    """`log_sink_blocked`: a log that stands still keeps no client waiting, takes bounded memory, and its losses are counted."""
    blocked, access = Blocked(), logging.getLogger("outside.access")
    access.addHandler(blocked)
    access.propagate = False
    try:
        running = serve(lambda request: "x", access_log="json")
        total, batch = 12_000, 60
        for _ in range(2):  # a connection carries ten thousand requests at most
            with running.wire() as wire:
                for _ in range(total // batch // 2):
                    wire.send(request_bytes("/") * batch)
                    for _ in range(batch):
                        assert wire.receive_answer().status == 200
        assert blocked.reached.wait(10)
        assert running.fetch().status == 200
        blocked.go_on.set()
        lost = records.wait_for("log lines lost").getMessage()
        assert running.fetch().status == 200
        running.stop()
        assert blocked.count + int(lost.split()[0]) == total + 2, lost
        assert blocked.count <= 10_000 + 1_000
    finally:
        access.removeHandler(blocked)
        access.propagate = True


def test_a_server_ends_while_its_log_is_blocked(serve, records):
    blocked, access = Blocked(), logging.getLogger("outside.access")
    access.addHandler(blocked)
    try:
        running = serve(lambda request: "x", access_log="json")
        running.fetch()
        assert blocked.reached.wait(10)
        began = time.monotonic()
        running.stop()
        assert time.monotonic() - began < 10
    finally:
        blocked.go_on.set()
        access.removeHandler(blocked)
    wait_until(lambda: blocked.count == 1, "the line")
