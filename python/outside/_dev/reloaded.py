"""The child of `outside run --reload`: imports the program, runs its server, and tells `reload.py` which files it is made
of."""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import sys
import sysconfig
import threading
import time
import traceback
from typing import Any

from .._debug import page as _debug
from .._outside import OutsideHTTP, Request, Response
from .._process.handover import LISTENERS, Listeners, send, send_listeners
from .command import configure, is_debug, start
from .hosted import load_hosted
from .target import NOT_STARTED, Fault, Sought, tell

# Modules may be imported at any time: they are looked for this often, in seconds.
_LOOK = 0.5
# Seconds in which an idle connection may send one more request to a program that has changed.
_DRAIN_IDLE = 0.1
_AGAIN = 0.05


def serve(target: str, typed: dict[str, Any], channel: socket.socket) -> int:
    """Serves until the other end of the channel is closed, or something ends the server; the exit status."""
    sought = Sought()
    try:
        with sought:
            server, asked = load_hosted(target, typed)
            if load := server.__dict__.pop("_load", None):
                load()
        names = configure(server, {**typed, "workers": "1"}, asked.settings)
    except Fault as fault:
        # Before anything is printed: a reader may mend the file at once.
        files = _Files(channel)
        files.tell(_files_of(fault.cause))
        files.tell_missing(sought.places() | _files_missing(fault.cause), whole=True)
        tell(fault)
        if LISTENERS in os.environ:
            _answer_with(fault, files, channel, is_debug(typed))
        return fault.status
    files = _Files(channel)
    files.tell()
    files.tell_missing(sought.places(), whole=False)
    try:
        _listen(server, channel)
        _attend(server, files, channel)
        start(server, names)
    except Fault as fault:
        tell(fault)
        return fault.status
    return 0


def _listen(server: Any, channel: socket.socket) -> None:
    """On the sockets that are there, where the program still wants them, and on new ones; the next child gets them all."""
    reactors = server.config.get("reactors")
    try:
        server._listen(reactors if isinstance(reactors, int) else 1)
    except OSError as error:
        send(channel, {"final": True})
        raise Fault(NOT_STARTED, str(error.strerror or error)) from None
    except ValueError as error:
        raise Fault(NOT_STARTED, str(error)) from None
    server._disown_files()
    listeners = Listeners.of(server)
    send_listeners(channel, listeners)
    listeners.close()


def _attend(server: Any, files: _Files, channel: socket.socket) -> None:
    """From now on the end of the channel ends the server."""
    server.config["drain_idle"] = _DRAIN_IDLE
    send(channel, {"imported": True})

    def watch() -> None:
        while not select.select([channel], [], [], _LOOK)[0]:
            files.tell()
        # Not `terminate`: a connection that has just been accepted may still ask.
        while True:
            server._retire()
            # A server that is only about to run takes no notice yet.
            time.sleep(_AGAIN)

    threading.Thread(target=watch, name="outside-reload", daemon=True).start()


def _answer_with(fault: Fault, files: _Files, channel: socket.socket, debug: bool) -> None:
    """Answers every request with the error, on the sockets of the program that worked before."""

    def answer(request: Request) -> Response:
        page = _debug.page(request, fault.cause) if debug and fault.cause is not None else None
        return page or Response(500, {"Content-Type": "text/plain; charset=utf-8"}, "500 The program cannot be started\n")

    # Without the names of their places it takes all of them.
    os.environ.pop(LISTENERS)
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(access_log="off", debug=debug)
    server.set_route("/", answer)
    _attend(server, files, channel)
    with contextlib.redirect_stdout(io.StringIO()):
        server.run()


class _Files:
    """The files of the program, told once each."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._told: set[str] = set()
        paths = sysconfig.get_paths()
        installed = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
        # Installed files do not change while a program is being written.
        self._installed = tuple(os.path.join(folder, "") for folder in {*installed, os.path.dirname(os.path.dirname(__file__))})

    def tell(self, more: set[str] | None = None) -> None:
        # Not the command itself, which is `__main__`.
        named = {getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name != "__main__"}
        found = {os.path.abspath(path) for path in {*named, *(more or ())} if isinstance(path, str) and os.path.isfile(path)}
        new = sorted(path for path in found - self._told if not path.startswith(self._installed))
        self._told.update(new)
        for first in range(0, len(new), 100):
            send(self._channel, {"files": new[first : first + 100]})

    def tell_missing(self, places: set[str], whole: bool) -> None:
        """Tells which files would change the program if they came into being; those in folders of installed packages only if
        `whole`."""
        missing = [path for path in sorted(places) if not os.path.lexists(path)]
        new = [path for path in missing if whole or not path.startswith(self._installed)]
        for first in range(0, len(new), 100):
            send(self._channel, {"missing": new[first : first + 100]})


def _files_missing(error: BaseException | None) -> set[str]:
    """The files that an exception says are not there."""
    files: set[str] = set()
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
            files.add(os.path.abspath(error.filename))
        error = error.__cause__ or error.__context__
    return files


def _files_of(error: BaseException | None) -> set[str]:
    """The files that an exception names: one that cannot be compiled is no module."""
    files: set[str] = set()
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        files.update(frame.filename for frame in traceback.extract_tb(error.__traceback__))
        error = error.__cause__ or error.__context__
    return files
