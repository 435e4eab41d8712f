"""How WebSockets end: every way, in every style of handler, and `on_exit` exactly once each time."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import threading

import pytest

from outside import WebSocket
from support.harness import PROGRAMS, Running, Script, wait_until
from support.processes import start_processes  # noqa: F401 - a fixture
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, STYLES, Ends, websocket
from support.websocket_wire import CLOSE, PING, TEXT, WebSocketClient, close_frame, frame
from support.wire import DEADLINE

every_style = pytest.mark.parametrize("style", STYLES)


def act(connection, message):
    """A message names the action of the handler."""
    if message == b"raise":
        raise RuntimeError("this text is for the log alone")
    if message == b"exit":
        done = connection.exit(4005, "enough")
        if done is not None:
            done.close()
            connection._connection.exit(4005, "enough")
        return None
    return message


def client_closes(client: WebSocketClient, running: Running) -> None:
    assert client.close_cleanly(4000, "bye") == (4000, "")


def client_closes_without_a_code(client: WebSocketClient, running: Running) -> None:
    assert client.close_cleanly(None) == (None, "")


def client_resets(client: WebSocketClient, running: Running) -> None:
    client.reset()


def client_hangs_up(client: WebSocketClient, running: Running) -> None:
    client.send_end()
    client.receive_rest()


def protocol_error(client: WebSocketClient, running: Running) -> None:
    client.send(frame(3, b"what?"))
    assert client.receive_close_and_end()[0] == 1002


def invalid_text(client: WebSocketClient, running: Running) -> None:
    client.send(frame(TEXT, b"\xff"))
    assert client.receive_close_and_end()[0] == 1007


def too_large(client: WebSocketClient, running: Running) -> None:
    client.send(frame(TEXT, b"x" * 2000))
    assert client.receive_close_and_end()[0] == 1009


def handler_raises(client: WebSocketClient, running: Running) -> None:
    client.send_message("raise")
    assert client.receive_close_and_end() == (1011, "")


def handler_exits(client: WebSocketClient, running: Running) -> None:
    client.send_message("exit")
    assert client.receive_close_and_end() == (4005, "enough")


def server_terminates(client: WebSocketClient, running: Running) -> None:
    running.server.terminate()
    assert client.receive_close_and_end() == (1001, "the server stops")


def no_pong(client: WebSocketClient, running: Running) -> None:
    assert client.receive_frame() == (PING, b"")
    assert client.receive_close_and_end() == (1011, "no answer to a ping")


WAYS = [
    (client_closes, 4000),
    (client_closes_without_a_code, 1005),
    (client_resets, 1006),
    (client_hangs_up, 1006),
    (protocol_error, 1002),
    (invalid_text, 1007),
    (too_large, 1009),
    (handler_raises, 1011),
    (handler_exits, 4005),
    (server_terminates, 1001),
    (no_pong, 1011),
]


@every_style
@pytest.mark.parametrize(("way", "code"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_every_end_is_told_once(serve, records, style, way, code):
    options = {"ping_interval": 0.2, "ping_timeout": 0.2} if way is no_pong else {}
    made = websocket(style, act, max_message=1000, **options)
    ends = Ends(made)
    running = serve({"/ws": made})
    with WebSocketClient(running.address) as client:
        assert client.send_message("hello").receive_message() == "hello"
        assert ends.is_empty
        way(client, running)
        assert ends.next().close_code == code
    running.stop()
    assert ends.is_empty, "told twice"
    errors = [record.whole for record in records.records if record.levelno >= logging.ERROR]
    if way is handler_raises:
        assert len(errors) == 1
        assert "Traceback" in errors[0]
        assert "RuntimeError: this text is for the log alone" in errors[0]
        assert "/ws" in errors[0]
    else:
        assert errors == []


@every_style
@pytest.mark.parametrize("behind", [close_frame(), None], ids=["a close", "the end of the stream"])
def test_last_words_are_handled(serve, style, behind):
    """Messages before the client's close are handled before it, even if both arrived in the same segment."""
    said: queue.Queue = queue.Queue()

    def note(connection, message):
        said.put(bytes(message))

    made = websocket(style, note)
    made.on_exit(lambda: said.put(None))
    running = serve({"/ws": made})
    with WebSocketClient(running.address) as client:
        client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + (behind or b""))
        if not behind:
            client.send_end()
        client.receive_rest()
        assert [said.get(timeout=DEADLINE) for _ in range(3)] == [b"one", b"two", None]


