"""A server of the tests of metrics, ended behind each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.metrics import Measured


@pytest.fixture
def start_measured(tmp_path) -> Iterator[object]:
    started: list[Measured] = []

    def start(**settings: object) -> Measured:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Measured(folder, **settings))
        return started[-1]

    yield start
    for script in started:
        script.end()
