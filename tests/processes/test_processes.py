"""Several processes: workers that die and come back, their hooks, drains and cuts, and refusals."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

from outside import OutsideHTTP
from outside._process.workers import LONGEST_PAUSE, Slot, Worker
from support.harness import Script, wait_until
from support.processes import Processes, kill_under_load, refused, start_processes, stopped, wait_for_end  # noqa: F401 - a fixture
from support.wire import Wire, fetch, request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


# workers


def test_every_worker_answers_and_is_a_child_of_the_first_process(start_processes):
    script = start_processes()
    assert set(script.workers()) == {0, 1}
    script.wait_for_workers(set(script.workers().values()))
    assert script.answering_worker()[1] == script.supervisor == script.process.pid
    assert "with 2 processes" in script.line
    assert script.stop() == 0
    assert script.output.count("returned") == 1
    assert f"returned {script.process.pid}" in script.output


def test_auto_is_a_worker_for_each_core(start_processes):
    script = start_processes(processes="auto")
    assert len(script.workers()) == len(os.sched_getaffinity(0))
    assert script.stop() == 0


def test_a_killed_worker_is_replaced_on_the_same_port_while_the_other_serves(start_processes):
    script = start_processes()
    first = script.workers()
    os.kill(first[0], signal.SIGKILL)
    script.wait_for(f"worker 0 (process {first[0]}) was killed by SIGKILL; it is replaced at once")
    for _ in range(50):
        assert script.answering_worker()[0] != first[0]
    if script.workers()[0] == first[0]:
        script.wait_for("worker 0")
    script.wait_for_workers({script.workers()[0], first[1]})
    assert script.stop() == 0


def test_connections_that_wait_for_a_worker_survive_it(start_processes):
    script = start_processes()
    for pid in script.workers().values():
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda pid=pid: stopped(pid), "the worker is stopped")
    wires = [Wire(script.address) for _ in range(20)]
    for number, wire in enumerate(wires):
        wire.send(request_bytes(f"/echo?n={number}"))
    for pid in script.workers().values():
        os.kill(pid, signal.SIGKILL)
    for number, wire in enumerate(wires):
        assert wire.receive_answer().text == str(number)
        wire.close()
    assert script.stop() == 0


def test_killed_workers_lose_only_their_own_requests(tmp_path):
    figures = kill_under_load(tmp_path, kills=4, pause=0)
    assert figures["before"]["threads"][0] == figures["after"]["threads"][0] == 1
    assert figures["before"]["descriptors"] == figures["after"]["descriptors"]


def test_a_worker_that_dies_young_is_replaced_ever_more_slowly():
    slot, pauses = Slot(0), []
    for _ in range(10):
        pauses.append(slot.pause_after(Worker(0, 1, 2, None)))
    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE
    old = Worker(0, 1, 2, None)
    old.ready_since = 0.0
    assert slot.pause_after(old) == 0.0
    assert slot.pause_after(Worker(0, 1, 2, None)) == 0.0


def test_workers_end_when_their_supervisor_is_gone(start_processes):
    script = start_processes()
    script.process.kill()
    for pid in script.workers().values():
        wait_for_end(pid)
    assert refused(script.address)


@pytest.mark.timed
def test_a_worker_with_a_handler_that_does_not_end_is_replaced_and_then_gone(start_processes):
    script = start_processes(process_timeout=0.3, drain_idle=0.1, termination_timeout=0.3)
    with Wire(script.address) as wire:
        wire.send(request_bytes("/stuck-in-c"))
        worker = script.wait_for("stuck").split()[1]
        assert wire.receive_answer().status == 504
        script.wait_for_all(
            "does not end", "return os.read(", f"(process {worker}) has a handler that does not end; it is replaced"
        )
        wait_for_end(int(worker))
    script.wait_for_workers(set(script.workers().values()) - {int(worker)})
    assert script.stop() == 0


@pytest.mark.timed
def test_a_worker_whose_python_stands_still_is_replaced_and_then_killed(start_processes):
    script = start_processes(process_timeout=0.3, drain_idle=0.1, termination_timeout=0.1, test={"grace": 0.5})
    with Wire(script.address) as wire:
        wire.send(request_bytes("/hold"))
        worker = script.wait_for("holding").split()[1]
        assert wire.receive_answer().status == 504
        script.wait_for(f"(process {worker}) has a handler that does not end; it is replaced")
        # Its accepted connections get 504; then the worker that stands still accepts none any more.
        wait_until(lambda: fetch(script.address, "/worker").status == 200, "the others answer")
        script.wait_for(f"(process {worker}) had not ended in time and is killed")
        wait_for_end(int(worker))
    assert script.stop() == 0


def test_the_environment_of_workers_is_the_programs(start_processes):
    script = start_processes()
    script.reload()
    names = fetch(script.address, "/environment").text.split("\n")
    assert [name for name in names if name.startswith(("LISTEN_", "OUTSIDE_"))] == []
    assert script.stop() == 0


def test_workers_share_a_unix_socket(start_processes, tmp_path):
    script = start_processes(UnixProcesses, host=f"unix:{tmp_path}/app.sock")
    assert script.ask("/echo?n=1") == "1"
    script.reload()
    assert script.ask("/echo?n=2") == "2"
    assert script.stop() == 0
    assert not (tmp_path / "app.sock").exists()


class UnixProcesses(Processes):
    def read_line(self) -> str:
        # The harness waits for a URL with a port.
        return super().read_line().replace("http+unix:", "http://unix:1")

    def ask(self, target: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.settings.parent / "app.sock"))
            connection.sendall(request_bytes(target, headers={"Connection": "close"}))
            return b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[2].decode()


# hooks


def test_hooks_run_in_each_worker_and_cleanup_once(start_processes):
    script = start_processes()
    workers = script.workers()
    assert script.stop() == 0
    for slot, pid in workers.items():
        assert script.output.count(f"stopped {slot} {pid}\n") == 1
    assert script.output.count("cleanup") == 1
    assert f"cleanup {script.process.pid}" in script.output


def test_a_stop_hook_that_fails_is_logged_and_no_more(start_processes):
    script = start_processes(test={"stop": "raise"})
    assert script.stop() == 0
    assert script.output.count("RuntimeError: no goodbye\n") == 2


def test_a_start_hook_that_fails_everywhere_ends_the_server_with_status_3(tmp_path):
    with pytest.raises(AssertionError, match="the script ended") as error:
        Processes(tmp_path, test={"start": "raise"})
    assert "returned" not in str(error.value)


def test_exit_status_3_when_no_worker_can_start():
    script = Script(
        "-c",
        "import os, sys\nfrom outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
        "def fail(slot): raise RuntimeError('no database')\n"
        "server.config.update(processes=2, on_worker_start=fail)\n"
        "print('http://127.0.0.1:1', flush=True)\nserver.run()\nprint('returned')",
    )
    assert script.wait() == 3
    assert "no database" in script.errors
    assert "on_worker_start failed" in script.errors
    assert "returned" not in script.output


def test_a_start_hook_that_fails_in_one_is_tried_again(tmp_path):
    process = Silent(tmp_path, test={"start": "raise in 1"})
    for _ in range(3):
        process.wait_for("worker 1 (process")
    process.process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "stopped 0" in process.output


class Silent(Processes):
    """One that may never be ready."""

    def read_line(self) -> str:
        line = super().read_line()
        return line + "http://127.0.0.1:1" if line.startswith("generation") else line


# ends


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_are_answered_and_the_status_is_0(start_processes, signum):
    script = start_processes()
    wires = [Wire(script.address) for _ in range(6)]
    idle = Wire(script.address)
    for wire in wires:
        wire.send(request_bytes("/slow"))
    for _ in wires:
        script.wait_for("begun")
    script.send_signal(signum)
    if signum == signal.SIGINT:
        # Ctrl+C on a terminal is for the whole group of processes, and counts once.
        for pid in script.workers().values():
            os.kill(pid, signum)
    for wire in wires:
        answer = wire.receive_answer()
        assert (answer.text, answer.header("Connection")) == ("done", "close")
        wire.close()
    idle.receive_end()
    assert script.wait() == 0
    assert "Traceback" not in script.errors
    assert refused(script.address)


def test_the_port_is_closed_while_requests_are_finished(start_processes):
    script = start_processes()
    with Wire(script.address) as wire:
        wire.send(request_bytes("/stuck"))
        script.wait_for("begun")
        script.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(script.address), "the port is closed")
        script.send_signal(signal.SIGTERM)
        wire.receive_end()
    assert script.wait() == 0


def test_a_second_signal_cuts(start_processes):
    script = start_processes(termination_timeout=60)
    with Wire(script.address) as wire:
        wire.send(request_bytes("/stuck"))
        script.wait_for("begun")
        script.send_signal(signal.SIGTERM)
        script.send_signal(signal.SIGINT)
        wire.receive_end()
    assert script.wait() == 0


@pytest.mark.timed
def test_termination_timeout_cuts(start_processes):
    script = start_processes(termination_timeout=0.2)
    with Wire(script.address) as wire:
        wire.send(request_bytes("/stuck"))
        script.wait_for("begun")
        script.send_signal(signal.SIGTERM)
        wire.receive_end()
    assert script.wait() == 0


def test_a_worker_that_is_still_starting_is_ended_too(tmp_path):
    process = Silent(tmp_path, test={"start": "hang"})
    for _ in range(2):
        process.wait_for("worker ")
    process.process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_terminate_in_a_handler_ends_the_server(start_processes):
    script = start_processes()
    assert fetch(script.address, "/end").text == "ending"
    assert script.wait() == 0
    assert script.output.count("stopped") == 2
    assert "returned" in script.output


def test_a_signal_handler_of_the_user_may_terminate(start_processes):
    script = start_processes(test={"handler": True})
    assert script.stop() == 0
    assert "returned" in script.output


def test_run_again(start_processes):
    script = start_processes(test={"again": True})
    script.send_signal(signal.SIGTERM)
    script.wait_for("returned")
    script.wait_for("outside is serving on ")
    assert set(script.workers()) == {0, 1}
    assert script.stop() == 0


def test_a_worker_that_is_asked_to_end_is_replaced(start_processes):
    script = start_processes()
    first = script.workers()
    os.kill(first[1], signal.SIGTERM)
    script.wait_for("worker 1 (process")
    script.wait_for("worker 1 ")
    assert script.workers()[1] != first[1]
    assert script.stop() == 0


# refusals


def test_other_threads_are_refused_by_name():
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="a thread of mine")
    thread.start()
    try:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config["processes"] = 2
        with pytest.raises(RuntimeError, match="a thread of mine"):
            server.run()
    finally:
        go_on.set()
        thread.join()


def test_threads_that_python_does_not_list_are_refused_too():
    script = Script(
        "-c",
        "import _thread, threading\nfrom outside import OutsideHTTP\n_thread.start_new_thread(threading.Event().wait, ())\n"
        "print('http://127.0.0.1:1', flush=True)\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
        "server.config['processes'] = 2\nserver.run()",
    )
    assert script.wait() == 1
    assert "RuntimeError" in script.errors
    assert "python" in script.errors.rpartition("running: ")[2]


@pytest.mark.parametrize("processes", [0, -1, "many", 1.5, True, None, 100_000])
def test_a_bad_number_of_processes_is_refused(processes):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(processes=processes, termination_timeout=-1, drain_idle=-1, on_worker_start=5)
    with pytest.raises((ValueError, TypeError)) as error:
        server.run()
    for part in ("processes", str(processes), "'auto'", "termination_timeout", "drain_idle", "on_worker_start"):
        assert part in str(error.value)


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = OutsideHTTP(taken.getsockname())
        server.config["processes"] = 2
        with pytest.raises(OSError, match=str(taken.getsockname()[1])):
            server.run()


def test_a_socket_in_a_missing_folder_is_refused(tmp_path):
    server = OutsideHTTP(f"unix:{tmp_path}/missing/app.sock")
    server.config["processes"] = 2
    with pytest.raises(OSError, match="missing/app.sock"):
        server.run()


@pytest.mark.parametrize("processes", [1, 2])
def test_publish_warns_of_nothing(start_processes, processes):
    script = start_processes(processes=processes)
    said = "WARNING publish() reaches the connections of its own process alone"
    with Wire(script.address) as wire:
        for _ in range(3):
            assert wire.send(request_bytes("/publish")).receive_answer().text == "None"
    assert script.stop() == 0
    assert said not in "\n".join([*script.heard, script.output])
