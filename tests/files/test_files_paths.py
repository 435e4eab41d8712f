"""No path leads out of a folder, however it is written, and routing and files understand each path alike (edge.md S28 to S30).

The corpus is made by path_corpus.py, where the rule stands a second time. It is asked of every policy for links, with the kernel's
own resolution beneath a folder and, as `openat2` is refused, with the walk that takes its place.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import path_corpus
from support.harness import PROGRAMS, Script
from support.path_corpus import SECRET
from support.wire import Answer, Wire, fetch, request_bytes

ROWS = path_corpus.read()
KERNELS = {"kernel": {}, "ENOSYS": {"without": "ENOSYS"}, "EPERM": {"without": "EPERM"}}


def start(folder: Path, **given: object) -> Script:
    return Script(str(PROGRAMS / "files_app.py"), json.dumps({"folder": str(folder), **given}))


class Client:
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


def route_of(answer: Answer) -> str:
    return answer.header("X-Route") or ""


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return path_corpus.grow(tmp_path_factory.mktemp("paths"))


@pytest.fixture(
    scope="module",
    params=[
        ("inside", "kernel"),
        ("never", "kernel"),
        ("anywhere", "kernel"),
        ("inside", "ENOSYS"),
        ("never", "EPERM"),
    ],
    ids="-".join,
)
def client(request: pytest.FixtureRequest, public: Path) -> Iterator[Client]:
    links, kernel = request.param
    script = start(public, file=str(public / "a.txt"), config={"symlinks": links}, **KERNELS[kernel])
    yield Client(script.address)
    assert script.stop() == 0, script.errors


def test_the_corpus_is_what_its_rule_says() -> None:
    """And large: after a change of path_corpus.py, run it."""
    assert path_corpus.PLACE.read_text("utf-8") == path_corpus.lines()
    assert sum(wanted[:3] in ("400", "404", "414") for wanted, _ in ROWS) >= 500


def found_by(answer: Answer) -> str:
    """The verdict that an answer of the folder's route amounts to."""
    if answer.status == 200:
        return route_of(answer) or f"200 {answer.text.removeprefix('inside: ')}"
    return str(answer.status)


def test_every_path_has_its_verdict(client: Client) -> None:
    wrong = []
    for wanted, suffix in ROWS:
        found = found_by(client.get(b"/s" + suffix))
        if found != wanted:
            wrong.append(f"{suffix[:100]!r}: {found}, the verdict is {wanted}")
    assert wrong == [], f"{len(wrong)} of {len(ROWS)}"


def comes_back(suffix: bytes) -> bool:
    """Does it leave the route and enter `/s` again, so that another route must answer otherwise?"""
    return b"../s/" in suffix.replace(b"%2e", b".")


def test_a_handler_is_told_the_same(client: Client, public: Path) -> None:
    """The url that a handler reads names the file that the folder sends, and what is refused to one is refused to the other."""
    wrong = []
    for wanted, suffix in ROWS:
        if comes_back(suffix):
            continue
        of_folder, of_handler = client.get(b"/s" + suffix), client.get(b"/f" + suffix)
        refused = {400, 414}
        if {of_folder.status, of_handler.status} & refused:
            same = of_folder.status == of_handler.status
        elif "root" in (route_of(of_folder), route_of(of_handler)):
            same = route_of(of_handler) == route_of(of_folder)
        elif route_of(of_folder) == "guarded":
            same = of_handler.text.startswith("/f/private")
        elif of_folder.status == 200:
            file = public / of_handler.text.removeprefix("/f").lstrip("/")
            file = file / "index.html" if file.is_dir() else file
            same = file.read_bytes() == of_folder.body
        else:
            same = of_handler.status == 200 and not of_handler.text.startswith("/f/private/")
            same = same or wanted == "404"
        if not same:
            wrong.append(f"{suffix[:100]!r}: {found_by(of_folder)}, and the handler read {of_handler.text[:100]!r}")
    assert wrong == []


