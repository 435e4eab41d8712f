"""WebSockets on this project's server: `outside_ws_app.py PORT callbacks|async|blocking`.

`/ws` echoes; in `/room` each message goes to all. A client at `/stalled` is in the room too, and gets its own messages
back; it loses the oldest messages if it does not read. Everything else at its default but the access log, which is off as the peers
have it, and the places of WebSockets, of which the room of 10,000 takes more than half.
"""

import sys

from outside import OutsideHTTP, WebSocket

server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config.update(access_log="off", max_websocket_connections=12_000)
echo, room, stalled = WebSocket(), WebSocket(), WebSocket(max_queue=65536, when_full="drop_oldest")
server.set_route("/ws", echo)
server.set_route("/room", room)
server.set_route("/stalled", stalled)


def send_back(connection, message):
    connection.send(message)


async def echo_async(connection):
    async for message in connection:
        await connection.send(message)


def echo_blocking(connection):
    for message in connection:
        connection.send(message)


if sys.argv[2] == "callbacks":
    echo.on_message(send_back)
else:
    echo.on_connection(echo_async if sys.argv[2] == "async" else echo_blocking)


stalled.on_message(send_back)


@stalled.on_open
@room.on_open
def join(connection):
    connection.subscribe("room")


@room.on_message
def say(connection, message):
    server.publish("room", message)


server.run()