@every_style
def test_exit_handlers_with_and_without_argument(serve, style):
    told: queue.Queue = queue.Queue()
    made = websocket(style)

    class Callable_:
        def __call__(self, connection):
            told.put(connection.request.url)

        def method(self, connection):
            told.put(connection.request.url)

        def nothing(self):
            told.put("nothing")

    async def later(connection):
        await asyncio.sleep(0)
        told.put(connection.request.url)

    async def later_nothing():
        await asyncio.sleep(0)
        told.put("nothing")

    table = [
        (lambda: told.put("nothing"), "nothing"),
        (lambda connection: told.put(connection.request.url), "/ws"),
        (lambda *all_of_them: told.put(all_of_them[0].request.url), "/ws"),
        (lambda connection=None: told.put(connection.request.url), "/ws"),
        (lambda **options: told.put("nothing"), "nothing"),
        (Callable_(), "/ws"),
        (Callable_().method, "/ws"),
        (Callable_().nothing, "nothing"),
        (later, "/ws"),
        (later_nothing, "nothing"),
    ]
    running = serve({"/ws": made})
    for number, (handler, expected) in enumerate(table):
        assert made.on_exit(handler) is handler
        with WebSocketClient(running.address) as client:
            client.send_message("x").receive_message()
            client.close_cleanly()
        assert told.get(timeout=DEADLINE) == expected, number
    running.stop()
    assert told.empty()


@every_style
def test_an_exit_handler_that_raises_is_logged(serve, records, style):
    made = websocket(style)
    made.on_exit(lambda: 1 / 0)
    running = serve({"/ws": made})
    with WebSocketClient(running.address) as client:
        client.send_message("x").receive_message()
        assert client.close_cleanly(4000) == (4000, "")
    record = records.wait_for("ZeroDivisionError")
    assert "on_exit" in record.whole
    with WebSocketClient(running.address) as client:
        assert client.send_message("still there").receive_message() == "still there"


@every_style
def test_a_handler_that_raises_in_on_open(serve, records, style):
    made = websocket(style)
    made.on_open(lambda connection: 1 / 0)
    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        assert client.receive_close_and_end() == (1011, "")
    records.wait_for("ZeroDivisionError")
    assert ends.next().close_code == 1011
    assert ends.is_empty


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, BaseException, GeneratorExit])
def test_a_base_exception_ends_the_connection_only(serve, records, style, error):
    def fail(connection, message):
        raise error("no more")

    running = serve({"/ws": websocket(style, fail), "/echo": websocket(style)})
    with WebSocketClient(running.address, "/echo") as other, WebSocketClient(running.address) as client:
        client.send_message("x")
        assert client.receive_close_and_end()[0] == 1011
        records.wait_for("no more")
        assert other.send_message("still there").receive_message() == "still there"


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_a_handler_that_returns(serve, style):
    """The connection is closed with 1000; messages sent before it arrive, and then `on_exit` is called."""
    made = WebSocket()
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            connection.send("x" * 1_000_000)

    else:

        @made.on_connection
        async def awaiting(connection):
            await connection.send("x" * 1_000_000)

    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        assert client.receive_message() == "x" * 1_000_000
        assert client.receive_close_and_end() == (1000, "")
        assert ends.next().close_code == 1000
        assert ends.is_empty


@every_style
def test_a_handler_cannot_send_in_on_exit(serve, records, style):
    """The connection has ended by then; `WebSocketExit` says so."""
    made = websocket(style)

    def goodbye(connection):
        return connection.send("goodbye")

    made.on_exit(goodbye)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send_message("x").receive_message()
        assert client.close_cleanly() == (1000, "")
    assert "WebSocketExit" in records.wait_for("on_exit").whole


@every_style
def test_a_client_that_does_not_answer_the_close(serve, style):
    """The server's closing handshake has a deadline; `on_exit` does not wait for it longer than that."""
    made = websocket(style, act)
    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send_message("exit")
        assert client.receive_frame()[0] == CLOSE
        assert ends.next().close_code == 4005
        client.receive_end()  # without having said a word


