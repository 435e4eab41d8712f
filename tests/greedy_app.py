"""The application behind the tests of load: it makes and takes as much as it is asked to.

`python tests/greedy_app.py '{"max_workers": 2}' 64` serves it with these settings, and may open 64 descriptors. The
second argument may be left out.
"""

from __future__ import annotations

import json
import resource
import sys

from outside import FilePath, OutsideHTTP, Request, Response

PIECE = b"x" * 65536


def hello(request: Request) -> str:
    return "hello"


def bytes_at_once(request: Request) -> bytes:
    """`/bytes?n=…`: so many bytes, all in memory."""
    return b"x" * int(request.params["n"])


def pieces(request: Request) -> Response:
    """`/pieces?n=…`: so many bytes, 64 KiB at a time."""
    count = int(request.params["n"]) // len(PIECE)
    return Response(200, {}, (PIECE for _ in range(count)))


def file(request: Request) -> FilePath:
    """`/file?path=…`: that file."""
    return Response(200, {}, FilePath(request.params["path"]))


def ignore(request: Request) -> str:
    """Answers without a look at the content."""
    return "ignored"


def count(request: Request) -> str:
    """How long the content is."""
    return str(len(request.content))


ROUTES = {"/": hello, "/bytes": bytes_at_once, "/pieces": pieces, "/file": file, "/ignore": ignore, "/count": count}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"access_log": "off", "termination_timeout": 2, **json.loads(sys.argv[1])})
    for route, handler in ROUTES.items():
        server.set_route(route, handler)
    server.run()
