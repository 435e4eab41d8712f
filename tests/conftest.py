"""Fixtures for all tests, and the signals that their processes inherit; `soak/conftest.py` has the same.

`make test` runs two tests at a time, and those with the mark `alone` one after another when the others have ended.
"""

from pathlib import Path

import pytest

from support.fixtures import app_address, no_process_stays, records, serve, server, site, start
from support.subprocesses import hand_on_default_signals
from support.timing import pytest_runtest_call

__all__ = ["app_address", "no_process_stays", "pytest_runtest_call", "records", "serve", "server", "site", "start"]

hand_on_default_signals()

# Folders and files of tests that fill the machine, or measure it. So does each test with the mark `timed`.
ALONE = (
    "certificates/test_faults.py",
    "files/test_many_files.py",
    "hosting/test_asgi_crowds.py",
    "hub/test_bounds.py",
    "limits/",
    "websocket/test_websocket_bombs.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks them, before pytest chooses by marks."""
    tests = Path(__file__).parent
    for item in items:
        if item.get_closest_marker("timed") or item.path.relative_to(tests).as_posix().startswith(ALONE):
            item.add_marker("alone")
