"""Files that change while the server runs, while they are sent, and many that are sent at once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outside import Folder
from support.wire import request_bytes


def becomes(running, target: str, wanted: object, within: float = 3.0) -> None:
    """The answer becomes this in time, and each answer until then was the old file or the new one."""
    end = time.monotonic() + within
    while True:
        answer = running.fetch(target)
        found = answer.text if answer.status == 200 else answer.status
        if found == wanted:
            return
        assert time.monotonic() < end, f"still {found!r}"


def test_a_file_that_is_replaced_is_seen(serve, tmp_path):
    (tmp_path / "a.txt").write_text("old")
    running = serve({"/": Folder(str(tmp_path))})
    assert [running.fetch("/a.txt").text for _ in range(3)] == ["old"] * 3
    (tmp_path / "b.txt").write_text("newer")
    (tmp_path / "b.txt").rename(tmp_path / "a.txt")
    becomes(running, "/a.txt", "newer")
    (tmp_path / "a.txt").write_text("NEWER")
    becomes(running, "/a.txt", "NEWER")
    (tmp_path / "a.txt").unlink()
    becomes(running, "/a.txt", 404)
    (tmp_path / "a.txt").write_text("again")
    becomes(running, "/a.txt", "again")


def renamed(place: Path) -> tuple[Path, Callable[[], None]]:
    """The served path, and a function that publishes the new release by renaming the folder."""
    shutil.copytree(place / "old", place / "site")

    def publish() -> None:
        (place / "site").rename(place / "gone")
        (place / "new").rename(place / "site")

    return place / "site", publish


def relinked(place: Path) -> tuple[Path, Callable[[], None]]:
    """The same by a link that is exchanged."""
    (place / "current").symlink_to("old")

    def publish() -> None:
        (place / "next").symlink_to("new")
        (place / "next").rename(place / "current")

    return place / "current", publish


@pytest.mark.parametrize("deploy", [renamed, relinked])
def test_a_deployment_is_seen_within_seconds(serve, tmp_path, deploy):
    for release in ("old", "new"):
        (tmp_path / release / "deep").mkdir(parents=True)
        for name in ("index.html", "deep/a.txt", f"{release}.txt"):
            (tmp_path / release / name).write_text(f"{release} {name}")
        (tmp_path / release / "large.bin").write_text(release * 100_000)
    served, publish = deploy(tmp_path)
    running = serve({"/": Folder(str(served))})
    for name in ("index.html", "deep/a.txt", "old.txt"):
        assert running.fetch(f"/{name}").text == f"old {name}"
    assert running.fetch("/new.txt").status == 404
    assert running.fetch("/large.bin").text == "old" * 100_000
    publish()
    for name, wanted in (
        ("", "new index.html"),
        ("deep/a.txt", "new deep/a.txt"),
        ("new.txt", "new new.txt"),
        ("old.txt", 404),
    ):
        becomes(running, f"/{name}", wanted)
    becomes(running, "/large.bin", "new" * 100_000)


def test_a_folder_that_vanishes_and_comes_back(serve, site):
    running = serve({"/": Folder(str(site))})
    assert running.fetch("/a.txt").text == "a.txt"
    site.rename(site.parent / "away")
    becomes(running, "/a.txt", 404)
    (site.parent / "away").rename(site)
    becomes(running, "/a.txt", "a.txt")


@pytest.mark.parametrize("change", ["shrinks", "vanishes", "is replaced"])
def test_a_file_that_changes_while_it_is_sent_harms_only_its_own_connection(serve, tmp_path, change):
    path, size = tmp_path / "large.bin", 60_000_000
    with path.open("wb") as large:
        large.truncate(size)
    (tmp_path / "a.txt").write_text("a")
    running = serve({"/": Folder(str(tmp_path))})
    with running.wire() as wire, running.wire() as beside:
        assert beside.send(request_bytes("/a.txt")).receive_answer().text == "a"
        wire.send(request_bytes("/large.bin", headers={"Connection": "close"})).receive_some()
        if change == "shrinks":
            os.truncate(path, 1000)
        elif change == "vanishes":
            path.unlink()
        else:
            (tmp_path / "other").write_text("other")
            (tmp_path / "other").rename(path)
        body = wire.receive_rest().partition(b"\r\n\r\n")[2]
        # An open file stays whole; only bytes that were cut off cannot be sent.
        assert len(body) < size if change == "shrinks" else len(body) == size
        assert body.count(0) == len(body)
        assert beside.send(request_bytes("/a.txt")).receive_answer().text == "a"


def test_a_file_that_grows_while_it_is_sent_keeps_its_length(serve, tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 5_000_000)
    running = serve({"/": Folder(str(tmp_path))})
    with running.wire() as wire:
        wire.send(request_bytes("/log.txt")).receive_some()
        with path.open("ab") as log:
            log.write(b"y" * 1_000_000)
        answer = wire.receive_answer()
        assert answer.body == b"x" * 5_000_000
        assert wire.send(request_bytes("/")).receive_answer().status == 404, "in step"


def test_downloads_beside_one_another(serve, tmp_path):
    """Slow readers of a large file, and a fast one, and small files on one connection."""
    content = os.urandom(1 << 20) * 3
    (tmp_path / "large.bin").write_bytes(content)
    (tmp_path / "a.txt").write_text("a")
    running = serve({"/": Folder(str(tmp_path))})
    slow = [running.wire().send(request_bytes("/large.bin")) for _ in range(10)]
    assert running.fetch("/large.bin").body == content
    with running.wire() as wire:
        answers = wire.send(request_bytes("/a.txt") * 3 + request_bytes("/large.bin") + request_bytes("/a.txt"))
        assert [answers.receive_answer().body for _ in range(5)] == [b"a", b"a", b"a", content, b"a"]
    for wire in slow:
        assert wire.receive_answer().body == content
        wire.close()


@pytest.mark.parametrize(
    "size", [0, 1, 511, 512, 16_383, 16_384, 65_535, 65_536, 65_537, 262_144, 1_048_576, 1_048_577, 5_000_001]
)
@pytest.mark.parametrize("cache", [0, 64])
def test_sizes(serve, tmp_path, size, cache):
    content = os.urandom(size)
    (tmp_path / "data.bin").write_bytes(content)
    running = serve({"/": Folder(str(tmp_path))}, file_cache_mb=cache)
    for _ in range(2):
        answer = running.fetch("/data.bin")
        assert (answer.status, answer.header("Content-Length"), answer.body == content) == (200, str(size), True)
        assert running.fetch("/data.bin", "HEAD").header("Content-Length") == str(size)
