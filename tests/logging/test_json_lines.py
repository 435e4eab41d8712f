"""JSON where it is asked for: one switch for exchanges and events of all processes, and a formatter for programs that configure logging."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from support.harness import Script
from support.wire import Wire, fetch, request_bytes

PROGRAM = """\
import logging, os, sys
import outside
from outside import OutsideHTTP
if sys.argv[2] == "configured":
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(outside.JSONFormatter())
    logging.basicConfig(level="INFO", handlers=[handler])
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="json", processes=int(sys.argv[1]))
@server.get("/pid")
def pid(request):
    logging.getLogger("shop").warning("ordered\\nby %s", request.id)
    return str(os.getpid())
@server.get("/fail")
def fail(request):
    raise ValueError("failed")
server.run()
"""


def lines(folder: Path, how: str) -> list[dict]:
    """What a server of two processes has said: two exchanges, a failure, and the end of a worker."""
    (folder / "program.py").write_text(PROGRAM)
    script = Script("program.py", "2", how, folder=folder)
    with Wire(script.address) as wire:
        assert wire.send(request_bytes("/fail")).receive_answer().status == 500
        failed = wire.send(request_bytes("/pid")).receive_answer().text
    # The other one: a worker that is killed loses the lines of its last moment.
    while (other := fetch(script.address, "/pid").text) == failed:
        pass
    os.kill(int(other), signal.SIGKILL)
    while fetch(script.address, "/pid").text in (other, failed):
        pass
    assert script.stop() == 0
    said = [line for line in script.errors.splitlines() if how == "configured" or not line.startswith(("ordered", "by "))]
    return [json.loads(line) for line in said]


def check(found: list[dict]) -> None:
    exchanges = [line for line in found if "status" in line]
    events = [line for line in found if "event" in line]
    assert len(exchanges) + len(events) == len(found)
    assert any(line["status"] == 500 and line["target"] == "/fail" for line in exchanges)
    (failed,) = (line for line in events if "exception" in line)
    assert (failed["level"], failed["event"]) == ("error", "GET /fail: the handler failed")
    assert failed["exception"].endswith("ValueError: failed") and len(failed["request_id"]) == 32
    assert any("was killed by SIGKILL; it is replaced" in line["event"] for line in events)
    for line in found:
        assert line["time"].endswith("Z")


def test_one_switch_for_exchanges_and_events_of_all_processes(tmp_path: Path):
    check(lines(tmp_path, "usual"))


def test_the_formatter_of_a_program_that_configures_logging(tmp_path: Path):
    found = lines(tmp_path, "configured")
    check(found)
    shop = [line for line in found if line.get("logger") == "shop"]
    assert shop and all(line["event"] == f"ordered\nby {line['request_id']}" for line in shop)
