"""From run() to its return: the URL, signals, ports in use, terminate from everywhere, requests in flight."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time

import pytest

from outside import OutsideHTTP, Response, event_stream
from support.harness import Running, Script, wait_until
from support.subprocesses import run_process
from support.wire import Wire, fetch, request_bytes

REQUEST = request_bytes("/")
HEAD = "from outside import *\nimport os, sys, threading, time\nserver = OutsideHTTP(('127.0.0.1', 0))\n"


def script(code: str, **environment: str) -> Script:
    return Script("-c", HEAD + code, environment=environment)


def test_run_prints_one_line_with_the_url():
    running = script("server.run()\nprint('returned')")
    assert running.before_url == ""
    assert f"http://127.0.0.1:{running.address[1]}" in running.line
    assert "\x1b" not in running.line
    assert fetch(running.address).status == 404
    assert running.stop() == 0
    assert running.output == "returned\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_gracefully(signum):
    running = script(
        "def slow(request):\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(0.5)\n"
        "    return 'done'\n"
        "server.set_route('/', slow)\nserver.run()\nprint('returned')"
    )
    with Wire(running.address) as wire:
        wire.send(REQUEST)
        while "begun" not in running.read_line():
            pass
        running.process.send_signal(signum)
        answer = wire.receive_answer()
        assert (answer.text, answer.header("Connection")) == ("done", "close")
        wire.receive_end()
    assert running.wait() == 0
    assert "returned" in running.output
    assert "Traceback" not in running.errors


def test_a_second_signal_cuts():
    running = script(
        "def stuck(request):\n"
        "    print('begun', flush=True)\n"
        "    threading.Event().wait(60)\n"
        "server.set_route('/', stuck)\nserver.run()\nprint('returned', flush=True)\nos._exit(0)"
    )
    with Wire(running.address) as wire:
        wire.send(REQUEST)
        while "begun" not in running.read_line():
            pass
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(running.address), "the port is closed")
        running.process.send_signal(signal.SIGTERM)
        wire.receive_end()
    assert running.wait() == 0
    assert "returned" in running.output


def refused(address: tuple) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return True
    return False


def test_signal_handlers_of_the_user_are_kept_and_put_back():
    running = script(
        "import signal\n"
        "own = lambda *a: server.terminate(*a)\n"
        "signal.signal(signal.SIGTERM, own)\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "server.run()\n"
        "print(signal.getsignal(signal.SIGTERM) is own, signal.getsignal(signal.SIGINT) is before)"
    )
    assert running.stop() == 0
    assert running.output == "True True\n"


def test_terminate_as_a_signal_handler():
    running = script("import signal\nsignal.signal(signal.SIGUSR1, server.terminate)\nserver.run()\nprint('returned')")
    assert running.stop(signal.SIGUSR1) == 0
    assert running.output == "returned\n"


def test_a_port_in_use_is_an_oserror_that_names_the_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1.*{port}"):
            OutsideHTTP(("127.0.0.1", port)).run()


def test_two_servers_do_not_share_a_port(serve):
    running = serve(lambda request: "first")
    with pytest.raises(OSError, match=str(running.address[1])):
        OutsideHTTP(running.address).run()
    assert running.fetch().text == "first"


def test_the_port_is_free_again_at_once(serve):
    running = serve(lambda request: "first")
    address = running.address
    with running.wire() as wire:
        wire.send(REQUEST).receive_answer()
        running.stop()
    again = serve(lambda request: "second", host=address)
    assert again.fetch().text == "second"


def test_run_again(serve):
    running = serve(lambda request: "x")
    assert running.fetch().text == "x"
    running.stop()
    assert running.server._terminate_process is True
    again = Running(running.server)
    assert running.server._terminate_process is False
    assert again.fetch().text == "x"
    again.stop()


def test_nothing_is_left_behind(serve):
    """Sockets, descriptors and threads of a server are gone when run() has returned."""

    def belongings() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    before = belongings()
    for _ in range(3):
        running = serve(lambda request: "x")
        with running.wire() as wire:
            wire.send(REQUEST).receive_answer()
            running.stop()
    del running
    serve.forget()
    gc.collect()
    wait_until(lambda: belongings() <= before, f"as much is open as before ({before})")


def test_run_twice_at_once_is_refused(serve):
    running = serve(lambda request: "x")
    with pytest.raises(RuntimeError):
        running.server.run()
    assert running.fetch().text == "x"


def test_nothing_is_bound_before_run():
    server = OutsideHTTP(("127.0.0.1", 0))
    assert server._terminate_process is False
    assert server._active_requests == []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        OutsideHTTP(taken.getsockname())


def test_the_address_tells_the_port(serve):
    running = serve(lambda request: "x")
    host, port = running.address
    assert host == "127.0.0.1"
    assert port > 0


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = OutsideHTTP(("::1", 0))
    server.config["access_log"] = "off"
    server.set_route("/", lambda request: request.address[0])
    running = Running(server)
    try:
        assert running.address[0] == "::1"
        assert running.fetch().text == "::1"
    finally:
        running.stop()


def test_ipv6_url_has_brackets():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    running = Script("-c", "from outside import OutsideHTTP\nOutsideHTTP(('::1', 0)).run()")
    assert f"http://[::1]:{running.address[1]}" in running.line
    assert running.stop() == 0


def test_terminate_from_a_handler(serve):
    def handler(request):
        running.server.terminate()
        return "last words"

    running = serve(handler)
    with running.wire() as wire:
        answer = wire.send(REQUEST).receive_answer()
        assert answer.text == "last words"
        wire.receive_end()
    running.wait_for_return()
    assert running.server._terminate_process is True


def test_terminate_from_another_thread_and_again(serve):
    running = serve(lambda request: "x")
    address = running.address
    threads = [threading.Thread(target=running.server.terminate) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.wait_for_return()
    running.server.terminate()
    assert refused(address)
    assert running.address is None


def test_terminate_answers_requests_in_flight_and_accepts_no_more(serve):
    begun, go_on = threading.Event(), threading.Event()

    def handler(request):
        begun.set()
        return str(go_on.wait(10))

    running = serve(handler)
    with running.wire() as wire:
        wire.send(REQUEST)
        assert begun.wait(10)
        running.server.terminate()
        wait_until(lambda: refused(running.address), "the port is closed")
        go_on.set()
        assert wire.receive_answer().text == "True"
        wire.receive_end()
    running.wait_for_return()


def test_terminate_closes_idle_connections(serve):
    running = serve(lambda request: "x")
    with running.wire() as idle, running.wire() as silent:
        idle.send(REQUEST).receive_answer()
        running.server.terminate()
        idle.receive_end()
        silent.receive_end()
    running.wait_for_return()


def plain_events(go_on):
    def events():
        while not go_on.wait(0.02):
            yield "tick"

    return event_stream(events())


def async_events(go_on):
    async def events():
        yield "first"
        await asyncio.sleep(60)

    return event_stream(events())


@pytest.mark.timed
@pytest.mark.parametrize("kind", [plain_events, async_events])
@pytest.mark.parametrize("retires", [False, True], ids=["terminate", "reload"])
def test_streams_of_events_end_with_the_server(serve, records, kind, retires):
    go_on = threading.Event()
    running = serve(lambda request: kind(go_on), termination_timeout=60, drain_idle=60)
    with running.wire() as wire:
        wire.send(REQUEST)
        while b"data:" not in wire.received:
            wire.receive_some()
        began = time.monotonic()
        running.server._retire() if retires else running.server.terminate()
        assert wire.receive_rest().endswith(b"0\r\n\r\n")
    running.wait_for_return()
    assert time.monotonic() - began < 5
    assert not any("in flight" in text for text in records.texts())


def test_the_log_names_the_requests_waited_for(serve, records):
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(request):
        begun.release()
        go_on.wait(10)

    async def slow_async(request):
        begun.release()
        await asyncio.to_thread(go_on.wait, 10)

    def stream(request):
        begun.release()
        return Response(200, {}, (b"x" for _ in range(2) if go_on.wait(10)))

    running = serve(
        {"/plain": slow, "/async": slow_async, "/stream": stream, "/fine": lambda request: "x"}, termination_timeout=30
    )
    wires = [running.wire() for _ in range(4)]
    for wire, target in zip(wires, ("/fine", "/plain", "/async", "/stream"), strict=True):
        wire.send(request_bytes(target))
        assert target == "/fine" or begun.acquire(timeout=10)
    wires[0].receive_answer()
    running.server.terminate()
    records.wait_for("3 answers in flight, at most 30 s; Ctrl+C again cuts")
    go_on.set()
    running.wait_for_return()
    for wire in wires:
        wire.close()


@pytest.mark.timed
def test_termination_timeout_cuts_the_rest(serve):
    begun, go_on = threading.Event(), threading.Event()

    def stuck(request):
        begun.set()
        go_on.wait(20)

    running = serve(stuck, termination_timeout=0.3)
    try:
        with running.wire() as wire:
            wire.send(REQUEST)
            assert begun.wait(10)
            running.server.terminate()
            wire.receive_rest()
        running.wait_for_return()
    finally:
        go_on.set()


@pytest.mark.timed
@pytest.mark.parametrize(
    ("handlers", "said"), [(1, "1 handler had not ended and was left behind"), (2, "2 handlers had not ended and were")]
)
def test_handlers_left_behind_are_counted(serve, records, handlers, said):
    begun, go_on = threading.Semaphore(0), threading.Event()

    def stuck(request):
        begun.release()
        go_on.wait(20)

    running = serve(stuck, termination_timeout=0.1)
    wires = [running.wire().send(REQUEST) for _ in range(handlers)]
    try:
        for _ in wires:
            assert begun.acquire(timeout=10)
        running.stop()
        records.wait_for(said)
    finally:
        go_on.set()
        for wire in wires:
            wire.close()


def test_a_second_call_with_a_signal_number_cuts_at_once(serve):
    begun, go_on = threading.Event(), threading.Event()

    def stuck(request):
        begun.set()
        go_on.wait(20)

    running = serve(stuck, termination_timeout=60)
    try:
        with running.wire() as wire:
            wire.send(REQUEST)
            assert begun.wait(10)
            running.server.terminate()
            running.server.terminate(signal.SIGTERM)
            wire.receive_rest()
        running.wait_for_return()
    finally:
        go_on.set()


def test_active_requests(serve):
    begun, go_on = threading.Event(), threading.Event()

    def handler(request):
        begun.set()
        go_on.wait(10)
        return "x"

    running = serve(handler)
    assert running.server._active_requests == []
    with running.wire() as wire:
        wire.send(request_bytes("/active"))
        assert begun.wait(10)
        shown = running.server._active_requests
        assert [request.url for request in shown] == ["/active"]
        shown.clear()
        assert len(running.server._active_requests) == 1
        go_on.set()
        wire.receive_answer()
        wait_until(lambda: running.server._active_requests == [], "no request is active")


def test_off_the_main_thread_signals_are_left_alone(serve):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    running = serve(lambda request: Response(content="x"))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    running.stop()


def test_wait_until_ready_gives_up(serve):
    assert not OutsideHTTP(("127.0.0.1", 0)).wait_until_ready(0.05)


def test_a_process_ends_while_its_server_runs_on_another_thread():
    running = Script("-c", HEAD + "threading.Thread(target=server.run, daemon=True).start()\nserver.wait_until_ready(10)\n")
    assert running.wait() == 0
    assert "Traceback" not in running.errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_process_does_not_disturb_the_server(serve):
    import sys

    def handler(request):
        return run_process([sys.executable, "-c", "print('child')"], capture_output=True, text=True, check=True).stdout

    assert serve(handler).fetch().text == "child\n"
