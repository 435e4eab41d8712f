"""A server with topics, which every test here ends."""

from __future__ import annotations

import pytest

from support.shared import SharedServer
from support.topics import TopicServer


@pytest.fixture
def start(tmp_path):
    yield from starter(TopicServer, tmp_path)


@pytest.fixture
def share(tmp_path):
    yield from starter(SharedServer, tmp_path)


def starter(kind, folder):
    started = []

    def start_server(**settings: object) -> TopicServer:
        started.append(kind(folder, **settings))
        return started[-1]

    yield start_server
    for server in started:
        if server.process.poll() is None:
            server.stop()
