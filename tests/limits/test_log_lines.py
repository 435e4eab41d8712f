"""One exchange is one line of the log, for any bytes of a client, and no line is forged (docs/security.md S39).

The lines are read as a collector would: bytes from standard error, split at line feeds.
"""

from __future__ import annotations

import json
import logging
import re

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from outside import FilePath, Response, WebSocketExit
from support.harness import PROGRAMS, Script
from support.log_lines import COMBINED, COMMON, HOSTILE, get
from support.slow_clients import SIZED, drip_until_end
from support.websocket_styles import STYLES, websocket
from support.wire import DEADLINE, Wire, request_bytes


@pytest.mark.parametrize("form", ["common", "combined", "json"])
def test_one_exchange_is_one_line(form):
    script = Script(str(PROGRAMS / "greedy_app.py"), json.dumps({"access_log": form}))
    statuses = []
    for raw in HOSTILE.values():
        with Wire(script.address) as wire:
            statuses.append(wire.send(raw).send_end().receive_answer().status)
    assert script.stop() == 0
    # Warnings of the server itself, which name the limits that refused something.
    lines = [line for line in script.errors.split("\n")[:-1] if "sets this limit" not in line]
    assert len(lines) == len(HOSTILE), lines
    for name, status, line in zip(HOSTILE, statuses, lines, strict=True):
        assert re.fullmatch(r"[\x20-\x7e]+", line), (name, line)
        if form == "json":
            assert json.loads(line)["status"] == status, (name, line)
        else:
            match = (COMMON if form == "common" else COMBINED).match(line)
            assert match, (name, line)
            assert int(match[4]) == status, (name, line)


FORGING = "/%0aCRITICAL:outside:forged%1b[31m%0d%e2%80%a8"


def fail(request):
    raise RuntimeError("the cause")


async def fail_later(request):
    raise RuntimeError("the cause")


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(fail, id="raises"),
        pytest.param(fail_later, id="raises in an event loop"),
        pytest.param(lambda request: object(), id="returns something else"),
        pytest.param(lambda request: (999999, "x"), id="returns an impossible status"),
        pytest.param(lambda request: Response(200, {}, FilePath("/")), id="returns a folder"),
    ],
)
def test_an_error_is_told_in_one_line(serve, records, handler):
    """The path of the request stands in the text of the error; it must not look like another record."""
    assert serve(handler).fetch(FORGING).status == 500
    record = records.wait_for(lambda record: record.name == "outside")
    message = record.getMessage()
    assert "forged" in message
    assert re.fullmatch(r"[\x20-\x7e]+", message), message


@pytest.mark.parametrize("where", ["handler", "on_exit"])
@pytest.mark.parametrize("style", STYLES)
def test_an_error_of_a_websocket_is_told_in_one_line(serve, records, style, where):
    def answer(connection, message):
        if where == "handler":
            raise RuntimeError("the cause")

    made = websocket(style, answer)
    if where == "on_exit":

        @made.on_exit
        def fail(connection):
            raise WebSocketExit(connection.close_code, connection.close_reason)  # as `recv` does, with the client's words

    running = serve({"/": made}, access_log="off")
    with connect("ws://{}:{}{}".format(*running.address, FORGING), proxy=None) as client:
        client.send("x")
        if where == "handler":
            with pytest.raises(ConnectionClosed):
                client.recv(DEADLINE)
        else:
            client.close(4000, "bye\nCRITICAL:outside:forged\x1b[31m")
    record = records.wait_for(lambda record: record.name == "outside" and record.levelno == logging.ERROR)
    message = record.getMessage()
    assert message.startswith("WebSocket /%0aCRITICAL:outside:forged")
    assert re.fullmatch(r"[\x20-\x7e]+", message), message
    # The traceback has lines, but none that the client wrote.
    assert "\x1b" not in record.whole
    assert not [line for line in record.whole.splitlines() if line.startswith("CRITICAL")]


def test_a_record_of_a_program_about_a_request_is_one_line(serve):
    seen = serve(lambda request: ascii(repr(request))).fetch(FORGING).text
    assert seen == "'<Request GET /\\\\nCRITICAL:outside:forged\\\\u{1b}[31m\\\\r\\\\u{2028}>'"


KEYS = {
    "max_request_line": get(b"/" + b"a" * 9000),
    "max_header_fields": get(b"/", *[b"a: b"] * 200),
    "max_header_size": get(b"/", b"a: " + b"b" * 40_000),
    "max_body_size_mb": request_bytes("/", "POST", {"Content-Length": "99999999"}),
    "header_timeout": b"GET / HTTP/1.1\r\n",
    "body_stall_timeout": SIZED,
}


@pytest.mark.timed
def test_each_key_is_named_once_however_often_it_refuses(serve, records):
    """Six limits, each of them hit by ten clients, beside one another: six lines."""
    running = serve(lambda request: "x", header_timeout=0.3, body_stall_timeout=0.3)
    wires = {key: [running.wire().send_if_possible(raw) for _ in range(10)] for key, raw in KEYS.items()}
    for key in KEYS:
        for wire in wires[key]:
            assert wire.receive_answer().status >= 400
            wire.close()
    running.stop()
    told = [text for text in records.texts() if "config[" in text]
    assert sorted(re.search(r'config\["(\w+)"\]', text)[1] for text in told) == sorted(KEYS)


def test_a_body_below_the_minimum_rate_names_that_key(serve, records):
    running = serve(lambda request: "x", min_rate=1_000_000)
    assert drip_until_end(running.address, SIZED, b"x", pace=0.1).statuses == [408]
    assert "min_rate" in records.wait_for("config[").getMessage()


@pytest.mark.timed
def test_a_client_that_stops_reading_names_its_key(serve, records):
    running = serve(lambda request: b"x" * 50_000_000, write_stall_timeout=0.3, access_log="common")
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        records.wait_for(lambda record: record.name == "outside.access")
    running.stop()
    assert any("write_stall_timeout" in text for text in records.texts())
