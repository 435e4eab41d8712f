"""The echo server that was `python -m outside websocket` in 1.5.8, with a function for the end."""

import outside
import outside.protocol_websocket

http_server = outside.OutsideHTTP(("127.0.0.1", 8080))
main_socket = outside.protocol_websocket.WebSocket()


def main_handler(connection):
    connection.on_exit = lambda: print("left", connection.request.url, flush=True)
    while True:
        received_data = connection.recv()
        connection.send(received_data)


main_socket.connection_handler = main_handler
http_server.set_route("/", main_socket)
http_server.run()
