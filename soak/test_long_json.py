"""JSON against the standard library: a million random values, written and read."""

from __future__ import annotations

from application.test_json_engine import compare


def test_a_million_random_values():
    compare(1_000_000, 29)
