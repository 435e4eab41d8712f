"""Memory and numbers in their short form; `make soak` has the full one (10,000 connections, 1 GiB each way)."""

from __future__ import annotations

import pytest

from support.endurance import (
    download_growth,
    growth_without_readers,
    idle_connection_memory,
    idle_websocket_memory,
    many_at_once,
    tell_many,
    upload_growth,
)
from support.gauge import MIB

SIZE = 128 * MIB


def test_an_idle_connection_costs_little():
    each = idle_connection_memory(2000)
    print(f"{each:.0f} bytes for each idle connection")
    assert each <= 4096


@pytest.mark.parametrize(("style", "count", "most"), [("callbacks", 2000, 2), ("async", 1000, 8), ("blocking", 200, 40)])
def test_an_idle_websocket_costs_little(style, count, most):
    count, each = idle_websocket_memory(style, count)
    print(f"{each:.0f} bytes for each of {count} idle WebSockets")
    assert each <= most * 1024


@pytest.mark.xfail(strict=True, reason="a connection keeps room for as many exchanges as it ever had together")
def test_an_idle_connection_that_has_pipelined_costs_little():
    assert idle_connection_memory(500, together=64) <= 4096


def test_unread_answers_are_not_gathered():
    """64 requests with one write: not 64 large answers in memory."""
    assert growth_without_readers(f"/bytes?n={4 * MIB}", together=64) < 64 * MIB


def test_a_thousand_connections_at_once():
    many_at_once(1000, rounds=3)


def test_pieces_are_not_gathered():
    assert download_growth(f"/pieces?n={SIZE}", SIZE) < 32 * MIB


def test_pieces_of_an_async_generator_are_not_gathered():
    assert download_growth(f"/async_pieces?n={SIZE}", SIZE) < 32 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("route", ["/save", "/take"])
def test_content_that_is_taken_while_it_comes_in_is_not_gathered(route, chunked):
    assert upload_growth(route, SIZE, chunked=chunked) < 16 * MIB


def test_many_readers_of_events():
    tell_many(500, times=5)


def test_a_file_is_not_read_into_memory(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SIZE)
    assert download_growth(f"/file?path={path}", SIZE) < 32 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_large_content_is_not_kept_in_memory(chunked):
    assert upload_growth("/ignore", SIZE, chunked=chunked) < 32 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_large_content_is_there_when_asked_for(chunked):
    """Then it is in memory once: as the bytes that the handler asked for."""
    assert upload_growth("/count", SIZE, chunked=chunked) < SIZE + 32 * MIB
