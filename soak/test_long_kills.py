"""A server that is killed at every step of writing, for a first certificate and for a renewal."""

from __future__ import annotations

import re

import pytest

from support.authority import Authority, needs_pebble
from support.certificate_kills import CALLS, killed_at, needs_strace, obtain
from support.mean_authority import MeanAuthority

pytestmark = [needs_pebble, needs_strace]

# More calls than an order makes.
MOST = 100


@pytest.fixture(scope="module")
def mean(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"), reuse=0)
    mean = MeanAuthority(authority)
    yield mean
    mean.stop()
    authority.stop()


@pytest.fixture(scope="module")
def before(mean, tmp_path_factory):
    return obtain(tmp_path_factory.mktemp("before"), mean)


@pytest.mark.parametrize("is_renewal", [False, True], ids=["first", "renewal"])
@pytest.mark.parametrize("call", CALLS)
def test_certificates_kills_at_each_step(mean, before, tmp_path, call, is_renewal):
    hits = []
    for number in range(1, MOST):
        hit = killed_at(tmp_path / str(number), mean, call, number, before if is_renewal else None)
        if hit is None:
            break
        hits.append(hit)
    else:
        pytest.fail(f"more than {MOST} calls")
    files = {found[0] for hit in hits if (found := re.search(r"(certificate\.pem|state\.json|challenges/[\w.-]+)", hit))}
    print(f"{call}, {'renewal' if is_renewal else 'first'}: killed {len(hits)} times, at {sorted(files)}")
    # Folders are looked at between the steps, so that not every openat can be met; writes, syncs and renames are the same each time.
    if call in ("fsync", "/^rename"):
        assert {"certificate.pem", "state.json"} <= files, hits
