"""Connections from chosen addresses: `address_client.py HOST PORT`, told by lines on standard input.

`open ADDRESS` opens a connection from this address, sends a request, and prints the answer's last line or `closed`; `close NUMBER`
closes the connection of that number, from 0 on.
"""

import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
opened = []


def ask(address):
    connection = socket.create_connection((host, port), timeout=20, source_address=(address, 0))
    opened.append(connection)
    try:
        connection.sendall(b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n")
        return connection.recv(65536).rpartition(b"\r\n")[2].decode() or "closed"
    except ConnectionError:
        return "closed"


for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "open":
        print(ask(rest), flush=True)
    else:
        opened[int(rest)].close()
        print("done", flush=True)
