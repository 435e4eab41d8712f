"""The board on which all processes of a server write their numbers, as the processes among themselves see it.

The process that was started makes it. A worker inherits it with the fork; a generation is handed its descriptor. The
parent of a process reserves its place before, and adds its numbers up when it has ended, so that they stay counted.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from .. import _outside
from .handover import inherited_descriptor

# The environment variable that hands the board to a generation.
BOARD = "OUTSIDE_BOARD"
_log = logging.getLogger("outside")


class Board:
    """The board of a server; without `config["metrics"]` it does nothing."""

    def __init__(self, server: Any) -> None:
        inherited = inherited_descriptor(BOARD)
        self._board = _outside.Board(server, inherited) if server.config.get("metrics") else None
        if inherited is not None:
            # The engine has a handle of its own.
            os.close(inherited)

    def reserve(self) -> int | None:
        """A place for a process that is forked next."""
        return None if self._board is None else self._board.reserve()

    def begin(self, region: int | None, slot: int) -> None:
        """In the forked process: its numbers go to this place."""
        if self._board is not None and region is not None:
            self._board.begin(region, slot)

    def note_end(self, region: int | None, status: int) -> None:
        """The worker process of this place has ended."""
        if self._board is not None:
            if region is not None:
                self._board.fold(region)
            self._board.count_worker_end("order" if status == 0 else "error" if status > 0 else "signal")

    def give_back(self, region: int | None) -> None:
        """The process for this place was not started."""
        if self._board is not None and region is not None:
            self._board.fold(region)

    def begin_generation(self) -> tuple[int | None, dict[str, int]]:
        """The place of the generation that is started next, and the descriptor that it is handed, by name."""
        if self._board is None:
            return None, {}
        number = self._board.fileno()
        return self._board.begin_generation(), {} if number is None else {BOARD: number}

    def note_generation_end(self, block: int | None) -> None:
        """The generation of this place has ended."""
        if self._board is not None and block is not None:
            self._board.fold_generation(block)

    def note_reload(self, result: str) -> None:
        """A reload has ended: `served`, or `failed`."""
        if self._board is not None:
            self._board.count_reload(result)

    def tell(self, level: int, text: str) -> None:
        """Logs an event of the server as a whole, and keeps it for the status page. The text says nothing of requests."""
        _log.log(level, "%s", text)
        if self._board is not None:
            self._board.note_event(
                "error" if level >= logging.ERROR else "warning" if level >= logging.WARNING else "info", text
            )


def board_of(server: Any) -> Board:
    """The board of a server, made at the first call."""
    board: Board | None = server.__dict__.get("_board")
    if board is None:
        board = server.__dict__["_board"] = Board(server)
    return board
