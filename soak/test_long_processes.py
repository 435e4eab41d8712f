"""Reloads, replacements and dying workers in full: 100 reloads within 200,000 requests, workers that are replaced within 500,000, and a
worker killed each second for a minute."""

from __future__ import annotations

import pytest

from support.gauge import MIB
from support.processes import kill_under_load, recycle_under_load, reload_under_load


def test_a_hundred_reloads(tmp_path):
    answers = reload_under_load(tmp_path, reloads=100, least=200_000)
    print(f"{answers} answers during 100 reloads: none refused, none reset, none wrong")


@pytest.mark.parametrize("processes", [1, 4])
def test_workers_are_replaced_within_half_a_million_requests(tmp_path, processes):
    workers = recycle_under_load(tmp_path, processes, most=5000, least=500_000)
    print(f"500,000 requests, {workers} workers, {processes} at a time: no request lost")


def test_a_worker_killed_each_second_for_a_minute(tmp_path):
    figures = kill_under_load(tmp_path, kills=60, pause=1)
    before, after = figures["before"], figures["after"]
    print(figures)
    # The first of each is the supervisor, which was there all the time.
    assert after["memory"][0] - before["memory"][0] < 2 * MIB
    assert max(after["memory"][1:]) < max(before["memory"][1:]) + 8 * MIB
    assert after["threads"][0] == before["threads"][0] == 1
    # On a busy machine each of the six clients may have had its call moved to a thread of its own.
    assert max(after["threads"][1:]) <= max(before["threads"][1:]) + 6
    assert after["descriptors"] == before["descriptors"]
