"""The routes on this project's server: `outside_app.py PORT [ACCESS_LOG [FOLDER folder|handler [CERTIFICATE KEY]]]`.

Everything at its default but the port and, for the comparison, `config["access_log"]`: "off" as the peers have it, or
"common" for the row that shows the cost of a log. With `BENCH_INLINE` in the environment the hello never goes to the pool: where a
call takes as long as under callgrind, every other one would. `/files` serves the folder, or has a handler that returns its files.
"""

import os
import sys
import time

from outside import FilePath, OutsideHTTP, Response

TEXT = {"Content-Type": "text/plain"}


def hello(request):
    return Response(200, TEXT, "Hello, World!")


def echo(request):
    return Response(200, {}, request.json())


def sleep(request):
    time.sleep(0.010)
    return Response(200, TEXT, "Hello, World!")


def send_from(folder):
    def send(request):
        return Response(200, {}, FilePath(f"{folder}/{request.url.rpartition('/')[2]}"))

    return send


if __name__ == "__main__":
    server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
    server.config["access_log"] = sys.argv[2] if len(sys.argv) > 2 else "off"
    # The bench reuses its connections for millions of requests; no peer has such a bound switched on.
    server.config["max_socket_reuse"] = 1_000_000_000
    server.config["h2c"] = True
    if len(sys.argv) > 6:
        server.config["ssl_enabled"] = True
        server.config["ssl_certfile"], server.config["ssl_keyfile"] = sys.argv[5:7]
    server.set_route("/hello", hello, False if "BENCH_INLINE" in os.environ else None)
    server.set_route("/json", echo)
    server.set_route("/sleep", sleep)
    if len(sys.argv) > 4:
        folder = sys.argv[3]
        server.set_route("/static", FilePath(folder) if sys.argv[4] == "folder" else send_from(folder))
    server.run()
