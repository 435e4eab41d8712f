"""Folders with links of every kind, a client that asks for raw targets, and links that change while it asks."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path

from support.harness import PROGRAMS, Script
from support.path_corpus import SECRET
from support.wire import Answer, Wire


def start_files_app(folder: Path, **given: object) -> Script:
    return Script(str(PROGRAMS / "files_app.py"), json.dumps({"folder": str(folder), **given}))


class RawClient:
    """Asks for raw targets, on one connection as long as the server keeps it. Nothing secret may ever come."""

    def __init__(self, address: tuple) -> None:
        self.address = address
        self.wire: Wire | None = None

    def get(self, target: bytes) -> Answer:
        wire, self.wire = self.wire or Wire(self.address), None
        wire.send_if_possible(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = wire.receive_answer()
        assert SECRET.encode() not in answer.body, f"{target!r} got the secret"
        if answer.header("Connection") == "close":
            wire.close()
        else:
            self.wire = wire
        return answer


LINKS = [
    # where it lies, where it points to, and the text that a client gets by policy: inside, never, anywhere
    ("near.txt", "a.txt", "a", None, "a"),
    ("sub/up.txt", "../a.txt", "a", None, "a"),
    ("round.txt", "sub/../a.txt", "a", None, "a"),
    ("twice.txt", "near.txt", "a", None, "a"),
    ("dot.txt", "./sub/./b.txt", "b", None, "b"),
    ("over.txt", "sub/../../public/a.txt", None, None, "a"),
    ("out.txt", "../secret.txt", None, None, SECRET),
    ("sub/out.txt", "../../secret.txt", None, None, SECRET),
    ("far.txt", "../public-secret/secret.txt", None, None, SECRET),
    ("through.txt", "out.txt", None, None, SECRET),
    ("sneaky.txt", "sub/deep/../../../secret.txt", None, None, SECRET),
    ("absolute.txt", "{place}/secret.txt", None, None, SECRET),
    ("absolute-inside.txt", "{place}/public/a.txt", None, None, "a"),
    ("dangling.txt", "nothing.txt", None, None, None),
    ("loop.txt", "loop.txt", None, None, None),
    ("ping.txt", "pong.txt", None, None, None),
    ("pong.txt", "ping.txt", None, None, None),
    ("zero", "/dev/zero", None, None, None),
    ("proc", "/proc/self/environ", None, None, ""),  # a file that seems to be empty
    ("tty", "/dev/tty", None, None, None),
    ("long.txt", "./" * 100 + "a.txt", "a", None, "a"),
]


# Links to folders, and the paths that are asked for.
FOLDERS = [
    ("folder", "sub", "folder/b.txt", "b", None, "b"),
    ("self", ".", "self/self/self/a.txt", "a", None, "a"),
    ("above", "..", "above/secret.txt", None, None, SECRET),
    ("beside", "../public-secret", "beside/secret.txt", None, None, SECRET),
    ("etc", "/etc", "etc/passwd", None, None, "root"),
    ("sub/back", "..", "sub/back/a.txt", "a", None, "a"),
    ("sub/further", "../..", "sub/further/secret.txt", None, None, SECRET),
    ("index", "../indexed", "index/", None, None, SECRET),
    ("rootfs", "/", "rootfs/etc/passwd", None, None, "root"),
    ("shm", "/proc/self/root", "shm/etc/passwd", None, None, "root"),
    ("fd", "/proc/self/cwd", "fd/files_app.py", None, None, "import"),
]


def linked(place: Path) -> Path:
    """A folder with links of every kind, beside secrets that no client may see."""
    public = place / "public"
    for name, text in (("public/a.txt", "a"), ("public/sub/b.txt", "b"), ("public/sub/deep/c.txt", "c")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    for name in ("secret.txt", "public-secret/secret.txt", "indexed/index.html"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(SECRET)
    for name, target, *_ in (*LINKS, *FOLDERS):
        (public / name).symlink_to(target.format(place=place))
    return public


def race(place: Path, requests: int, **given: object) -> dict[int, int]:
    """A folder turns into a link that leads out and back, and a file into one, as fast as they can, while a client asks for
    the files there; how often it got each. Ends when both sides were seen often, after so many requests at most."""
    public = linked(place)
    (place / "outer").mkdir()
    (place / "outer" / "b.txt").write_text(SECRET)
    (public / "inner").mkdir()
    for name in ("inner/b.txt", "x.txt"):
        (public / name).write_text("b")
    script = start_files_app(public, config={"file_cache_mb": 0}, **given)
    done = threading.Event()

    def swap() -> None:
        folder, aside, link = public / "inner", place / "aside", place / "link"
        for turn in itertools.count():
            folder.rename(aside)
            folder.symlink_to("../outer")
            folder.unlink()
            aside.rename(folder)
            link.symlink_to(("../secret.txt", "x.txt")[turn % 2])
            link.rename(public / "swapped.txt")
            if done.is_set():
                break

    thread = threading.Thread(target=swap)
    thread.start()
    seen = {200: 0, 404: 0}
    try:
        client, end = RawClient(script.address), time.monotonic() + 60
        for number in range(requests):
            answer = client.get((b"/s/inner/b.txt", b"/s/swapped.txt")[number % 2])
            assert answer.status in seen, answer
            assert answer.status == 404 or answer.text == "b"
            seen[answer.status] += 1
            if time.monotonic() > end or (requests < 100_000 and min(seen.values()) >= 1_000):
                break
    finally:
        done.set()
        thread.join()
    assert script.stop() == 0, script.errors
    return seen
