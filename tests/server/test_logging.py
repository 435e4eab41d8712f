"""The access log in its formats, secrets that must never stand in it, and the names of the loggers."""

from __future__ import annotations

import json
import logging
import re

import pytest

from outside import Response
from support.harness import Records, Script
from support.log_lines import COMBINED, COMMON
from support.wire import Wire, fetch, request_bytes


def access_line(records: Records, contains: str = "") -> str:
    return records.wait_for(lambda record: record.name == "outside.access" and contains in record.getMessage()).getMessage()


def access_lines(records: Records) -> list[str]:
    return [record.getMessage() for record in records.records if record.name == "outside.access"]


def test_common(serve, records):
    serve(lambda request: "12345", access_log="common").fetch("/a?b=c")
    match = COMMON.match(access_line(records))
    assert match
    assert match.groups() == ("127.0.0.1", "-", "GET /a?b=c HTTP/1.1", "200", "5")


def test_combined(serve, records):
    serve(lambda request: "x", access_log="combined").fetch("/a", headers={"Referer": "http://r/", "User-Agent": "tester/1"})
    match = COMBINED.match(access_line(records))
    assert match
    assert match[3] == "GET /a HTTP/1.1"
    assert (match[6], match[7]) == ("http://r/", "tester/1")


def test_json(serve, records):
    serve(lambda request: Response(201, {}, "123"), access_log="json").fetch(
        "/a?b", "POST", {"User-Agent": "tester/1"}, b"body"
    )
    line = access_line(records)
    entry = json.loads(line)
    assert "\n" not in line
    values = [value for value in entry.values() if not isinstance(value, (dict, list))]
    assert 201 in values
    assert 3 in values
    assert "POST" in values
    assert any(str(value).startswith("/a") for value in values)
    assert any("127.0.0.1" in str(value) for value in values)


def test_off(serve, records):
    running = serve(lambda request: "x", access_log="off")
    running.fetch()
    running.stop()
    assert access_lines(records) == []


def test_one_line_for_each_exchange_refusals_included(serve, records):
    running = serve({"/a": lambda request: "x", "/raise": lambda request: 1 / 0}, access_log="common")
    with running.wire() as wire:
        wire.send(request_bytes("/a") + request_bytes("/unknown") + request_bytes("/raise") + b"nonsense\r\n\r\n")
        assert [wire.receive_answer().status for _ in range(4)] == [200, 404, 500, 400]
        wire.receive_end()
    running.stop()
    assert [COMMON.match(line)[4] for line in access_lines(records)] == ["200", "404", "500", "400"]


def test_the_size_is_that_of_the_body_sent(serve, records):
    def handler(request):
        return Response(200, {}, iter(["one", "two", "three"]))

    running = serve(handler, access_log="common")
    running.fetch("/a")
    running.fetch("/a", "HEAD")
    running.stop()
    assert [COMMON.match(line)[5] for line in access_lines(records)] in (["11", "0"], ["11", "-"])


SECRETS = {
    "Authorization": "Basic c2VjcmV0",
    "Cookie": "session=secret-cookie",
    "Proxy-Authorization": "Bearer secret-proxy",
}


@pytest.mark.parametrize("form", ["common", "combined", "json"])
def test_secrets_are_never_written(serve, records, form):
    def handler(request):
        return Response(200, {"Set-Cookie": "session=secret-answer"}, "x")

    running = serve(handler, access_log=form)
    running.fetch("/a", headers=SECRETS)
    running.stop()
    text = "\n".join(records.texts())
    assert access_lines(records)
    for secret in ("c2VjcmV0", "secret-cookie", "secret-proxy", "secret-answer"):
        assert secret not in text


@pytest.mark.parametrize("form", ["common", "combined", "json"])
def test_control_bytes_and_quotes_are_escaped(serve, records, form):
    running = serve(lambda request: "x", access_log=form)
    fields = b'Host: a\r\nUser-Agent: a"b\\c\td\xe9\r\nReferer: "\r\nConnection: close\r\n'
    raw = b'GET /%1b[31m%0d%0a"\\ HTTP/1.1\r\n' + fields + b"\r\n"
    with running.wire() as wire:
        wire.send(raw).receive_rest()
    with running.wire() as wire:
        wire.send(b"GET /\x1b[31m\x00\x7f HTTP/1.1\r\nHost: a\r\n\r\n").receive_rest()
    with running.wire() as wire:
        wire.send(b'"\x1b[2J" \x9b\r\n\r\n').receive_rest()
    running.stop()
    lines = access_lines(records)
    assert len(lines) == 3
    for line in lines:
        assert not re.search(r"[\x00-\x1f\x7f\x80-\x9f]", line), line
        if form == "json":
            assert isinstance(json.loads(line), dict)
        else:
            assert (COMMON if form == "common" else COMBINED).match(line), line
            inner = re.sub(r"\\.", "", line)
            assert inner.count('"') == (2 if form == "common" else 6), line


