"""The life of a worker process: its start hook, serving on its slot's listeners, its stop hook; then it is gone.

It never returns into the user's program. It tells the supervisor by single bytes through a pipe, is told by signals (SIGTERM:
terminate, SIGUSR2: retire), and ends by itself when the supervisor is gone.
"""

import logging
import os
import random
import signal
import threading
import time
from types import FrameType
from typing import Any, NoReturn

from . import at_fork as _at_fork
from .fork import descriptors, flush, release
from .hub import take_seat

_log = logging.getLogger("outside")

# The words of a worker: that it serves; that it has heard SIGTERM; that it ends because the program called `terminate()`; that
# a handler does not end, so that another worker should take its place (the engine says that, even while the handler holds
# Python's lock).
# It has had as many requests, or has as much memory, as it may, which the engine says too.
READY, ENDING, TERMINATED, STUCK, RECYCLED, GROWN = b"r", b"e", b"t", b"s", b"m", b"g"
# The exit status of a worker that could not start.
FAILED = 3
# After its supervisor is gone, a worker has this much beyond `termination_timeout`.
GRACE = 5.0


def work(server: Any, slot: int, report: int, lifeline: int, seat: Any, mask: set[int]) -> NoReturn:
    """Serves in this process, which was forked for nothing else, with signals still blocked; `mask` lets them in. `seat`: its
    seat at the hub, if there is one."""
    status = FAILED
    try:
        status = _Work(server, slot, report, lifeline, seat).run(mask)
    except SystemExit as end:  # told to end while it was starting, or a hook that wants out
        status = end.code if isinstance(end.code, int) else FAILED
    except BaseException:
        _log.exception("worker %d failed", slot)
    finally:
        _at_fork.end_daemonic_children()
        flush()
        os._exit(status)


class _Work:
    def __init__(self, server: Any, slot: int, report: int, lifeline: int, seat: Any) -> None:
        self._server = server
        self._slot = slot
        self._report = report
        self._lifeline = lifeline
        self._seat = seat
        self._starting = True
        self._ending = False
        self._retiring = False

    def run(self, mask: set[int]) -> int:
        config = self._server.config
        _at_fork.pipes[:] = self._report, self._lifeline
        # It is called once for all, by the supervisor.
        config["server_cleanup"] = None
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGUSR2, self._retire)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        release(descriptor for descriptor, slot, _ in self._server._descriptors() if slot != self._slot)
        if load := self._server.__dict__.pop("_load", None):
            load()
        # Before the start hook, which may publish.
        has_seat = take_seat(self._server, self._seat)
        start, stop = config.get("on_worker_start"), config.get("on_worker_stop")
        if start is not None:
            try:
                start(self._slot)
            except Exception:
                _log.exception("on_worker_start failed in worker %d", self._slot)
                return FAILED
        if config.get("max_requests") and config.get("max_requests_jitter"):
            config["max_requests"] += random.randint(0, config["max_requests_jitter"])
        self._starting = False
        if not has_seat and self._server._slots() > 1:
            _warn_at_publish(self._server)
        threading.Thread(target=self._watch, name="outside-lifeline", daemon=True).start()
        try:
            was_asked_to = self._server._serve(self._slot, self._ready, self._report)
            if was_asked_to and not self._ending and not self._retiring:
                self._say(TERMINATED)
        finally:
            if stop is not None:
                try:
                    stop(self._slot)
                except Exception:
                    _log.exception("on_worker_stop failed in worker %d", self._slot)
        return 0

    def _ready(self) -> None:
        # The server has its own handle of the listener; with this one left open, the port would stay open after it.
        release(descriptors(self._server))
        self._say(READY)
        # A signal may have come before there was a server that could hear it.
        if self._ending:
            self._server.terminate()
        elif self._retiring:
            self._server._retire()

    def _say(self, word: bytes) -> None:
        try:
            os.write(self._report, word)
        except OSError:
            pass  # the supervisor is gone, and the lifeline tells

    def _terminate(self, signum: int, frame: FrameType | None) -> None:
        if not self._ending:
            self._ending = True
            self._say(ENDING)
        if self._starting:
            # Nothing was served yet. The start hook is not waited for any more.
            raise SystemExit(0)
        self._server.terminate(signum, frame)

    def _retire(self, signum: int, frame: FrameType | None) -> None:
        self._retiring = True
        if self._starting:
            raise SystemExit(0)
        self._server._retire()

    def _watch(self) -> None:
        """Waits for the end of the supervisor, of which no signal tells."""
        os.read(self._lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        config = self._server.config
        time.sleep(float(config.get("drain_delay", 0)) + float(config.get("termination_timeout", 30)) + GRACE)
        os._exit(1)


def _warn_at_publish(server: Any) -> None:
    """Has the first call of `publish` say in the log how far it reaches; the calls after it cost no more than in a single
    process."""

    def publish(topic: str, data: Any) -> None:
        if server.__dict__.pop("publish", None) is not None:
            _log.warning(
                'publish() reaches the connections of its own process alone, and config["processes"] has asked for several: '
                "clients of the others do not get the message"
            )
        server.publish(topic, data)

    server.__dict__["publish"] = publish
