"""A server whose processes share state, and its workers, each reached through a connection of its own."""

from __future__ import annotations

import ast
from typing import Any
from urllib.parse import quote

from support.topics import TopicServer, each_worker
from support.wire import Answer, Wire, request_bytes


class SharedServer(TopicServer):
    """`shared_app.py` with these settings."""

    program = "shared_app.py"

    def each(self) -> list[Worker]:
        """All workers; with one process, that one."""
        if self.processes == 1:
            return [Worker(self, None)]
        return [Worker(self, pid) for pid in each_worker(self)]

    def of(self, pid: int) -> Worker:
        return Worker(self, pid)


class Worker:
    """One worker, which evaluates expressions."""

    def __init__(self, server: SharedServer, pid: int | None) -> None:
        self.wire = Wire(server.address) if pid is None else server.wire_to(pid)
        self.pid = pid

    def fetch(self, target: str) -> Answer:
        return self.wire.send(request_bytes(target)).receive_answer()

    def do(self, code: str, path: str = "/do") -> Any:
        """The value of an expression about `shared`; what it raises is an `AssertionError` with its text."""
        text = self.fetch(f"{path}?code={quote(code, safe='')}").text
        assert text.startswith("= "), text
        return ast.literal_eval(text[2:])

    def aio(self, code: str) -> Any:
        """The value of what an expression about `aio` is awaited for, in an `async def` handler."""
        return self.do(code, "/aio")

    def fails(self, code: str, path: str = "/do") -> str:
        """What the expression raises."""
        text = self.fetch(f"{path}?code={quote(code, safe='')}").text
        assert text.startswith("! "), text
        return text[2:]