def test_a_long_target_is_one_line(serve, records):
    running = serve(lambda request: "x", access_log="json")
    running.fetch("/" + "a" * 8000)
    running.fetch("/" + "a" * 10_000)
    running.stop()
    lines = access_lines(records)
    assert len(lines) == 2
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_access_lines_are_information_of_their_own_logger(serve, records):
    serve(lambda request: "x", access_log="common").fetch()
    record = records.wait_for(lambda record: record.name == "outside.access")
    assert record.levelno == logging.INFO


def test_errors_belong_to_the_logger_of_the_module(serve, records):
    serve(lambda request: 1 / 0).fetch()
    record = records.wait_for("ZeroDivisionError")
    assert (record.name, record.levelno) == ("outside", logging.ERROR)


CODE = """
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = {form!r}
server.set_route("/raise", lambda request: 1 / 0)
server.run()
"""


def outcome(form: str) -> Script:
    script = Script("-c", CODE.format(form=form))
    assert fetch(script.address, "/raise").status == 500
    assert fetch(script.address, "/unknown").status == 404
    assert script.stop() == 0
    return script


def test_without_any_logging_set_up_lines_are_seen():
    script = outcome("common")
    lines = [line for line in (script.output + script.errors).splitlines() if COMMON.match(line)]
    assert [COMMON.match(line)[4] for line in lines] == ["500", "404"]
    assert "ZeroDivisionError" in script.errors


def test_auto_is_json_without_a_terminal():
    script = outcome("auto")
    lines = [line for line in (script.output + script.errors).splitlines() if line.startswith("{")]
    assert len([json.loads(line) for line in lines]) == 2


def test_off_still_shows_errors():
    script = outcome("off")
    assert "404" not in script.output
    assert "ZeroDivisionError" in script.errors


CONFIGURED = """
import configparser, io, logging.config, sys
from outside import OutsideHTTP

def configure():
    if {how!r} == "dictConfig":
        logging.config.dictConfig({{"version": 1}})
    elif {how!r} == "dictConfig, with the root":
        handlers = {{"console": {{"class": "logging.StreamHandler"}}}}
        logging.config.dictConfig({{"version": 1, "handlers": handlers, "root": {{"handlers": ["console"], "level": "INFO"}}}})
    else:
        logging.config.fileConfig(io.StringIO("[loggers]\\nkeys=root\\n[handlers]\\nkeys=console\\n[formatters]\\nkeys=\\n"
            "[logger_root]\\nhandlers=console\\nlevel=INFO\\n[handler_console]\\nclass=StreamHandler\\nargs=(sys.stderr,)\\n"))

server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="common", processes={processes})
server.set_route("/plain", lambda request: 1 / 0)

@server.get("/async")
async def fail(request):
    1 / 0

@server.get("/task")
async def leave_behind(request):
    import asyncio, gc
    async def fail():
        raise LookupError("of a task")
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    return "left"

if {at_startup}:
    server.on_startup(configure)
else:
    configure()
server.run()
"""


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("at_startup", [False, True])
@pytest.mark.parametrize("how", ["dictConfig", "dictConfig, with the root", "fileConfig"])
def test_a_configuration_that_does_not_name_us_silences_no_error(how, at_startup, processes):
    script = Script("-c", CONFIGURED.format(how=how, at_startup=at_startup, processes=processes))
    assert fetch(script.address, "/plain").status == 500
    assert fetch(script.address, "/async").status == 500
    assert fetch(script.address, "/task").text == "left"
    assert script.stop() == 0
    assert script.errors.count("ZeroDivisionError: ") == 2
    assert "GET /plain: the handler failed" in script.errors
    assert "LookupError: of a task" in script.errors
    if how != "dictConfig":
        assert '"GET /plain HTTP/1.1" 500' in script.errors


def test_a_level_still_silences(serve, records):
    logger = logging.getLogger("outside")
    logger.disabled = True
    assert not logger.disabled
    logger.setLevel(logging.CRITICAL)
    running = serve({"/": lambda request: 1 / 0})
    assert running.fetch("/").status == 500
    running.stop()
    assert records.texts() == []


def test_a_vanished_client_is_no_error(serve, records):
    running = serve(lambda request: b"x" * 5_000_000, access_log="common")
    with Wire(running.address) as wire:
        wire.send(request_bytes("/")).receive_some()
    running.fetch("/")
    running.stop()
    assert not [record.whole for record in records.records if record.levelno >= logging.ERROR]
