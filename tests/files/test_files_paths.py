"""No path leads out of a folder, however it is written, and routing and files understand each path alike (docs/security.md S28 to S30).

The corpus is made by path_corpus.py, where the rule stands a second time. It is asked of every policy for links, with the kernel's
own resolution beneath a folder and, as `openat2` is refused, with the walk that takes its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import path_corpus
from support.path_corpus import SECRET
from support.path_races import FOLDERS, LINKS, RawClient, linked, race, start_files_app
from support.wire import Answer, Wire, fetch, request_bytes

ROWS = path_corpus.read()
KERNELS = {"kernel": {}, "ENOSYS": {"without": "ENOSYS"}, "EPERM": {"without": "EPERM"}}


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
def client(request: pytest.FixtureRequest, public: Path) -> Iterator[RawClient]:
    links, kernel = request.param
    script = start_files_app(public, file=str(public / "a.txt"), config={"symlinks": links}, **KERNELS[kernel])
    yield RawClient(script.address)
    assert script.stop() == 0, script.errors


def test_the_corpus_follows_its_rule() -> None:
    """And large: after a change of path_corpus.py, run it."""
    assert path_corpus.PLACE.read_text("utf-8") == path_corpus.lines()
    assert sum(wanted[:3] in ("400", "404", "414") for wanted, _ in ROWS) >= 500


def found_by(answer: Answer) -> str:
    """The verdict that an answer of the folder's route amounts to."""
    if answer.status == 200:
        return route_of(answer) or f"200 {answer.text.removeprefix('inside: ')}"
    return str(answer.status)


def test_every_path_has_its_verdict(client: RawClient) -> None:
    wrong = []
    for wanted, suffix in ROWS:
        found = found_by(client.get(b"/s" + suffix))
        if found != wanted:
            wrong.append(f"{suffix[:100]!r}: {found}, the verdict is {wanted}")
    assert wrong == [], f"{len(wrong)} of {len(ROWS)}"


def comes_back(suffix: bytes) -> bool:
    """Does it leave the route and enter `/s` again, so that another route must answer otherwise?"""
    return b"../s/" in suffix.replace(b"%2e", b".")


def test_a_handler_is_told_the_same(client: RawClient, public: Path) -> None:
    """The url that a handler reads names the file that the folder sends, and a path that one refuses is refused by the other."""
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


def test_a_file_on_a_route_is_no_door_either(client: RawClient) -> None:
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
def test_the_absolute_form_is_no_way_round(client: RawClient, form: str) -> None:
    for wanted, suffix in ROWS:
        if len(suffix) < 4000 and wanted in ("404", "guarded", "301"):
            answer = client.get(form.format("/s").encode() + suffix)
            assert found_by(answer) == wanted, (form, suffix)


def test_nothing_that_was_sent_comes_back_as_a_field(client: RawClient) -> None:
    for _, suffix in ROWS:
        location = client.get(b"/s" + suffix).header("Location")
        assert location is None or re.fullmatch(r"/s/[!-~]*", location), (suffix, location)


# --- links


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("links", ["inside", "never", "anywhere"])
def test_links(tmp_path: Path, links: str, kernel: str) -> None:
    public = linked(tmp_path)
    place = ["inside", "never", "anywhere"].index(links)
    asked = [(name, *wanted) for name, _, *wanted in LINKS] + [(path, *wanted) for _, _, path, *wanted in FOLDERS]
    script = start_files_app(public, config={"symlinks": links}, **KERNELS[kernel])
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
    """The hole of aiohttp in 2024: the compressed sibling was a link that leads out."""
    public = linked(tmp_path)
    for coding in ("gz", "br", "zst"):
        (public / f"a.txt.{coding}").symlink_to("../secret.txt")
        (public / f"sub/b.txt.{coding}").symlink_to(tmp_path / "secret.txt")
        os.mkfifo(public / f"sub/deep/c.txt.{coding}")
    script = start_files_app(public, **KERNELS[kernel])
    for path, text in (("a.txt", "a"), ("sub/b.txt", "b"), ("sub/deep/c.txt", "c")):
        for accepted in ("gzip", "br", "zstd", "gzip, br, zstd", "*", "identity;q=0, *"):
            answer = fetch(script.address, f"/s/{path}", headers={"Accept-Encoding": accepted})
            assert (answer.status, answer.text, answer.header("Content-Encoding")) == (200, text, None)
    assert script.stop() == 0, script.errors


@pytest.mark.parametrize("kernel", KERNELS)
def test_links_that_are_swapped_meanwhile(tmp_path: Path, kernel: str) -> None:
    seen = race(tmp_path, 40_000, **KERNELS[kernel])
    assert min(seen.values()) > 10, f"no race: {seen}"


# --- entries that are no regular files


@pytest.mark.parametrize("links", ["inside", "anywhere"])
def test_entries_that_are_no_regular_files_are_not_found(tmp_path: Path, links: str) -> None:
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
        script = start_files_app(public, config={"symlinks": links})
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
def test_a_file_without_permission_is_not_found_and_the_log_says_why(open_place: Path, kernel: str) -> None:
    public = linked(open_place)
    (public / "closed.txt").write_text(SECRET)
    (public / "closed").mkdir()
    (public / "closed" / "a.txt").write_text(SECRET)
    (public / "closed.txt").chmod(0)
    (public / "closed").chmod(0)
    # Root may read everything, so the server is somebody else.
    user = {"user": 65534} if os.geteuid() == 0 else {}
    script = start_files_app(public, **user, **KERNELS[kernel])
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


def test_bad_input_is_a_line_of_the_log_and_disturbs_no_client(tmp_path: Path) -> None:
    public = linked(tmp_path)
    (public / "large.bin").write_bytes(bytes(range(256)) * 40_000)
    script = start_files_app(public, config={"access_log": "json"})
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
    # Events are lines of JSON too.
    lines = [line for line in lines if "event" not in line]
    assert len(lines) == len(asked) + 4 + 1
