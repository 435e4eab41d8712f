"""Generations: reloads that lose nothing, those that fail, programs that have none, and the messages to the service manager."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import sys

import pytest

from support.harness import Script, wait_until
from support.processes import (  # noqa: F401 - a fixture
    WORKERS_PROGRAM,
    Load,
    Processes,
    Watched,
    reload_under_load,
    start_contained,
    start_processes,
    wait_for_end,
)
from support.wire import Wire, fetch, request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def test_reload_without_losing_a_request(tmp_path):
    assert reload_under_load(tmp_path, reloads=3, least=4000) >= 4000


def test_an_idle_connection_may_send_one_more_request(start_processes):
    script = start_processes()
    with Wire(script.address) as idle, Wire(script.address) as unused:
        assert idle.send(request_bytes("/echo?n=1")).receive_answer().header("Connection") is None
        script.reload()
        for wire in (idle, unused):
            answers = ask_until_closed(wire)
            assert answers[-1] == ("2", "close")
            # It may have been quicker than the signal.
            assert set(answers[:-1]) <= {("2", None)}
    assert script.process.poll() is None
    assert script.stop() == 0


def ask_until_closed(wire: Wire) -> list[tuple[str, str | None]]:
    answers = []
    while not answers or answers[-1][1] != "close":
        answer = wire.send(request_bytes("/echo?n=2")).receive_answer()
        answers.append((answer.text, answer.header("Connection")))
    wire.receive_end()
    return answers


def test_requests_in_flight_during_a_reload_are_answered(start_processes):
    script = start_processes()
    with Wire(script.address) as wire:
        wire.send(request_bytes("/slow"))
        script.wait_for("begun")
        script.reload()
        answer = wire.receive_answer()
        assert answer.text == "done"
        if answer.header("Connection") != "close":  # it was quicker than the signal
            assert ask_until_closed(wire)[-1] == ("2", "close")
        wire.receive_end()
    assert script.process.poll() is None
    assert script.stop() == 0


def test_an_idle_connection_is_closed_after_drain_idle(start_processes):
    script = start_processes(drain_idle=0.2)
    with Wire(script.address) as idle:
        idle.send(request_bytes("/echo?n=1")).receive_answer()
        script.reload()
        idle.receive_end()
    assert script.process.poll() is None
    assert script.stop() == 0


def test_a_reload_takes_the_program_as_it_is_now(start_processes):
    script = start_processes(drain_idle=0)
    address = script.address
    script.change(processes=3, drain_idle=0)
    before = script.workers()
    script.reload()
    assert "with 3 processes" in script.heard[-1]
    for worker in before.values():
        wait_for_end(worker)
    assert script.process.poll() is None
    assert script.answering_worker()[1] == script.supervisor != script.process.pid
    assert f":{address[1]} " in script.heard[-1]
    assert script.stop() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_no_listener_is_left_unserved(start_processes, processes):
    """Fewer workers than listeners would leave clients waiting."""
    script = start_processes(processes=3, drain_idle=0)
    script.change(processes=processes, drain_idle=0)
    before = script.workers()
    script.reload()
    assert ("with 3 processes" in script.heard[-1]) == (processes > 1), "one process accepts from all of them"
    for worker in before.values():
        wait_for_end(worker)
    assert all(script.supervisor in script.answering_worker() for _ in range(30))
    assert script.stop() == 0


@pytest.mark.timed
@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ({"trouble": "raise"}, "ended with exit status 1 before it was ready"),
        ({"start": "raise"}, "ended with exit status 3 before it was ready"),
        ({"trouble": "hang"}, "was not ready within"),
        ({"start": "hang"}, "was not ready within"),
    ],
    ids=str,
)
def test_a_generation_that_fails_leaves_the_old_one_serving(start_processes, trouble, why):
    script = start_processes(test={"ready_within": 6 if "hang" in trouble.values() else 20})
    script.change(test=trouble)
    load = Load(script.address)
    os.kill(script.process.pid, signal.SIGHUP)
    assert why in script.wait_for("the one before it goes on serving")
    load.wait_for(100)
    load.stop()
    assert load.faults == []
    assert script.answering_worker()[1] == script.process.pid
    script.change(test={})
    os.kill(script.process.pid, signal.SIGHUP)
    script.wait_for("outside is serving on ")
    assert script.process.poll() is None
    assert script.stop() == 0


def test_the_end_is_the_end_of_a_new_generation_too(start_processes):
    script = start_processes()
    script.change(test={"trouble": "hang"})
    script.send_signal(signal.SIGHUP)
    script.wait_for("hanging")
    script.process.send_signal(signal.SIGTERM)
    assert script.wait() == 0


def test_one_reload_at_a_time_but_the_last_one_counts(start_processes):
    script = start_processes(test={"ready_within": 6})
    script.change(test={"trouble": "hang"})
    script.send_signal(signal.SIGHUP)
    script.wait_for("hanging")
    script.change(test={}, drain_idle=0)
    for _ in range(3):
        script.process.send_signal(signal.SIGHUP)
    script.wait_for("is being started already")
    script.wait_for("the one before it goes on serving")
    script.wait_for("outside is serving on ")
    assert script.process.poll() is None
    assert script.stop() == 0


def test_a_reload_of_a_retiring_generation_is_for_its_successor(start_processes):
    script = start_processes()
    with Wire(script.address) as idle:
        idle.send(request_bytes("/echo?n=1")).receive_answer()
        script.reload()
        second = script.supervisor
        script.wait_for(f"the new generation (process {second}) serves")
        script.process.send_signal(signal.SIGHUP)
        script.wait_for("outside is serving on ")
        assert script.supervisor not in (script.process.pid, second)
    assert script.stop() == 0


def test_a_program_without_a_file_says_so(start_processes):
    script = Script("-c", WORKERS_PROGRAM)
    script.process.send_signal(signal.SIGHUP)
    assert "cannot be started again: the program was given with -c" in script.read_line()
    assert fetch(script.address).status == 404
    assert script.stop() == 0


def test_a_program_that_is_gone_says_so(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WORKERS_PROGRAM)
    script = Script(str(program))
    program.unlink()
    script.process.send_signal(signal.SIGHUP)
    assert "cannot be started again: there is no " in script.read_line()
    assert script.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["app.py", "-c"], ("file", "app.py")),
        (["-X", "dev", "-Wd", "-I", "app.py"], ("file", "app.py")),
        (["-Xdev", "-m", "app", "x"], ("module", "app")),
        (["-Imapp"], ("module", "app")),
        (["-Ic", "code"], ("code", "code")),
        (["--check-hash-based-pycs", "always", "app.py"], ("file", "app.py")),
        (["-", "x"], ("input", "")),
        (["-u"], ("input", "")),
        ([], ("input", "")),
    ],
    ids=str,
)
def test_the_command_line_is_read_as_python_reads_it(arguments, found):
    from outside._process.generation import _program

    assert _program(arguments) == found


def test_one_process_adopts_a_listener_too(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    program = tmp_path / "program.py"
    program.write_text(WORKERS_PROGRAM.replace("processes=2", "processes=1"))
    starter = (
        "import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
        "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\nos.execv(sys.executable, sys.argv[2:])"
    )
    number = listener.fileno()
    script = Script("-c", starter, str(number), sys.executable, str(program), descriptors=[number])
    with listener:
        assert script.address == listener.getsockname()
    assert fetch(script.address).status == 404
    assert script.stop() == 0


def test_a_closed_terminal_is_no_reload(tmp_path):
    """The kernel sends SIGHUP to the processes that were started from it."""
    program = tmp_path / "program.py"
    program.write_text(WORKERS_PROGRAM.replace("server.run()", "server.config['on_worker_start'] = print_worker\nserver.run()"))
    program.write_text("import os\ndef print_worker(slot): os.write(1, b'worker %d\\n' % os.getpid())\n" + program.read_text())
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(program)])
    heard = b""
    while b"outside is serving on " not in heard:
        assert select.select([terminal], [], [], 10)[0], heard
        heard += os.read(terminal, 4096)
    os.close(terminal)
    wait_for_end(pid)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    workers = re.findall(rb"worker (\d+)", heard)
    assert len(workers) == 2
    for worker in workers:
        wait_for_end(int(worker))


# the service manager


def test_the_service_manager_is_told(start_processes):
    script = start_processes(Watched)
    assert script.told() == ["READY=1"]
    script.reload()
    reloading, clock = script.told()
    assert reloading == "RELOADING=1"
    assert clock.startswith("MONOTONIC_USEC=")
    assert script.told() == ["READY=1"]
    script.change(test={"trouble": "raise"})
    script.send_signal(signal.SIGHUP)
    assert script.told()[0] == "RELOADING=1"
    assert script.told() == ["READY=1"]
    assert script.stop() == 0
    assert script.told() == ["STOPPING=1"]
    script.manager.close()


def test_the_service_manager_is_told_of_one_process_too(start_processes):
    script = start_processes(Watched, processes=1)
    assert script.told() == ["READY=1"]
    with Wire(script.address) as wire:
        wire.send(request_bytes("/slow"))
        script.wait_for("begun")
        script.process.terminate()
        assert script.told() == ["STOPPING=1"], "when the end begins, not when it is over"
        assert wire.receive_answer().text == "done"
    assert script.wait() == 0
    script.manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        script.told()
    script.manager.close()


def test_process_1_of_a_container_outlives_generations(tmp_path):
    script = start_contained(tmp_path)
    try:
        assert "generation 1\n" in script.before_url
        first = script.process_1()
        for _ in range(2):
            os.kill(first, signal.SIGHUP)
            script.wait_for("outside is serving on ")
            assert fetch(script.address, "/echo?n=1").text == "1"
        wait_until(lambda: script.count_inside() == 4, "old generations are gone")
        os.kill(first, signal.SIGTERM)
        assert script.wait() == 0
        assert script.output.count("returned") == 1
    finally:
        script.process.kill()  # and with it, the processes inside
