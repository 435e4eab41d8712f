"""A server whose handlers fork: `forking_app.py PROCESSES`. Each path is there for plain and `async def` handlers alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

from outside import OutsideHTTP, json_response

context = multiprocessing.get_context("fork")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"access_log": "off", "processes": int(sys.argv[1]), "termination_timeout": 5})
# The program's own, which children keep.
kept = socket.socket()


def sleep():
    time.sleep(60)


def square(number):
    return number * number


def terminated(request):
    child = context.Process(target=sleep)
    child.start()
    child.terminate()
    child.join()
    return child.exitcode


def interrupted(request):
    told, tells = context.Pipe(duplex=False)

    def wait():
        try:
            tells.send("ready")
            time.sleep(60)
        except KeyboardInterrupt:
            tells.send("KeyboardInterrupt")

    child = context.Process(target=wait)
    child.start()
    told.recv()
    # Python may miss a signal between two calls of the system where a thread that was not the main one has forked.
    while not told.poll(0.05):
        os.kill(child.pid, signal.SIGINT)
    answer = told.recv()
    child.join()
    return answer


def pool(request):
    with context.Pool(2) as workers:
        return workers.map(square, [1, 2, 3])


def start(request):
    """A daemonic child that lives on; its number."""
    told, tells = context.Pipe(duplex=False)

    def wait():
        tells.send(None)
        tells.close()
        told.close()
        time.sleep(60)

    child = context.Process(target=wait, daemon=True)
    child.start()
    told.recv()
    told.close()
    tells.close()
    return child.pid


def own(request):
    """Whether a handler of the program's own stays, and which one SIGTERM has."""
    told, tells = context.Pipe(duplex=False)

    def look():
        tells.send([signal.getsignal(signal.SIGWINCH) is mine, signal.getsignal(signal.SIGTERM).name])

    child = context.Process(target=look)
    child.start()
    answer = told.recv()
    child.join()
    return answer


def fork(request):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if request.query == "raises":
        raise RuntimeError("in the child")
    if request.query == "exits":
        sys.exit(7)
    return "never seen"


def serve(request):
    told, tells = context.Pipe(duplex=False)

    def answer():
        other = OutsideHTTP(("127.0.0.1", 0))
        other.config["access_log"] = "off"

        @other.get("/plain")
        def hello():
            return "from the child"

        @other.get("/async")
        async def hello_later():
            return "from the child"

        with other.test_client() as client:
            tells.send({client.get(path).text for path in ("/plain", "/async")})

    child = context.Process(target=answer)
    child.start()
    (text,) = told.recv()
    child.join()
    return text


def started(request):
    code = "import signal; print(signal.getsignal(signal.SIGTERM).name, end='')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def mine(signum, frame):
    pass


for function in (terminated, interrupted, pool, start, own, fork, serve, started):

    async def later(request, function=function):
        return json_response(function(request))

    server.set_route(f"/plain/{function.__name__}", lambda request, function=function: json_response(function(request)))
    server.set_route(f"/async/{function.__name__}", later)

signal.signal(signal.SIGWINCH, mine)
server.run()
