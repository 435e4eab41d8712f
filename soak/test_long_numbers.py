"""10,000 connections, and 1 GiB each way: the promises about memory and numbers, in full."""

from __future__ import annotations

import json

import pytest

from support.client_group import ClientGroup
from support.endurance import (
    answer_length,
    download_growth,
    idle_connection_memory,
    idle_websocket_memory,
    many_at_once,
    tell_many,
    upload_growth,
)
from support.gauge import MIB, cpu_seconds
from support.harness import PROGRAMS, Script

GIB = 1024 * MIB
MOST = 64 * MIB


def test_ten_thousand_idle_connections():
    each = idle_connection_memory(10_000)
    print(f"{each:.0f} bytes for each idle connection")
    assert each <= 4096


@pytest.mark.parametrize(("style", "count", "most"), [("callbacks", 15_000, 2), ("async", 15_000, 8), ("blocking", 2000, 40)])
def test_thousands_of_websockets(style, count, most):
    """All are open at once and answer; how many depends on the limit of descriptors (`ulimit -Hn`)."""
    count, each = idle_websocket_memory(style, count)
    print(f"{each:.0f} bytes for each of {count} idle WebSockets")
    assert each <= most * 1024


def test_ten_thousand_connections_at_once():
    many_at_once(10_000, rounds=5)


def test_a_gibibyte_in_pieces():
    grown = download_growth(f"/pieces?n={GIB}", GIB)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < MOST


def test_a_gibibyte_in_pieces_of_an_async_generator():
    grown = download_growth(f"/async_pieces?n={GIB}", GIB)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < MOST


@pytest.mark.parametrize("route", ["/save", "/take"])
def test_a_gibibyte_that_is_taken_while_it_comes_in(route):
    grown = upload_growth(route, GIB, chunked=False)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < MOST


def test_ten_thousand_readers_of_events():
    tell_many(10_000, times=5)


def test_a_gibibyte_from_a_file(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(GIB)
    grown = download_growth(f"/file?path={path}", GIB)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < MOST


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_gibibyte_up(chunked):
    grown = upload_growth("/ignore", GIB, chunked=chunked)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < MOST


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_gibibyte_that_the_handler_asks_for(chunked):
    """Then it is in memory once, as the bytes that the handler asked for."""
    grown = upload_growth("/count", GIB, chunked=chunked)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < GIB + MOST


def test_a_thousand_connections_for_two_hundred_descriptors():
    """docs/security.md S26: idle ones are shed, others are answered, and the server does not spin."""
    script = Script(str(PROGRAMS / "greedy_app.py"), json.dumps({}), "256")
    with ClientGroup(script.address, 1000) as group:
        length = answer_length(script.address)
        for _ in range(20):
            assert answer_length(script.address) == length
        assert group.ended() >= 780
        before = cpu_seconds(script.process.pid)
        for _ in range(20):
            group.receive(0.1)
        assert cpu_seconds(script.process.pid) - before < 0.4
    assert script.stop() == 0, script.errors
