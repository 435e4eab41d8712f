"""Requests of other clients while an authority has each of its eighteen faults: as fast as without."""

from __future__ import annotations

import time

import pytest

from support.authority import Authority, needs_pebble, wait_for_certificate
from support.authority_faults import FAULTS, NAME
from support.mean_authority import MeanAuthority
from support.wire import fetch

pytestmark = needs_pebble

# Seconds of each of the periods with and without the fault, which take turns, and the number of pairs of them.
PERIOD, PAIRS = 2.0, 4
# Seconds by which the slowest of 100 may differ anyway: a turn of the scheduler of a machine with other programs.
SCHEDULER = 0.002


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"), reuse=0)
    yield authority
    authority.stop()


def times(port: int, name: str) -> list[float]:
    """The durations of the requests of one period."""
    found, end = [], time.monotonic() + PERIOD
    while time.monotonic() < end:
        begun = time.monotonic()
        assert fetch(("127.0.0.1", port), "/", headers={"Host": name}).status == 301
        found.append(time.monotonic() - begun)
    return found


def p99(found: list[float]) -> float:
    return sorted(found)[len(found) * 99 // 100]


@pytest.mark.timed
@pytest.mark.parametrize("fault", FAULTS)
def test_certificates_with_a_fault_of_the_authority(authority, serve, tmp_path, records, fault):
    """A server that keeps its certificate beside one whose authority has the fault and that tries again as soon as it has failed."""
    inject, said = FAULTS[fault]
    mean = MeanAuthority(authority)
    storage = tmp_path / "storage"
    without, during = [], []
    try:
        for number in range(PAIRS):
            mean.be_kind()
            quiet = serve(lambda request: "hello", **mean.config(tmp_path / "quiet", NAME))
            wait_for_certificate(authority.tls_port, authority.trusting(), NAME)
            without += times(authority.http_port, NAME)
            quiet.stop()
            settings = mean.config(storage / str(number), NAME)
            mean.be_kind()
            records.records.clear()
            running = serve(lambda request: "hello", **{**settings, **inject(mean, tmp_path / f"fault{number}")})
            during += times(authority.http_port, NAME)
            if said:
                records.wait_for(said)
            asked = len(mean.asked)
            mean.silence.set()
            running.stop()
            mean.silence.clear()
            authority.set_dns("clear-a", host=f"{NAME}.")
    finally:
        mean.stop()
    before, after = p99(without), p99(during)
    print(
        f"{fault}: p99 {before * 1000:.2f} ms without, {after * 1000:.2f} ms with, {len(during)} requests; {asked} asked of the CA"
    )
    assert after <= max(1.5 * before, before + SCHEDULER)
    # One attempt at most: the schedule waits a minute after a failure.
    assert asked <= 60
