"""The three routes on outside-framework 1.5.8, the pure-Python predecessor: `outside_old_app.py PORT`.

Its defaults, except that a connection may be reused 900 times instead of 100: it forks a process per connection, and the
next request is a call inside the last one, so that Python's recursion limit stops it before 1,000.
Its output for each request cannot be switched off.
"""

import sys
import time

from outside import OutsideHTTP
from outside.protocol_http import Response


def hello(request):
    return Response(200, {"Content-Type": "text/plain"}, b"Hello, World!")


def echo(request):
    return Response(200, {}, request.json())


def sleep(request):
    time.sleep(0.010)
    return Response(200, {"Content-Type": "text/plain"}, b"Hello, World!")


if __name__ == "__main__":
    server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
    server.config["max_socket_reuse"] = 900
    server.set_route("/hello", hello)
    server.set_route("/json", echo)
    server.set_route("/sleep", sleep)
    server.run()
