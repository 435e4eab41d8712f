"""Servers for the tests: one in this process on a thread of its own, or a script in a process of its own.

Both are ready when the constructor returns: the first by `wait_until_ready`, the second because it printed its URL.
`Records` collects the records of the module, and waits for them: a line may come after the answer has left.
"""

from __future__ import annotations

import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from support.subprocesses import start_process
from support.wire import DEADLINE, Answer, Wire, fetch

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PROGRAMS = TESTS / "programs"


class Running:
    """A server of this process that runs on a thread until `stop()`."""

    def __init__(self, server: object) -> None:
        self.server = server
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="run", daemon=True)
        self.thread.start()
        end = time.monotonic() + DEADLINE
        # A server that cannot start ends its thread and is never ready.
        while server.wait_until_ready(0.05) is False and self.thread.is_alive():  # type: ignore[attr-defined]
            assert time.monotonic() < end, "not ready in time"
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            self.server.run()  # type: ignore[attr-defined]
        except BaseException as error:
            self.failure = error

    @property
    def address(self) -> tuple:
        return self.server.address  # type: ignore[attr-defined]

    def wire(self, window: int | None = None) -> Wire:
        return Wire(self.address, window=window)

    def fetch(self, target: str = "/", *arguments: object, **options: object) -> Answer:
        return fetch(self.address, target, *arguments, **options)  # type: ignore[arg-type]

    def wait_for_return(self) -> None:
        """`run()` has returned, without an exception."""
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "run() did not return"
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        self.server.terminate()  # type: ignore[attr-defined]
        self.wait_for_return()


class Script:
    """A Python script, or another program, whose server has printed its URL. It inherits the descriptors."""

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        program: Sequence[str] | None = None,
        folder: Path = PROGRAMS,
        stderr: int = subprocess.PIPE,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.process = start_process(
            [*(program or [sys.executable]), *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            pass_fds=descriptors,
        )
        self.before_url = ""
        try:
            self.line = self.read_line()
            while not (match := re.search(r"https?://(\[.*\]|[^/:\s]+):(\d+)", self.line)):
                self.before_url += self.line
                self.line = self.read_line()
        except BaseException:
            self.process.kill()
            raise
        self.address = (match[1].strip("[]"), int(match[2]))

    def read_line(self) -> str:
        """The next line of its standard output."""
        line, end = bytearray(), time.monotonic() + DEADLINE
        descriptor = self.process.stdout.fileno()  # type: ignore[union-attr]
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"no line in time, only {bytes(line)!r}"
            byte = os.read(descriptor, 1)
            if not byte:
                errors = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
                raise AssertionError(f"the script ended: {bytes(line)!r}\n{errors}")
            line += byte
        return line.decode()

    def stop(self, signum: int = 15) -> int:
        """Sends the signal; the exit status."""
        self.process.send_signal(signum)
        return self.wait()

    def wait(self) -> int:
        try:
            self.output, self.errors = ((text or b"").decode() for text in self.process.communicate(timeout=2 * DEADLINE))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode


class Records(logging.Handler):
    """The records of the logger `outside` and those below it, from any thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)  # with the traceback, as it would be written
        with self.changed:
            record.whole = text
            self.records.append(record)
            self.changed.notify_all()

    def wait_for(self, wanted: str | Callable[[logging.LogRecord], bool]) -> logging.LogRecord:
        """The first record that contains the text (or satisfies the condition), waiting for it."""
        fits = wanted if callable(wanted) else lambda record: wanted in record.whole
        with self.changed:
            found = self.changed.wait_for(lambda: any(fits(record) for record in self.records), DEADLINE)
            assert found, f"not logged: {wanted}; logged: {self.texts()}"
            return next(record for record in self.records if fits(record))

    def texts(self) -> list[str]:
        return [record.whole for record in self.records]  # type: ignore[attr-defined]


def shows(message: object, value: object) -> bool:
    """Whether a message quotes the value, in the notation of Python or of Rust."""
    text = re.sub(r"\\u\{([0-9a-f]+)\}", lambda match: f"\\x{int(match[1], 16):02x}", str(message)).replace("\\0", "\\x00")
    shown = repr(value)
    return (shown[1:-1] if isinstance(value, str) else shown) in text


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Asks again and again for something that has no event of its own, until a deadline."""
    end, never = time.monotonic() + DEADLINE, threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true"
        never.wait(0.002)  # lets the other threads run
