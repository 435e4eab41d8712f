"""`@server.websocket`: a function for each connection, with the parameters of the path, in groups and behind hooks."""

from __future__ import annotations

import pytest

from outside import Routes, WebSocket
from support.harness import wait_until
from support.websocket_wire import WebSocketClient


def test_a_plain_function(server, start):
    @server.websocket("/rooms/<int:number>")
    def room(connection, number):
        for message in connection:
            connection.send(f"{number} {type(number).__name__}: {message.text}")

    with WebSocketClient(start().address, "/rooms/7") as client:
        assert client.send_message("hello").receive_message() == "7 int: hello"


def test_an_async_function(server, start):
    @server.websocket("/rooms/{name}/<path:rest>")
    async def room(connection, rest, name):
        async for message in connection:
            await connection.send(f"{name} {rest}: {message.text}")

    with WebSocketClient(start().address, "/rooms/tea/a/b") as client:
        assert client.send_message("hello").receive_message() == "tea a/b: hello"


def test_without_parameters_and_with_options(server, start):
    @server.websocket("/ws", subprotocols=["chat.v1"])
    def room(connection):
        connection.send(connection.subprotocol)

    with WebSocketClient(start().address, "/ws", {"Sec-WebSocket-Protocol": "chat.v1"}) as client:
        assert client.receive_message() == "chat.v1"


def test_a_websocket_of_ones_own(server, start):
    websocket = WebSocket()
    server.websocket("/ws/<name>")(websocket)

    @websocket.on_message
    def message(connection, message):
        connection.send(f"{connection.request.path_params['name']}: {message.text}")

    running = start()
    with WebSocketClient(running.address, "/ws/ada") as client:
        assert client.send_message("hello").receive_message() == "ada: hello"
        wait_until(lambda: [request.path for request in server._active_requests] == ["/ws/ada"])


def test_the_whole_path_and_get_alone(server, start):
    server.websocket("/ws")(lambda connection: None)
    running = start()
    assert not WebSocketClient(running.address, "/ws/below").is_open
    assert running.fetch("/ws").status == 426
    answer = running.fetch("/ws", "POST")
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD, OPTIONS")


def test_before_request_runs_before_its_opening(server, start):
    private = Routes("/private")

    @private.before_request
    async def guard(request):
        return None if request.query == "letmein" else (401, None)

    @private.websocket("/ws/<name>")
    def room(connection, name):
        connection.send(name)

    server.websocket("/public")(lambda connection: connection.send("public"))
    server.mount(private)
    running = start()
    assert WebSocketClient(running.address, "/private/ws/ada").answer.status == 401
    with WebSocketClient(running.address, "/private/ws/ada?letmein") as client:
        assert client.receive_message() == "ada"
    with WebSocketClient(running.address, "/public") as client:
        assert client.receive_message() == "public"
    server.before_request(lambda: (503, None))
    assert WebSocketClient(running.address, "/public").answer.status == 503


def no_name(connection):
    pass


@pytest.mark.parametrize(
    ("pattern", "handler", "says"),
    [("/ws/<name>", no_name, "no parameter 'name'"), ("/ws/<itn:name>", no_name, "no converter"), ("/ws", 5, "function")],
)
def test_the_wrong_ones_are_refused(server, pattern, handler, says):
    with pytest.raises((TypeError, ValueError), match=says):
        server.websocket(pattern)(handler)


def test_options_are_those_of_websocket(server):
    with pytest.raises(TypeError):
        server.websocket("/ws", max_massage=5)(no_name)
