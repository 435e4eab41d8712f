"""The Python half of `run()`: listens, then serves in this process alone, or has several processes.

Called by the engine's half of `OutsideHTTP.run`, once the configuration is known to be right.
"""

from __future__ import annotations

import os
from typing import Any

from .. import _log
from . import alone
from .board import board_of
from .fork import descriptors
from .generation import Parent, forget_environment, inherited_secret


def run(server: Any, reactors: int | None, recycles: bool = False) -> None:
    """Serves until terminated, then returns. `reactors` is the number of event loops of a single process; `None` if the
    configuration asks for several. `recycles` says that a worker is replaced from time to time, which needs a supervisor.

    Raises `SystemExit` in a process whose place another one has taken: the code after `run()` in the program is for that one.
    """
    _log.begin(server.config.get("access_log") == "json")
    parent = Parent.inherited()
    try:
        server._adopt_ticket_secret(inherited_secret())
        board_of(server)
        # `outside run --reload` has listened already, and starts the program again itself.
        has_reloader = server._slots() > 0
        if recycles and not has_reloader:
            reactors = None
        slots = _processes(server) if reactors is None else reactors
        if not has_reloader:
            server._listen(slots)
            forget_environment()
            for descriptor in descriptors(server):
                os.set_inheritable(descriptor, False)
        if parent is not None:
            # The process that was started removes the files of Unix sockets.
            server._disown_files()
        if reactors is not None:
            alone.serve(server, parent, has_reloader)
        else:
            from .supervisor import supervise

            supervise(server, parent, slots)
    finally:
        if parent is not None:
            parent.close()


def _processes(server: Any) -> int:
    processes = server.config.get("processes", 1)
    if processes == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(processes)
