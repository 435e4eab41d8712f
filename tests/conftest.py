"""Fixtures for all tests, and the signals that their processes inherit; `soak/conftest.py` has the same."""

from support.fixtures import app_address, no_process_stays, records, serve, server, site, start
from support.subprocesses import hand_on_default_signals
from support.timing import pytest_runtest_call

__all__ = ["app_address", "no_process_stays", "pytest_runtest_call", "records", "serve", "server", "site", "start"]

hand_on_default_signals()
