"""A server with topics, which every test here ends."""

from __future__ import annotations

import pytest

from support.topics import TopicServer


@pytest.fixture
def start(tmp_path):
    started = []

    def start_server(**settings: object) -> TopicServer:
        started.append(TopicServer(tmp_path, **settings))
        return started[-1]

    yield start_server
    for server in started:
        if server.process.poll() is None:
            server.stop()
