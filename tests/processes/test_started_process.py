"""The process that was started stays while generations of its program come and go, whether it has one process or several."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import sys
from pathlib import Path

import pytest

from support.certificates import certificate
from support.harness import Script, wait_until
from support.processes import (  # noqa: F401 - a fixture
    SIGNALS_PROGRAM,
    WORKERS_PROGRAM,
    Load,
    Processes,
    Watched,
    refused,
    start_contained,
    start_processes,
    wait_for_end,
)
from support.wire import DEADLINE, Wire, fetch, request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

EITHER = pytest.mark.parametrize("processes", [1, 2])


def hang_up(script: Processes) -> int:
    """Reloads by a signal to the process that was started; the process id of the generation that serves then."""
    script.process.send_signal(signal.SIGHUP)
    script.wait_for(") serves")
    return script.supervisor


def wait_for_ends(workers: dict[int, int]) -> None:
    for pid in workers.values():
        wait_for_end(pid)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@EITHER
def test_it_stays_through_reloads_under_load(start_processes, processes):
    script = start_processes(processes=processes)
    load = Load(script.address, persistent=3, fresh=2)
    generations = {script.process.pid}
    for _ in range(3):
        load.wait_for(300)
        generation = hang_up(script)
        assert parent_of(generation) == script.process.pid
        generations.add(generation)
    load.wait_for(300)
    load.stop()
    assert load.faults == []
    assert len(generations) == 4 and script.process.poll() is None
    for old in generations - {generation, script.process.pid}:
        wait_for_end(old)
    serving, parent = script.answering_worker()
    assert generation == (serving if processes == 1 else parent)
    script.process.terminate()
    assert script.wait() == 0
    wait_for_end(generation)
    assert refused(script.address)
    everything = "\n".join([*script.heard, script.output])
    assert everything.count("returned") == 1, "what follows run() is for one process"
    # Each generation has cleaned up after itself.
    assert everything.count("cleanup") == 4


@EITHER
def test_a_version_that_fails_leaves_the_old_one_serving(start_processes, processes):
    script = start_processes(processes=processes)
    before = script.answering_worker()[0] if processes == 1 else script.process.pid
    for trouble in ({"trouble": "raise"}, {"trouble": "raise"}):
        script.change(processes=processes, test=trouble)
        script.process.send_signal(signal.SIGHUP)
        assert "ended with exit status 1 before it was ready" in script.wait_for("the one before it goes on serving")
        assert before in script.answering_worker()
    script.change(processes=processes, test={})
    generation = hang_up(script)
    script.change(processes=processes, test={"trouble": "raise"})
    script.process.send_signal(signal.SIGHUP)
    script.wait_for("the one before it goes on serving")
    wait_until(lambda: generation in script.answering_worker(), "the first process has drained")
    script.process.terminate()
    assert script.wait() == 0


@EITHER
def test_the_end_during_a_reload(start_processes, processes):
    script = start_processes(processes=processes)
    script.change(processes=processes, test={"trouble": "hang"})
    script.process.send_signal(signal.SIGHUP)
    script.wait_for("hanging")
    script.process.terminate()
    assert script.wait() == 0
    wait_for_end(script.supervisor)
    assert refused(script.address)


@EITHER
def test_reloads_that_follow_each_other_quickly_are_one(start_processes, processes):
    script = start_processes(processes=processes, test={"ready_within": 6})
    script.change(processes=processes, test={"trouble": "hang"})
    script.process.send_signal(signal.SIGHUP)
    script.wait_for("hanging")
    script.change(processes=processes, drain_idle=0)
    for _ in range(3):
        script.process.send_signal(signal.SIGHUP)
    script.wait_for("is being started already")
    script.wait_for("was not ready within 6 s; the one before it goes on serving")
    script.wait_for("outside is serving on ")
    assert script.supervisor != script.process.pid
    script.process.terminate()
    assert script.wait() == 0
    everything = "\n".join([*script.heard, script.output])
    assert everything.count("generation ") - everything.count("new generation ") == 2, "one after the first"


@EITHER
def test_a_generation_that_is_killed_is_replaced_and_loses_no_connection_that_waits(start_processes, processes):
    script = start_processes(processes=processes, drain_idle=0)
    generation = hang_up(script)
    for _ in range(2):
        os.kill(generation, signal.SIGKILL)
        script.wait_for(f"(process {generation}) was killed by SIGKILL; the program is started again")
        with Wire(script.address) as wire:
            wire.send(request_bytes("/echo?n=1"))
            assert wire.receive_answer().text == "1"
        script.wait_for("outside is serving on ")
        assert generation != script.supervisor
        generation = script.supervisor
        script.wait_for(f"(process {generation}) serves")
    script.process.terminate()
    assert script.wait() == 0


@EITHER
def test_generations_end_when_the_process_that_was_started_is_killed(start_processes, processes):
    script = start_processes(processes=processes)
    hang_up(script)
    everybody = {script.supervisor, script.answering_worker()[0]}
    script.process.kill()
    for pid in everybody:
        wait_for_end(pid)
    assert refused(script.address)


@EITHER
def test_the_end_finishes_what_two_generations_are_at(start_processes, processes):
    script = start_processes(processes=processes)
    with Wire(script.address) as old:
        old.send(request_bytes("/slow"))
        script.wait_for("begun")
        script.process.send_signal(signal.SIGHUP)
        script.wait_for(") serves")
        assert old.receive_answer().text == "done"
        with Wire(script.address) as new:
            new.send(request_bytes("/slow"))
            script.wait_for("begun")
            script.process.terminate()
            assert new.receive_answer().text == "done"
    assert script.wait() == 0


@EITHER
def test_a_second_signal_cuts_what_a_generation_is_at(start_processes, processes):
    script = start_processes(processes=processes, termination_timeout=60)
    script.change(processes=processes, termination_timeout=60)
    workers = script.workers()
    hang_up(script)
    wait_for_ends(workers)
    wait_until(lambda: script.supervisor in script.answering_worker(), "the first process has drained")
    with Wire(script.address) as wire:
        wire.send(request_bytes("/stuck"))
        script.wait_for("begun")
        script.process.send_signal(signal.SIGINT)
        wait_until(lambda: refused(script.address), "the port is closed")
        script.process.send_signal(signal.SIGINT)
        wire.receive_end()
    assert script.wait() == 0


@EITHER
def test_a_generation_that_ends_by_itself_ends_the_server(start_processes, processes):
    script = start_processes(processes=processes)
    workers = script.workers()
    hang_up(script)
    wait_for_ends(workers)
    wait_until(lambda: script.supervisor in script.answering_worker(), "the first process has drained")
    assert fetch(script.address, "/end").text == "ending"
    assert script.wait() == 0
    assert "\n".join([*script.heard, script.output]).count("returned") == 1


@EITHER
def test_listeners_come_and_go_with_generations(start_processes, processes, tmp_path):
    def also(*places: object) -> dict[str, object]:
        return {"processes": processes, "drain_idle": 0, "test": {"also": [[place, False] for place in places]}}

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = tmp_path / "app.sock"
    script = start_processes(**also(f"unix:{file}"))
    assert file.exists()
    script.change(**also(["127.0.0.1", port]))
    hang_up(script)
    wait_until(lambda: not file.exists(), "the file of a socket that is not wanted any more is removed")
    assert fetch(("127.0.0.1", port), "/echo?n=1").text == "1"
    hang_up(script)
    wait_until(lambda: script.supervisor in script.answering_worker(), "the first process has drained")
    assert fetch(("127.0.0.1", port), "/echo?n=2").text == "2", "what one generation has bound, the next one has"
    script.change(**also())
    hang_up(script)
    wait_until(lambda: refused(("127.0.0.1", port)), "it is closed")
    script.change(**also(f"unix:{file}"))
    hang_up(script)
    assert file.exists()
    script.process.terminate()
    assert script.wait() == 0
    assert not file.exists()


def test_the_service_manager_is_told_of_a_reload_of_one_process(start_processes):
    script = start_processes(Watched, processes=1, drain_idle=0)
    script.change(processes=1, drain_idle=0)
    assert script.told() == ["READY=1"]
    for _ in range(2):
        script.process.send_signal(signal.SIGHUP)
        reloading, clock = script.told()
        assert reloading == "RELOADING=1" and clock.startswith("MONOTONIC_USEC=")
        assert script.told() == ["READY=1"]
    script.change(processes=1, test={"trouble": "raise"})
    script.process.send_signal(signal.SIGHUP)
    assert script.told()[0] == "RELOADING=1"
    assert script.told() == ["READY=1"]
    script.process.terminate()
    assert script.told() == ["STOPPING=1"]
    assert script.wait() == 0
    script.manager.settimeout(0)
    with pytest.raises(BlockingIOError):
        script.told()
    script.manager.close()


VERSION = """\
import logging, os, sys
from outside import OutsideHTTP
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(message)s")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", drain_idle=0, **{settings})
server.set_route("/", lambda request: "{version}")
{before}
if __name__ == "__main__":
    server.run()
