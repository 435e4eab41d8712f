"""A tree of 100,000 files, and a file of 1 GiB: the promises about files, in full."""

from __future__ import annotations

import os

import pytest

from support.gauge import MIB
from support.many_files import cache_growth, folder_download_growth, listing_growth
from support.path_races import race

GIB = 1024 * MIB


def test_a_hundred_thousand_files(tmp_path):
    grown = cache_growth(tmp_path / "tree", 100_000, 2048, cache_mb=16)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < 40 * MIB


def test_a_folder_of_a_hundred_thousand_files(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(100_000):
        os.close(os.open(tmp_path / "in" / f"{number}.txt", os.O_CREAT | os.O_WRONLY))
    grown, length = listing_growth(tmp_path / "in", rounds=10)
    print(f"memory grew by {grown / MIB:.1f} MiB for pages of {length / MIB:.1f} MiB")
    assert length < 4 * MIB
    assert grown < 48 * MIB


@pytest.mark.parametrize("ranges", [False, True], ids=["whole", "parts"])
def test_a_gibibyte_from_a_folder(tmp_path, ranges):
    grown = folder_download_growth(tmp_path / "tree", GIB, ranges=ranges)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < 8 * MIB


@pytest.mark.parametrize("without", [None, "ENOSYS"])
def test_links_that_are_swapped_for_long(tmp_path, without):
    """As in the tests, for up to a minute."""
    seen = race(tmp_path, requests=1_000_000, **({"without": without} if without else {}))
    print(f"answers: {seen}")
