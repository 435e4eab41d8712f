"""The long forms use the helpers and the fixtures of the tests in `tests/`, which pytest finds by `pythonpath` in pyproject.toml."""

from support.fixtures import no_process_stays, records, serve
from support.subprocesses import hand_on_default_signals
from support.timing import pytest_runtest_call

__all__ = ["no_process_stays", "pytest_runtest_call", "records", "serve"]

hand_on_default_signals()
