"""Short forms of what `soak/test_long_topics.py` does for minutes: many clients, workers that die, reloads."""

from __future__ import annotations

import os

import pytest

from support.topic_endurance import all_get_all, stay_flat, survive_kills

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def test_forty_clients_get_all(start):
    server = start(processes=4)
    all_get_all(server, clients=40, publishes=1000)
    assert server.stop() == 0


def test_worker_killed(start):
    server = start(processes=4)
    survive_kills(server, seconds=3, every=0.2)
    server.stop()


def test_descriptors_and_threads_stay_flat(start):
    server = start(processes=2)
    stay_flat(server, rounds=2)
    assert server.stop() == 0