@pytest.mark.timed
@every_style
def test_pings_keep_clients_that_answer(serve, style):
    made = websocket(style, ping_interval=0.1, ping_timeout=0.5)
    with WebSocketClient(serve({"/ws": made}, process_timeout=1).address) as client:
        for _ in range(4):
            opcode, payload = client.receive_frame()
            assert opcode == PING
            client.send(frame(10, payload))
        assert client.send_message("still there").receive_message() == "still there"


@every_style
def test_without_pings_silence_ends_by_process_timeout(serve, style):
    made = websocket(style, ping_interval=None)
    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}, process_timeout=1).address) as client:
        assert client.send_message("x").receive_message() == "x"
        assert client.receive_close_and_end()[0] == 1001
        assert ends.next().close_code == 1001


@pytest.mark.timed
@every_style
def test_a_connection_outlives_process_timeout(serve, style):
    """A handler of a WebSocket may run for ever; it is no late answer."""
    made = websocket(style)
    with WebSocketClient(serve({"/ws": made}, process_timeout=1).address) as client:
        end = threading.Event()
        for number in range(8):
            end.wait(0.3)  # longer than the time-out, all together
            assert client.send_message(str(number)).receive_message() == str(number)


# --- the end of the server


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_terminate_from_a_handler(serve, style):
    def stop(connection, message):
        running.server.terminate()

    made = websocket(style, stop)
    ends = Ends(made)
    running = serve({"/ws": made})
    with WebSocketClient(running.address) as client:
        client.send_message("stop")
        assert client.receive_close_and_end() == (1001, "the server stops")
    running.wait_for_return()
    assert ends.next().close_code == 1001


def test_a_handler_that_ignores_the_end_is_left_behind(serve):
    """`run()` returns after `termination_timeout` although a thread is still busy."""
    release, made = threading.Event(), WebSocket()
    made.on_connection(lambda connection: release.wait(2 * DEADLINE))
    running = serve({"/ws": made}, termination_timeout=1)
    with WebSocketClient(running.address) as client:
        wait_until(lambda: running.server._active_requests)
        running.server.terminate()
        client.receive_rest()
        running.wait_for_return()
    release.set()


@every_style
def test_server_cleanup_comes_behind_every_exit(serve, style):
    told: queue.Queue = queue.Queue()
    made = websocket(style)
    made.on_exit(lambda: told.put("exit"))
    running = serve({"/ws": made}, server_cleanup=lambda: told.put("cleanup"))
    clients = [WebSocketClient(running.address) for _ in range(5)]
    for client in clients:
        client.send_message("x").receive_message()
    running.server.terminate()
    for client in clients:
        assert client.receive_close_and_end()[0] == 1001
    running.wait_for_return()
    assert [told.get(timeout=DEADLINE) for _ in range(6)] == ["exit"] * 5 + ["cleanup"]


@every_style
def test_a_new_run_starts_afresh(serve, style):
    running = serve({"/ws": websocket(style)})
    with WebSocketClient(running.address) as client:
        client.send_message("x").receive_message()
        running.server.terminate()
        client.receive_close_and_end()
    running.wait_for_return()
    again = Running(running.server)
    with WebSocketClient(again.address) as client:
        assert client.send_message("again").receive_message() == "again"
    again.stop()


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_ctrl_c_ends_connections(style):
    script = Script(str(PROGRAMS / "websocket_app.py"))
    with WebSocketClient(script.address, f"/{style}") as client:
        assert client.send_message("x").receive_message() == "x"
        script.process.send_signal(signal.SIGINT)
        assert client.receive_close_and_end() == (1001, "the server stops")
    assert script.wait() == 0, script.errors
    assert script.output.count(f"exit {style} 1001") == 1


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_reload_says_1012(start_processes, style):
    processes = start_processes(processes=2)
    with WebSocketClient(processes.address, f"/ws/{style}") as client:
        assert client.send_message("x").receive_message() == "x"
        processes.reload()
        assert client.receive_close_and_end() == (1012, "the server starts anew")
        assert processes.wait_for("websocket exit") == f"websocket exit {style} 1012"
    with WebSocketClient(processes.address, f"/ws/{style}") as client:
        assert client.send_message("new").receive_message() == "new"
    assert processes.stop() == 0
