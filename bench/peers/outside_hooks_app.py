"""The hello with hooks: `outside_hooks_app.py PORT`. One function before each request and one after it, which do nothing.

`BENCH_INLINE`: see `outside_app.py`.
"""

import os
import sys

from outside import OutsideHTTP, Response

TEXT = {"Content-Type": "text/plain"}
server = OutsideHTTP(("127.0.0.1", int(sys.argv[1])))
server.config["access_log"] = "off"
server.config["max_socket_reuse"] = 1_000_000_000


@server.before_request
def before(request):
    return None


@server.after_request
def after(request, response):
    return response


@server.get("/hello", blocking=False if "BENCH_INLINE" in os.environ else None)
def hello(request):
    return Response(200, TEXT, "Hello, World!")


if __name__ == "__main__":
    server.run()
