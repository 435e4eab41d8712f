"""Trees and files that are large, in their short form; `make soak` has the full one (100,000 files, 1 GiB)."""

from __future__ import annotations

import os

import pytest

from outside import FilePath, Response
from support.gauge import MIB, need_proc
from support.harness import wait_until
from support.many_files import (
    ask_for_all,
    cache_growth,
    folder_download_growth,
    grow_tree,
    listing_growth,
    open_files,
    serving,
)
from support.wire import fetch


def test_the_cache_keeps_its_bound(tmp_path):
    """8,000 files of 4 KiB are 32 MiB, and the cache has 4."""
    grown = cache_growth(tmp_path / "tree", 8_000, 4096, cache_mb=4)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < 12 * MIB


def test_large_files_that_are_kept_open_are_bounded(tmp_path):
    """3,000 files that are too large to be kept in memory, within the 1,024 descriptors of most processes."""
    need_proc()
    paths = grow_tree(tmp_path / "tree", 3_000, 100_000, sparse=True)
    with serving(tmp_path / "tree") as script:
        ask_for_all(script.address, paths, 100_000, "HEAD")
        assert len(open_files(script.process.pid, tmp_path)) <= 1_024 + 8


def test_few_descriptors_are_enough(tmp_path):
    need_proc()
    paths = grow_tree(tmp_path / "tree", 1_000, 100_000, sparse=True)
    with serving(tmp_path / "tree", descriptors=128) as script:
        for _ in range(2):
            ask_for_all(script.address, paths, 100_000, "HEAD")
        assert len(open_files(script.process.pid, tmp_path)) <= 64
        ask_for_all(script.address, paths[:20], 100_000)


def test_a_file_that_was_deleted_is_let_go(tmp_path):
    """The disk has its room again after somebody has asked for the file once more."""
    need_proc()
    [path] = grow_tree(tmp_path / "tree", 1, 1_000_000)
    with serving(tmp_path / "tree") as script:
        ask_for_all(script.address, [path] * 3, 1_000_000)
        (tmp_path / "tree" / path).unlink()
        wait_until(lambda: fetch(script.address, f"/s/{path}").status == 404)
        wait_until(lambda: not any(name.endswith("(deleted)") for name in open_files(script.process.pid, tmp_path)))


def test_files_that_a_handler_makes_for_one_answer_are_let_go(serve, tmp_path):
    """An export is written, sent, and deleted: nothing of it stays open."""
    need_proc()

    def export(request):
        path = tmp_path / f"{request.params['n']}.bin"
        path.write_bytes(b"x" * 1_000_000)
        return Response(200, {}, FilePath(path))

    def delete(request, response):
        (tmp_path / f"{request.params['n']}.bin").unlink()

    running = serve(export, post_callback=delete)
    for number in range(50):
        assert len(running.fetch(f"/?n={number}").body) == 1_000_000
    wait_until(lambda: open_files(os.getpid(), tmp_path) == [])


def test_a_listing_is_not_kept(tmp_path):
    grow = tmp_path / "in"
    grow.mkdir()
    for number in range(10_000):
        os.close(os.open(grow / f"{number}.txt", os.O_CREAT | os.O_WRONLY))
    grown, length = listing_growth(grow, rounds=3)
    print(f"memory grew by {grown / MIB:.1f} MiB for pages of {length / MIB:.1f} MiB")
    assert length < 4 * MIB
    # Four answers at once, each as a page and as its entries.
    assert grown < 48 * MIB


@pytest.mark.parametrize("ranges", [False, True], ids=["whole", "parts"])
def test_a_large_file_is_not_read_into_memory(tmp_path, ranges):
    grown = folder_download_growth(tmp_path / "tree", 64 * MIB, ranges=ranges)
    print(f"memory grew by {grown / MIB:.1f} MiB")
    assert grown < 8 * MIB
