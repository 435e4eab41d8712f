"""SIGHUP, which ends no server undrained, and signals that a program has kept for itself."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import certificate
from support.harness import Script, wait_until
from support.processes import SIGNALS_PROGRAM, wait_for_end
from support.wire import DEADLINE, Wire, fetch, request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

MODULE = [sys.executable, "-m", "outside"]
COMMAND = [*MODULE, "--port", "0", "--log", "off"]
IGNORING = ["sh", "-c", 'trap "" "$0"; exec "$@"']


@pytest.fixture
def program(tmp_path: Path) -> Iterator[object]:
    """`start(before, *, prefix, command, settings)`: a program in a process of its own, whose standard error is read too."""
    started: list[Script] = []

    def start(
        before: str = "", *, prefix: list[str] | None = None, command: list[str] | None = None, **settings: object
    ) -> Script:
        (tmp_path / "program.py").write_text(SIGNALS_PROGRAM.format(before=before, settings=repr(settings)))
        whole = [*(prefix or []), *(command or [sys.executable, "program.py"])]
        started.append(Script(program=whole, folder=tmp_path, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for script in started:
        script.process.kill()
        script.process.wait()


def wait_for(script: Script, *texts: str) -> str:
    """The next line that contains all of these."""
    while not all(text in (line := script.read_line()) for text in texts):
        pass
    return line


def test_a_single_process_stays_and_starts_its_program_again(program, tmp_path: Path):
    script = program()
    with Wire(script.address) as wire:
        wire.send(request_bytes("/slow"))
        wait_for(script, "begun")
        for _ in range(2):
            script.process.send_signal(signal.SIGHUP)
            wait_for(script, "outside is serving on ")
        wait_until(lambda: fetch(script.address, "/").text != str(script.process.pid), "another process answers")
        (tmp_path / "go").touch()
        assert wire.receive_answer().text == "done"
    assert script.stop() == 0
    assert script.output.count("returned") == 1


def test_with_certificates_it_reads_them_again(program, tmp_path: Path):
    own, other = certificate(tmp_path / "own"), certificate(tmp_path / "other")
    script = program(**own.config)
    own.replace(other)
    script.process.send_signal(signal.SIGHUP)
    wait_for(script, "outside is serving on ")
    with own.client().wrap_socket(Wire(script.address).socket, server_hostname="localhost") as secure:
        assert secure.version() == "TLSv1.3"
    assert script.stop() == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (COMMAND, "SIGHUP: there are no certificates"),
        ([*COMMAND, "redirect", "https://example.com"], "SIGHUP: there are no certificates"),
        ([*MODULE, "run", "program:server"], "outside is serving on "),
    ],
    ids=str,
)
def test_the_command_lives_on_too(program, command: list[str], said: str):
    script = program(command=command)
    script.process.send_signal(signal.SIGHUP)
    wait_for(script, said)
    assert fetch(script.address, "/").status > 0
    assert script.stop() == 0


def test_with_reload_it_starts_the_program_again(program):
    script = program(command=[*MODULE, "run", "program:server", "--reload"])
    before = fetch(script.address, "/").text
    script.process.send_signal(signal.SIGHUP)
    wait_for(script, "SIGHUP: the program is started again")
    wait_until(lambda: fetch(script.address, "/").text != before, "another process answers")
    assert script.stop() == 0


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "program.py"],
        COMMAND,
        [*MODULE, "run", "program:server"],
        [*MODULE, "run", "program:server", "--reload"],
    ],
    ids=" ".join,
)
def test_an_ignored_one_stays_ignored(program, command: list[str]):
    script = program(prefix=[*IGNORING, "HUP"], command=command)
    script.process.send_signal(signal.SIGHUP)
    assert fetch(script.address, "/").status > 0
    assert script.stop() == 0
    assert "SIGHUP" not in script.output


def test_that_of_the_program_is_called(program):
    script = program("signal.signal(signal.SIGHUP, lambda *_: print('own', flush=True))")
    script.process.send_signal(signal.SIGHUP)
    wait_for(script, "own")
    assert script.stop() == 0
    assert "SIGHUP" not in script.output


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "program.py"], [*MODULE, "run", "program:server"], [*MODULE, "run", "program:server", "--reload"]],
    ids=" ".join,
)
def test_a_terminal_that_closes_ends_it_in_order(tmp_path: Path, command: list[str]):
    """A request in flight is answered, and so is a second SIGHUP, as shells send it."""
    end = tmp_path / "end"
    before = f"server.on_shutdown(lambda: (os.kill(os.getpid(), signal.SIGHUP), open({str(end)!r}, 'w').write('in order')))"
    # At its end its output has no reader.
    (tmp_path / "program.py").write_text(
        SIGNALS_PROGRAM.format(before=before, settings={}).replace('print("returned", flush=True)', "pass")
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(command[0], command)
    heard = b""

    def hear(text: bytes) -> None:
        nonlocal heard
        while text not in heard:
            assert select.select([terminal], [], [], DEADLINE)[0], heard
            heard += os.read(terminal, 4096)

    hear(b"(Ctrl+C stops it)\r\n")
    port = int(heard.partition(b"http://127.0.0.1:")[2].split()[0])
    with Wire(("127.0.0.1", port)) as wire, Wire(("127.0.0.1", port)) as other:
        other.send(request_bytes("/")).receive_answer()
        wire.send(request_bytes("/slow"))
        hear(b"begun\r\n")
        os.close(terminal)
        # It drains: a connection that rests is closed.
        other.receive_end()
        (tmp_path / "go").touch()
        assert wire.receive_answer().text == "done"
    wait_for_end(pid)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    wait_until(end.exists, "the end of the program")
    assert end.read_text() == "in order"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_ignored_sigterm_is_said_and_the_server_can_be_told_to_end(program, processes: int):
    script = program(prefix=[*IGNORING, "TERM"], processes=processes)
    assert "WARNING SIGTERM is ignored, since the process that started this one ignored it" in script.before_url
    script.process.terminate()
    fetch(script.address, "/end")
    wait_for(script, "returned")
    assert script.wait() == 0


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_handler_of_the_program_is_named(program, processes: int, name: str):
    script = program(f"signal.signal(signal.{name},\n    lambda *_: print('own', flush=True))", processes=processes)
    assert f"WARNING {name} has a handler of the program's own (" in script.before_url
    assert "program.py:16): it ends the server only by calling server.terminate()" in script.before_url
    script.process.send_signal(getattr(signal, name))
    wait_for(script, "own")
    fetch(script.address, "/end")
    wait_for(script, "returned")
    assert script.wait() == 0


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "handler", ["server.terminate", "lambda *a: server.terminate(*a)", "__import__('functools').partial(server.terminate)"]
)
def test_one_that_ends_the_server_is_not_warned_of(program, processes: int, handler: str):
    script = program(f"signal.signal(signal.SIGTERM, {handler})", processes=processes)
    assert "WARNING" not in script.before_url
    script.process.terminate()
    wait_for(script, "returned")
    assert script.wait() == 0


def test_a_sigint_that_is_ignored_is_usual(program):
    script = program(prefix=[*IGNORING, "INT"])
    assert script.before_url == ""
    assert script.stop() == 0