"""


def write(folder: Path, version: str, before: str = "", **settings: object) -> None:
    (folder / "app.py").write_text(VERSION.format(version=version, before=before, settings=settings))


@pytest.mark.parametrize("words", [["app.py"], ["-m", "app"], ["-m", "outside", "run", "app:server"]], ids=" ".join)
def test_one_process_takes_the_program_as_it_is_now(tmp_path, words):
    write(tmp_path, "one")
    script = Script(program=[sys.executable, *words], folder=tmp_path)
    try:
        for version in ("two", "three"):
            write(tmp_path, version)
            script.process.send_signal(signal.SIGHUP)
            wait_until(lambda version=version: fetch(script.address, "/").text == version, "the new version answers")
        script.process.terminate()
        assert script.wait() == 0
        assert refused(script.address)
    finally:
        script.process.kill()


def test_a_reload_reads_certificates_again(tmp_path):
    own, other = certificate(tmp_path / "own"), certificate(tmp_path / "other")
    write(tmp_path, "one", **own.config)
    script = Script(program=[sys.executable, "app.py"], folder=tmp_path)
    try:
        context = other.client()
        own.replace(other)
        script.process.send_signal(signal.SIGHUP)
        while "serves" not in script.read_line():
            pass
        with context.wrap_socket(Wire(script.address).socket, server_hostname="localhost") as secure:
            assert secure.version() == "TLSv1.3"
        assert script.stop() == 0
    finally:
        script.process.kill()


def test_another_server_of_the_same_process_keeps_its_port(tmp_path):
    """A second process could not listen where a thread of the first one does."""
    before = (
        "import threading\nfrom outside import OutsideHTTP_Redirect\n"
        "other = OutsideHTTP_Redirect(('127.0.0.1', 0), 'https://example.com')\nother.config['access_log'] = 'off'\n"
        "threading.Thread(target=other.run, daemon=True).start()\nother.wait_until_ready(10)\n"
    )
    write(tmp_path, "one", before)
    script = Script(program=[sys.executable, "app.py"], folder=tmp_path)
    try:
        assert "outside is serving on" in script.read_line(), "both are ready"
        script.process.send_signal(signal.SIGHUP)
        while "the program cannot be started again: another server of this process listens at" not in script.read_line():
            pass
        assert script.stop() == 0
    finally:
        script.process.kill()


def test_process_1_of_a_container_serves_by_itself_and_reaps(tmp_path):
    script = start_contained(tmp_path)
    try:
        first = script.process_1()
        os.kill(first, signal.SIGHUP)
        script.wait_for("outside is serving on ")
        wait_until(lambda: script.count_inside() == 4, "process 1, a generation and its workers")
        children = Path(f"/proc/{first}/task/{first}/children")
        generation = int(children.read_text())
        os.kill(generation, signal.SIGKILL)
        script.wait_for("outside is serving on ")
        # The workers of the one that was killed have become children of process 1.
        wait_until(lambda: len(children.read_text().split()) == 1 and script.count_inside() == 4, "they were waited for")
        os.kill(first, signal.SIGTERM)
        assert script.wait() == 0
    finally:
        script.process.kill()


@EITHER
def test_a_terminal_that_closes_after_a_reload_ends_everything_in_order(tmp_path, processes):
    """All processes have the signal of the kernel, and the one that was started tells the others besides: that is one end."""
    (tmp_path / "program.py").write_text(
        SIGNALS_PROGRAM.format(before="", settings={"processes": processes}).replace('print("returned", flush=True)', "pass")
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "program.py"])
    heard = b""

    def hear(text: bytes, times: int = 1) -> None:
        nonlocal heard
        while heard.count(text) < times:
            assert select.select([terminal], [], [], 2 * DEADLINE)[0], heard
            heard += os.read(terminal, 4096)

    hear(b"(Ctrl+C stops it)\r\n")
    address = ("127.0.0.1", int(heard.partition(b"http://127.0.0.1:")[2].split()[0]))
    first = fetch(address, "/").text
    workers = [int(name) for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    os.kill(pid, signal.SIGHUP)
    hear(b"(Ctrl+C stops it)\r\n", times=2)
    for worker in workers:
        wait_for_end(worker)
    wait_until(lambda: fetch(address, "/").text != first, "the generation answers")
    with Wire(address) as wire, Wire(address) as other:
        other.send(request_bytes("/")).receive_answer()
        wire.send(request_bytes("/slow"))
        hear(b"begun\r\n")
        os.close(terminal)
        # It drains: a connection that rests is closed.
        other.receive_end()
        (tmp_path / "go").touch()
        assert wire.receive_answer().text == "done"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_one_process_of_a_program_without_a_file_serves_on():
    script = Script("-c", WORKERS_PROGRAM.replace("processes=2", "processes=1"))
    script.process.send_signal(signal.SIGHUP)
    assert "cannot be started again: the program was given with -c" in script.read_line()
    assert fetch(script.address).status == 404
    assert script.stop() == 0
