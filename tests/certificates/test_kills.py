"""A server that is killed at steps of writing a certificate: `soak/` has all steps."""

from __future__ import annotations

import pytest

from support.authority import Authority, needs_pebble
from support.certificate_kills import killed_at, needs_strace, obtain
from support.mean_authority import MeanAuthority

pytestmark = [needs_pebble, needs_strace]


@pytest.fixture(scope="module")
def mean(tmp_path_factory):
    # A proof is asked for each time, so the calls of each order are the same.
    authority = Authority(tmp_path_factory.mktemp("authority"), reuse=0)
    mean = MeanAuthority(authority)
    yield mean
    mean.stop()
    authority.stop()


@pytest.fixture(scope="module")
def before(mean, tmp_path_factory):
    return obtain(tmp_path_factory.mktemp("before"), mean)


@pytest.mark.parametrize(
    ("call", "number", "shown"),
    [
        # The challenge is written first, the certificate second.
        ("fsync", 3, ".certificate.pem."),
        ("/^rename", 2, "certificate.pem"),
        ("fsync", 4, "certificates/kept.example>"),
    ],
    ids=["before the content is synced", "before it is in its place", "before the folder is synced"],
)
def test_a_renewal_that_is_cut_off(mean, before, tmp_path, call, number, shown):
    assert shown in (killed_at(tmp_path, mean, call, number, before) or "the certificate was obtained")
