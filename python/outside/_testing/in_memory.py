"""A server that runs without a port, for as long as test clients use it.

It runs as `server.run()` runs it, on a thread of its own: the same codec and limits, hooks, error handlers and log. All test
clients of a server share one run of it.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from .. import _outside

if TYPE_CHECKING:
    from .._outside import OutsideHTTP, Request

# Seconds for a server to start, and beyond `termination_timeout` for it to end.
_GRACE = 10.0

# Reentrant: the end of a client that is collected while it is held comes to `leave`.
_runs_lock = threading.RLock()
# Not the lock above: the garbage collector may end a client in a thread that `use` waits for, or in one that holds this lock.
_users_lock = threading.RLock()
_log = logging.getLogger("outside")


class Run:
    """One run of a server, begun by the first client that needs it and ended by the last one that goes."""

    def __init__(self, server: OutsideHTTP) -> None:
        # Let go of at the end, because the server holds its run.
        self._server: OutsideHTTP | None = server
        self.users = 0
        self._ready = threading.Event()
        self._connector: Any = None
        self._fault: BaseException | None = None
        # Exceptions of handlers, by the port of the client: each connection has one that no other has.
        self._raised: dict[int, BaseException] = {}
        self._ports = itertools.count(1)
        self._thread = threading.Thread(target=self._serve, name="outside-test-server", daemon=True)

    def _serve(self) -> None:
        try:
            assert self._server is not None
            _outside._serve_in_memory(self._server, self._is_ready, self._note)
        except BaseException as error:
            # Raised where a client waits; later there is only the log.
            if self._ready.is_set():
                _log.error("the server of a test client failed", exc_info=error)
            self._fault = error
        finally:
            self._server = None
            self._ready.set()

    def _is_ready(self, connector: Any) -> None:
        self._connector = connector
        self._ready.set()

    def _note(self, request: Request, error: BaseException) -> None:
        self._raised[request.address[1]] = error

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_GRACE):
            self.end(wait=False)
            raise RuntimeError(f"the server was not ready within {_GRACE:.0f} s")
        if self._fault is not None:
            raise self._fault

    def is_running(self) -> bool:
        server = self._server
        return server is not None and not server._terminate_process

    def connect(self, ip: str) -> tuple[socket.socket, int]:
        """A new connection, and the port that the server sees as its client's."""
        port = next(self._ports) % 65536
        try:
            descriptor = self._connector.connect(ip, port)
        except ConnectionRefusedError:
            raise ConnectionRefusedError("the server has been terminated") from None
        return socket.socket(fileno=descriptor), port

    def raised(self, port: int) -> BaseException | None:
        """The exception of the handler of this connection's last request; it is told once."""
        return self._raised.pop(port, None)

    def end(self, wait: bool) -> None:
        server = self._server
        if server is not None:
            server.terminate()
            if wait and self._thread is not threading.current_thread():
                self._thread.join(server.config.get("termination_timeout", 30) + _GRACE)


def use(server: OutsideHTTP) -> Run:
    """The run of this server; begun if it does not run yet."""
    with _runs_lock:
        run: Run | None = server.__dict__.get("_test_run")
        with _users_lock:
            if run is not None and run.users > 0 and run.is_running():
                run.users += 1
                return run
            is_unused = run is not None and run.users == 0
        if run is not None and is_unused:
            run.end(wait=True)
        run = Run(server)
        run.users = 1
        run.start()
        server.__dict__["_test_run"] = run
        return run


def leave(run: Run, wait: bool = True) -> None:
    """A client needs this run no more. `wait` until it has ended, if that was the last one."""
    with _users_lock:
        run.users -= 1
        if run.users > 0:
            return
    run.end(wait)
