"""A server whose handlers fork while files are open: `forking_files_app.py FILE`. A child tells which files it has."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from outside import FilePath, OutsideHTTP, json_response

context = multiprocessing.get_context("fork")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"access_log": "off", "spool_above_mb": 1, "termination_timeout": 5})
go = threading.Event()


def open_files():
    """The files that descriptors of this process lead to: the one of `/file` and nameless ones with content.

    A module that another thread imports at this moment is open too: it is no file of the server.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if target == sys.argv[1] or (target.startswith("/") and target.endswith(" (deleted)")):
            found.append(target)
    return sorted(found)


def in_child(function):
    """The result of a function in a child."""
    told, tells = context.Pipe(duplex=False)

    def tell():
        try:
            tells.send(function())
        except Exception as error:
            tells.send(repr(error))

    child = context.Process(target=tell)
    child.start()
    result = told.recv()
    child.join()
    return result


def look(request):
    """The files of a child, and the content that it reads."""
    return in_child(lambda: [open_files(), len(request.content)])


def form(request):
    return in_child(lambda: [open_files(), len(request.files["file"].read())])


def pieces(request):
    return in_child(lambda: [open_files(), sum(len(piece) for piece in request.iter_body())])


def hold(request):
    go.wait(60)
    return [open_files(), len(request.content)]


def release(request):
    go.set()


for function in (look, form, pieces):

    async def later(request, function=function):
        return json_response(function(request))

    server.set_route(f"/plain/{function.__name__}", lambda request, function=function: json_response(function(request)))
    server.set_route(f"/async/{function.__name__}", later)
server.set_route("/hold", lambda request: json_response(hold(request)), blocking=True)
server.set_route("/release", release)
server.set_route("/file", FilePath(sys.argv[1]))
server.run()
