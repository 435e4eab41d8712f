"""`@server.every`: each tick of a schedule is given to one process."""

from __future__ import annotations

import os
import re

import pytest

from outside import OutsideHTTP

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def ticks(server, count: int) -> list[tuple[int, int]]:
    """Number and process of the next ticks."""
    found = []
    while len(found) < count:
        if match := re.fullmatch(r"tick (\d+) (\d+)\n", server.read_line()):
            found.append((int(match[1]), int(match[2])))
    return found


@pytest.mark.parametrize("processes", [1, 3])
def test_each_tick_runs_once(share, processes):
    server = share(processes=processes, every=["tick"], period="50ms")
    numbers = [number for number, _ in ticks(server, 12)]
    assert numbers == sorted(set(numbers)) and numbers[0] >= 1
    assert server.stop() == 0


def test_a_process_that_dies_costs_its_tick(share):
    server = share(processes=3, every=["tick"])
    workers = server.each()
    (first, _), *_ = ticks(server, 1)
    doomed = first + 4
    workers[0].do(f"shared.set('kill', {doomed})")
    seen = ticks(server, 1)
    while seen[-1][0] <= doomed:
        seen += ticks(server, 1)
    numbers = [number for number, _ in seen]
    assert numbers == sorted(set(numbers))
    killed = dict(seen).get(doomed)
    if killed is None:  # the machine was too busy for this one tick
        pytest.skip("no process had time for the tick that kills")
    assert all(pid != killed for number, pid in seen if number > doomed)
    assert server.stop() == 0


def test_a_run_has_no_other_beside_it(share):
    server = share(processes=3, every=["long"], period="50ms")
    lines = []
    while len(lines) < 8:
        if match := re.fullmatch(r"(begin|end) (\d+)\n", server.read_line()):
            lines.append(match.groups())
    begins, ends = lines[::2], lines[1::2]
    assert [kind for kind, _ in begins] == ["begin"] * 4 and [kind for kind, _ in ends] == ["end"] * 4
    assert [pid for _, pid in begins] == [pid for _, pid in ends]
    assert server.stop() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_fails_is_logged_and_the_schedule_goes_on(share, processes):
    server = share(processes=processes, every=["failing"], period=0.05)
    for number in (1, 2, 3):
        server.wait_for(f"ValueError: at number {number}")
    assert server.stop() == 0
    assert "the function of a schedule failed" in "\n".join(server.heard)


@pytest.mark.parametrize("period", ["", "1", "m", "1 fortnight", "10ms", "-1s", 0, 0.001, True, None, "400d", float("nan")])
def test_a_wrong_period_is_refused_where_it_is_written(period):
    server = OutsideHTTP(("127.0.0.1", 0))
    with pytest.raises(ValueError, match=r"test_every\.py:\d+: a period is a text such as '30s', '5m', '2h' or '1d'"):
        server.every(period)


def test_two_schedules_have_two_names():
    server = OutsideHTTP(("127.0.0.1", 0))
    server.every("1m", name="clean")(lambda: None)
    with pytest.raises(
        ValueError, match=r"test_every\.py:\d+: there is a schedule named 'clean' already; give this one another name="
    ):
        server.every("5m", name="clean")(lambda: None)
