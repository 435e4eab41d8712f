"""Certificates of several processes, while a leader dies and the program is started again: the short form of `soak/`."""

from __future__ import annotations

from support.authority import needs_pebble
from support.certificate_keeping import keep_valid

pytestmark = needs_pebble


def test_certificates_that_live_for_seconds(tmp_path):
    figures = keep_valid(tmp_path, lifetime=10, processes=2, seconds=10, reload_every=6, kill_every=3.5, visitors=2)
    assert figures["handshakes"] > 50 and figures["kills"] >= 1 and figures["reloads"] == 1
