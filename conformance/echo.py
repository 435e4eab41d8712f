"""Echoes WebSocket messages in the three styles of handlers: `python conformance/echo.py PORT`."""

import sys

from outside import OutsideHTTP, WebSocket

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))


def new_route(route):
    websocket = WebSocket(max_message=64 << 20, deflate=True)
    server.set_route(route, websocket)
    return websocket


callbacks = new_route("/")


@callbacks.on_message
def echo(connection, message):
    connection.send(message)


blocking = new_route("/blocking")


@blocking.on_connection
def echo_blocking(connection):
    while True:
        message = connection.recv()
        connection.send(message)


asynchronous = new_route("/async")


@asynchronous.on_connection
async def echo_async(connection):
    async for message in connection:
        await connection.send(message)


server.run()
