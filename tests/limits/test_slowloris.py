"""Two thousand clients that drip a head, or a body, beside one that is healthy (docs/security.md S23, S24).

Two servers alike: one has the healthy client alone, the other the group as well. They are asked in turns, request by
request, so that other work of the machine falls on both. Everything here is one thread: the group drips between
two requests of the healthy client, and only those requests are timed.
"""

from __future__ import annotations

import pytest

from support.slowloris import (
    HALF_HEAD,
    check_healthy,
)

pytestmark = pytest.mark.timed


def test_two_thousand_dripping_heads():
    check_healthy(HALF_HEAD, 2000, deadline=6, seconds=4, header_timeout=6)