def test_a_file_on_a_route_is_no_door_either(client: Client) -> None:
    wrong = []
    for wanted, suffix in ROWS:
        answer = client.get(b"/o" + suffix)
        if wanted in ("400", "414"):
            fits = str(answer.status) == wanted
        else:
            fits = answer.status == 404 or answer.text in ("inside: a.txt", "inside: index.html", "root")
            fits = fits or comes_back(suffix)
        if not fits:
            wrong.append(f"{suffix[:100]!r}: {answer.status} {answer.body[:50]!r}")
    assert wrong == []


@pytest.mark.parametrize("form", ["http://a{}", "https://a:8080{}", "http://a/s/..{}"])
def test_the_absolute_form_is_no_way_round(client: Client, form: str) -> None:
    for wanted, suffix in ROWS:
        if len(suffix) < 4000 and wanted in ("404", "guarded", "301"):
            answer = client.get(form.format("/s").encode() + suffix)
            assert found_by(answer) == wanted, (form, suffix)


def test_nothing_that_was_sent_comes_back_as_a_field(client: Client) -> None:
    for _, suffix in ROWS:
        location = client.get(b"/s" + suffix).header("Location")
        assert location is None or re.fullmatch(r"/s/[!-~]*", location), (suffix, location)


# --- links

LINKS = [
    # where it lies, where it points to, and what a client gets by policy: inside, never, anywhere
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
# Links to folders, and what is asked of them.
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
    """A folder with links of every kind, beside what nobody may see."""
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


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("links", ["inside", "never", "anywhere"])
def test_links(tmp_path: Path, links: str, kernel: str) -> None:
    public = linked(tmp_path)
    place = ["inside", "never", "anywhere"].index(links)
    asked = [(name, *wanted) for name, _, *wanted in LINKS] + [(path, *wanted) for _, _, path, *wanted in FOLDERS]
    script = start(public, config={"symlinks": links}, **KERNELS[kernel])
    wrong = []
    for path, *by_policy in asked:
        answer = fetch(script.address, f"/s/{path}")
        wanted = by_policy[place]
        found = answer.text if answer.status == 200 else answer.status
        if found != 404 if wanted is None else not str(found).startswith(wanted) and wanted not in str(found):
            wrong.append(f"{path}: {found!r}, the verdict is {wanted or 404!r}")
    assert fetch(script.address, "/s/a.txt").text == "a"
    assert script.stop() == 0, script.errors
    assert wrong == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_sibling_in_another_coding_is_no_way_out(tmp_path: Path, kernel: str) -> None:
    """What let aiohttp's clients out in 2024: the compressed sibling was a link."""
    public = linked(tmp_path)
    for coding in ("gz", "br", "zst"):
        (public / f"a.txt.{coding}").symlink_to("../secret.txt")
        (public / f"sub/b.txt.{coding}").symlink_to(tmp_path / "secret.txt")
        os.mkfifo(public / f"sub/deep/c.txt.{coding}")
    script = start(public, **KERNELS[kernel])
    for path, text in (("a.txt", "a"), ("sub/b.txt", "b"), ("sub/deep/c.txt", "c")):
        for accepted in ("gzip", "br", "zstd", "gzip, br, zstd", "*", "identity;q=0, *"):
            answer = fetch(script.address, f"/s/{path}", headers={"Accept-Encoding": accepted})
            assert (answer.status, answer.text, answer.header("Content-Encoding")) == (200, text, None)
    assert script.stop() == 0, script.errors


def race(place: Path, requests: int, **given: object) -> dict[int, int]:
    """A folder turns into a link that leads out and back, and a file into one, as fast as they can, while a client asks for
    what lies there; how often it got what. Ends when both sides were seen often, after so many requests at most."""
    public = linked(place)
    (place / "outer").mkdir()
    (place / "outer" / "b.txt").write_text(SECRET)
    (public / "inner").mkdir()
    for name in ("inner/b.txt", "x.txt"):
        (public / name).write_text("b")
    script = start(public, config={"file_cache_mb": 0}, **given)
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
        client, end = Client(script.address), time.monotonic() + 60
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


@pytest.mark.parametrize("kernel", KERNELS)
def test_links_that_are_swapped_meanwhile(tmp_path: Path, kernel: str) -> None:
    seen = race(tmp_path, 40_000, **KERNELS[kernel])
    assert min(seen.values()) > 10, f"no race: {seen}"


# --- what is no file


@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_what_is_no_regular_file_is_not_there(tmp_path: Path, links: str) -> None:
    public = linked(tmp_path)
    os.mkfifo(public / "fifo")
    os.mkfifo(public / "fifo.html")
    (public / "to-fifo").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        before = os.getcwd()
        os.chdir(public)  # the path of a socket is short
        unix.bind("socket")
        os.chdir(before)
        try:
            os.mknod(public / "device", 0o20666, os.makedev(1, 5))
            os.mknod(public / "disk", 0o60666, os.makedev(7, 250))
        except PermissionError:
            pass  # only root makes devices; their names are missing then, which is a 404 as well
        script = start(public, config={"symlinks": links})
        for name in ("fifo", "fifo.html", "to-fifo", "socket", "device", "disk", "zero", "tty"):
            for method in ("GET", "HEAD"):
                assert fetch(script.address, f"/s/{name}", method).status == 404, name
            assert fetch(script.address, f"/s/{name}/a.txt").status == 404, name
        assert fetch(script.address, "/s/a.txt").text == "a"
        assert script.stop() == 0, script.errors


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A place that everybody may enter; that of pytest is for its owner alone."""
    place = Path(tempfile.mkdtemp(prefix="outside-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_may_not_be_read_is_not_there_and_the_log_says_why(open_place: Path, kernel: str) -> None:
    public = linked(open_place)
    (public / "closed.txt").write_text(SECRET)
    (public / "closed").mkdir()
    (public / "closed" / "a.txt").write_text(SECRET)
    (public / "closed.txt").chmod(0)
    (public / "closed").chmod(0)
    # Root may read everything, so the server is somebody else.
    user = {"user": 65534} if os.geteuid() == 0 else {}
    script = start(public, **user, **KERNELS[kernel])
    try:
        answer = fetch(script.address, "/s/closed.txt")
        assert (answer.status, SECRET in answer.text, str(open_place) in answer.text) == (404, False, False)
        assert fetch(script.address, "/s/closed/a.txt").status == 404
        assert fetch(script.address, "/s/closed/").status == 404
        assert fetch(script.address, "/s/a.txt").text == "a"
    finally:
        (public / "closed").chmod(0o755)
    assert script.stop() == 0, script.errors
    warnings = [line for line in script.errors.splitlines() if "closed.txt" in line]
    assert len(warnings) == 1, script.errors
    assert "ermission denied" in warnings[0]


def test_bad_input_is_a_line_of_the_log_and_disturbs_nobody(tmp_path: Path) -> None:
    public = linked(tmp_path)
    (public / "large.bin").write_bytes(bytes(range(256)) * 40_000)
    script = start(public, config={"access_log": "json"})
    asked = {
        "/s/" + "." * 8_100: 404,
        "/s/" + "../" * 2_000 + "x": 200,
        "/s/" + "a" * 4_096: 404,
        "/s/%00": 400,
        "/s/out.txt": 404,
        "/s/" + "." * 9_000: 414,
    }
    with Wire(script.address) as beside:
        beside.send(request_bytes("/s/large.bin")).receive_some()
        for target, status in asked.items():
            assert fetch(script.address, target).status == status, target[:50]
        for wanted in ("garbage", "bytes=5-2", "bytes=" + "0-," * 5_000, "bytes=\xff"):
            answer = fetch(script.address, "/s/a.txt", headers={"Range": wanted})
            assert answer.status in (200, 206), wanted[:50]
            assert answer.text == "a"
        assert beside.receive_answer().body == (public / "large.bin").read_bytes()
    assert script.stop() == 0, script.errors
    lines = [json.loads(line) for line in (script.errors + script.output).splitlines() if line.startswith("{")]
    assert len(lines) == len(asked) + 4 + 1
