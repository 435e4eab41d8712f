"""The long forms use the helpers and the fixtures of the tests in `tests/`, which pytest finds by `pythonpath` in pyproject.toml."""

from support.fixtures import records, serve

__all__ = ["records", "serve"]
