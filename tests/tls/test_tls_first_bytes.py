"""Clients that send the first byte of a handshake and no more: a place among the handshakes is for a complete ClientHello."""

from __future__ import annotations

import json
import time

import pytest

from support.certificates import certificate
from support.client_group import ClientGroup, need_descriptors
from support.harness import PROGRAMS, Script
from support.tls import fetch_over_tls

COUNT = 2500  # about ten times as many as there are places


@pytest.mark.timed
def test_thousands_of_first_bytes_hold_no_complete_hello_up(tmp_path):
    need_descriptors(2 * COUNT + 100)
    own = certificate(tmp_path / "own")
    script = Script(str(PROGRAMS / "attacked_app.py"), json.dumps(own.config))
    with ClientGroup(script.address, COUNT, b"\x16"):
        began = time.monotonic()
        assert fetch_over_tls(script.address, own.client()) == "hello"
        took = time.monotonic() - began
    assert took < 2.5
    assert script.stop() == 0, script.errors
