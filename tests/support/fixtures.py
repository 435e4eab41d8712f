"""Fixtures that every test shares: the application of the corpus in its own process, servers in this one, the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outside import OutsideHTTP
from support.harness import PROGRAMS, Records, Running, Script
from support.subprocesses import kill_started_processes


@pytest.fixture(scope="module", autouse=True)
def no_process_stays() -> Iterator[None]:
    """Ends the processes that the tests of a module have left, as a test does that fails."""
    yield
    kill_started_processes()


@pytest.fixture(scope="module")
def app_address() -> Iterator[tuple]:
    """Where `tests/programs/app.py` listens; one process for each module of tests."""
    script = Script(str(PROGRAMS / "app.py"))
    yield script.address
    assert script.stop() == 0, script.errors


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Starts servers in this process: `serve(handler)` or `serve({"/a": handler, …}, key=value, …)`."""
    started: list[Running] = []

    def start(routes: object = None, /, **config: object) -> Running:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config.update({"access_log": "off", "termination_timeout": 5, **config})
        for route, handler in (routes if isinstance(routes, dict) else {"/": routes} if routes else {}).items():
            server.set_route(route, handler)
        started.append(Running(server))
        return started[-1]

    start.forget = started.clear  # type: ignore[attr-defined] - of servers that have ended
    yield start
    for running in started:
        running.stop()


@pytest.fixture
def server() -> OutsideHTTP:
    """A server that does not run yet, for decorators; `start()` runs it."""
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"access_log": "off", "termination_timeout": 5})
    return server


@pytest.fixture
def start(server: OutsideHTTP) -> Iterator[Callable[[], Running]]:
    """Runs `server` until the test ends: `start()`."""
    started: list[Running] = []

    def start_once() -> Running:
        started.append(Running(server))
        return started[-1]

    yield start_once
    for running in started:
        running.stop()


@pytest.fixture
def records() -> Iterator[Records]:
    """Everything logged under `outside` while the test runs."""
    logger, handler = logging.getLogger("outside"), Records()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site; every file holds its own name."""
    for name in ("index.html", "a.txt", "docs/index.html", "docs/b.txt", "bare/c.txt"):
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "site"
