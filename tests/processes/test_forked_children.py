"""Processes that a program forks while it serves: signals mean the same to them as elsewhere, and they keep nothing of the server."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from support.harness import PROGRAMS, Script, wait_until
from support.wire import Wire, fetch, request_bytes

PROGRAM = PROGRAMS / "forking_app.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are looked at in /proc")


@pytest.fixture(params=["1 process", "2 processes"])
def script(request):
    script = Script(str(PROGRAM), request.param[0])
    yield script
    if script.process.poll() is None:
        script.process.kill()
        script.process.wait()


def ask(script: Script, target: str):
    return json.loads(fetch(script.address, target).text)


def sockets_of(pid: int) -> list[str]:
    """The open descriptors of this process that are no files."""
    kinds = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            kinds.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return [kind for kind in kinds if kind.startswith(("socket:", "anon_inode:"))]


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_child_can_be_terminated(script, style):
    status = ask(script, f"/{style}/terminated")
    assert status == -signal.SIGTERM
    assert ask(script, "/plain/interrupted") == "KeyboardInterrupt"
    assert script.stop() == 0


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_pool_ends(script, style):
    assert ask(script, f"/{style}/pool") == [1, 4, 9]
    assert script.stop() == 0


def test_a_child_has_none_of_the_descriptors(script):
    for style in ("plain", "async"):
        pid = ask(script, f"/{style}/start")
        # The program's own socket stays.
        assert len(sockets_of(pid)) == 1, sockets_of(pid)
        os.kill(pid, signal.SIGTERM)
    assert script.stop() == 0


def test_a_connection_ends_though_a_child_lives(script):
    with Wire(script.address) as wire:
        wire.send(request_bytes("/plain/start", headers={"Connection": "close"})).receive_rest()
    assert script.stop() == 0


def test_the_server_ends_though_a_daemonic_child_lives(script):
    pid = ask(script, "/plain/start")
    assert script.stop() == 0
    wait_until(lambda: not os.path.exists(f"/proc/{pid}") or is_zombie(pid), "the end of the child")


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_handler_of_the_program_stays(script):
    assert ask(script, "/plain/own") == [True, "SIG_DFL"]
    assert script.stop() == 0


@pytest.mark.parametrize("style", ["plain", "async"])
@pytest.mark.parametrize(("end", "status"), [("returns", 0), ("raises", 1), ("exits", 7)])
def test_a_child_that_comes_back_from_its_handler_ends(script, style, end, status):
    """It has no server to answer for; the parent answers, once."""
    with Wire(script.address) as wire:
        answer = wire.send(request_bytes(f"/{style}/fork?{end}")).receive_answer()
        assert json.loads(answer.text) == status
        assert wire.send(request_bytes("/plain/own")).receive_answer().status == 200
    assert script.stop() == 0


def test_a_child_may_serve_by_itself(script):
    assert ask(script, "/plain/serve") == "from the child"
    assert script.stop() == 0


def test_a_program_that_was_started_is_as_ever(script):
    assert ask(script, "/plain/started") == "SIG_DFL"
    assert script.stop() == 0
