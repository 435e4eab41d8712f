"""Large trees and large files, with the numbers as arguments: `make test` runs it short, `make soak` in full.

As in endurance.py the server is a process of its own, measured from outside.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.gauge import forget_peak, need_proc, peak_memory, resident_memory
from support.harness import PROGRAMS, Script
from support.wire import Wire, request_bytes

TOGETHER = 50


@contextmanager
def serving(folder: Path, **given: object) -> Iterator[Script]:
    script = Script(str(PROGRAMS / "files_app.py"), json.dumps({"folder": str(folder), **given}))
    yield script
    assert script.stop() == 0, script.errors


def grow_tree(place: Path, count: int, size: int, *, sparse: bool = False) -> list[str]:
    """So many files of so many bytes, a thousand in each folder; their paths. A sparse one takes no room on the disk."""
    place.mkdir()
    content = b"x" * (0 if sparse else size)
    paths = []
    for number in range(count):
        if number % 1000 == 0:
            (place / f"{number // 1000:03}").mkdir()
        path = f"{number // 1000:03}/{number:06}.bin"
        descriptor = os.open(place / path, os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, content) if content else os.ftruncate(descriptor, size)
        os.close(descriptor)
        paths.append(path)
    return paths


def ask_for_all(address: tuple, paths: list[str], size: int, method: str = "GET") -> None:
    """Every file once, many requests with one write; each is answered with its length."""
    with Wire(address, deadline=60) as wire:
        for start in range(0, len(paths), TOGETHER):
            some = paths[start : start + TOGETHER]
            wire.send(b"".join(request_bytes(f"/s/{path}", method) for path in some))
            for _ in some:
                answer = wire.receive_answer(head=method == "HEAD")
                assert (answer.status, answer.header("Content-Length")) == (200, str(size))


def cache_growth(place: Path, count: int, size: int, cache_mb: int) -> int:
    """By how much memory grows at most while every file of a tree is asked for twice; others are answered meanwhile."""
    need_proc()
    paths = grow_tree(place, count, size)
    with serving(place, config={"file_cache_mb": cache_mb}) as script:
        pid = script.process.pid
        ask_for_all(script.address, paths[:100], size)
        forget_peak(pid)
        before = resident_memory(pid)
        for _ in range(2):
            ask_for_all(script.address, paths, size)
        return peak_memory(pid) - before


def open_files(pid: int, below: Path) -> list[str]:
    """The files below a folder that a process holds open, as the kernel calls them."""
    found = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue  # closed meanwhile
        if name.startswith(f"{below}/"):
            found.append(name)
    return found


def listing_growth(folder: Path, rounds: int) -> tuple[int, int]:
    """By how much memory grows at most while a folder is listed so often, four at a time; and the bytes of one listing."""
    need_proc()
    ask = request_bytes("/s/")
    with serving(folder, options={"listing": True}, config={"compression": False}) as script:
        pid = script.process.pid
        with Wire(script.address, deadline=60) as wire:
            length = len(wire.send(ask).receive_answer().body)
            forget_peak(pid)
            before = resident_memory(pid)
            for _ in range(rounds):
                wire.send(ask * 4)
                for _ in range(4):
                    assert len(wire.receive_answer().body) == length
        return peak_memory(pid) - before, length


def folder_download_growth(place: Path, size: int, *, ranges: bool = False) -> int:
    """By how much memory grows at most while a file of so many bytes is downloaded from a folder."""
    need_proc()
    place.mkdir()
    with (place / "sparse.bin").open("wb") as file:
        file.truncate(size)
    (place / "a.txt").write_text("a")
    headers = {"Connection": "close", **({"Range": "bytes=1-,0-0"} if ranges else {})}
    with serving(place) as script:
        pid = script.process.pid
        ask_for_all(script.address, ["a.txt"] * 100, 1)
        forget_peak(pid)
        before = resident_memory(pid)
        with Wire(script.address, deadline=60) as wire:
            wire.send(request_bytes("/s/sparse.bin", headers=headers))
            count, buffer = 0, bytearray(1 << 20)
            while received := wire.socket.recv_into(buffer):
                count += received
        assert size < count < size + 2000
        return peak_memory(pid) - before
