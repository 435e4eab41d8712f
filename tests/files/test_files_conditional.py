"""Every conditional and range rule of RFC 9110, asked of every way in which a file can be answered.

The same representation of 62 bytes stands behind all of them: in a folder, as a route, returned by handlers, and as a slice of
a larger file, cut out by a handler or by `pre_send`. So one table holds for all (tests/corpus/files; the Rust suite reads it too).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from outside import FilePath, OutsideHTTP, Request, Response
from support.file_cases import CONTENT, MODIFIED, Case, all_cases, judge, parts_of
from support.harness import Running
from support.wire import Answer, Wire, request_bytes

CASES = all_cases()
FACES = ["folder", "file", "handler", "async", "slice", "pre_send"]
# The bytes around the representation where a slice of a larger file is served.
BEFORE, AFTER = b"<before>", b"<after>"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    stamp = MODIFIED * 1_000_000_000 + 500_000_000
    os.utime(path, ns=(stamp, stamp))
    return path


def named(request: Request) -> str:
    return request.url.rpartition("/")[2]


def narrow(response: Response) -> None:
    """The hook `pre_send`: the marked answers lose the first and last bytes of their file."""
    if isinstance(response.content, FilePath) and "X-Narrow" in response.headers:
        response.content.read_start = len(BEFORE)
        response.content.read_end -= len(AFTER)


class Faces:
    """One server with a route for each face; the plain answer of each file, with its entity tag, is remembered."""

    def __init__(self, folder: Path) -> None:
        (folder / "plain").mkdir()
        (folder / "wide").mkdir()
        for name, content in (("data.txt", CONTENT), ("empty.txt", b"")):
            write(folder / "plain" / name, content)
            write(folder / "wide" / name, BEFORE + content + AFTER)
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config.update({"access_log": "off", "max_socket_reuse": 1_000_000, "pre_send": narrow})
        server.set_route("/folder", FilePath(str(folder / "plain")))
        for name in ("data.txt", "empty.txt"):
            server.set_route(f"/file/{name}", FilePath(str(folder / "plain" / name)))
        passing = write(folder / "missing.txt", b"soon gone")
        server.set_route("/file/missing.txt", FilePath(str(passing)))
        passing.unlink()

        def handler(request: Request) -> Response:
            return Response(200, {}, FilePath(folder / "plain" / named(request)))

        async def asynchronous(request: Request) -> Response:
            return handler(request)

        def slice_(request: Request) -> Response:
            wide = FilePath(folder / "wide" / named(request))
            if wide.read_end:  # it is there
                wide.read_start, wide.read_end = len(BEFORE), wide.read_end - len(AFTER)
            return Response(200, {}, wide)

        def marked(request: Request) -> Response:
            return Response(200, {"X-Narrow": "yes"}, FilePath(folder / "wide" / named(request)))

        for face, function in zip(FACES[2:], (handler, asynchronous, slice_, marked), strict=True):
            server.set_route(f"/{face}", function)
        self.running = Running(server)
        self.wire: Wire | None = None
        self.whole: dict[str, Answer] = {}

    def ask(self, request: bytes, *, head: bool = False) -> Answer:
        """On a connection that all cases share, so that an answer that ends at the wrong byte is noticed."""
        if self.wire is None:
            self.wire = self.running.wire()
        wire, self.wire = self.wire, None
        answer = wire.send(request).receive_answer(head=head)
        assert not wire.received, bytes(wire.received)
        self.wire = wire
        return answer

    def plain(self, target: str) -> Answer:
        if target not in self.whole:
            self.whole[target] = self.ask(request_bytes(target))
        return self.whole[target]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faces]:
    found = Faces(tmp_path_factory.mktemp("files"))
    yield found
    if found.wire:
        found.wire.close()
    found.running.stop()


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 120
    assert [case.title for case in CASES if not re.search(r"\(RFC 9110 §\d", case.title)] == []


def decided_before_pre_send(case: Case) -> bool:
    """412 and 416, by what the handler returned: `pre_send` sees the answers of their error handlers."""
    return case.statuses == [416] or any(line.lower().startswith(b"if-match:") for line in case.lines)


@pytest.mark.parametrize(
    ("case", "face"),
    [
        pytest.param(case, face, id=f"{case.title.replace('§', 'section ')}-{face}")
        for case in CASES
        for face in FACES
        if face != "pre_send" or not decided_before_pre_send(case)
    ],
)
def test_case(case: Case, face: str, faces: Faces) -> None:
    target = f"/{face}/{case.file}.txt"
    whole = faces.plain(target)
    tag = whole.header("ETag") if case.file != "missing" else '"none"'
    judge(case, faces.ask(case.request(target, tag), head=case.method == "HEAD"), whole)


@pytest.mark.parametrize("face", FACES)
def test_the_whole_file(face: str, faces: Faces) -> None:
    """The answer that the cases compare with is right itself."""
    for name, content in (("data", CONTENT), ("empty", b"")):
        whole = faces.plain(f"/{face}/{name}.txt")
        assert (whole.status, whole.body) == (200, content)
        assert re.fullmatch(r'"[0-9A-Za-z._-]+"', whole.header("ETag") or ""), "strong, and of harmless letters"
        assert whole.header("Last-Modified") == "Thu, 29 Feb 2024 12:34:56 GMT"
        assert whole.header("Content-Type") == "text/plain; charset=utf-8"
        assert whole.header("Accept-Ranges") == "bytes"
        assert whole.header("X-Content-Type-Options") == "nosniff"
        if face in ("folder", "file"):
            assert whole.header("Cache-Control") == "max-age=0"


def test_tags_tell_files_and_slices_apart(faces: Faces) -> None:
    tags = {face: faces.plain(f"/{face}/data.txt").header("ETag") for face in FACES}
    assert tags["folder"] == tags["file"] == tags["handler"] == tags["async"]
    assert tags["slice"] == tags["pre_send"]
    assert tags["slice"] != tags["folder"]
    assert faces.plain("/folder/empty.txt").header("ETag") != tags["folder"]


def test_a_tag_changes_with_the_file(serve, tmp_path) -> None:
    path = write(tmp_path / "a.txt", b"one")
    running = serve(lambda request: Response(200, {}, FilePath(path)))
    tags = [running.fetch().header("ETag")]
    for content, nanoseconds in ((b"one", 1), (b"more", 1), (b"more", 1_000_000_000)):
        path.write_bytes(content)
        os.utime(path, ns=(0, MODIFIED * 1_000_000_000 + nanoseconds))
        tags.append(running.fetch().header("ETag"))
    assert len(set(tags)) == 4, tags


def test_a_date_of_the_future_is_not_sent_and_no_strong_validator(serve, tmp_path) -> None:
    """RFC 9110 sections 8.8.2.1 and 8.8.2.2."""
    path = write(tmp_path / "a.txt", CONTENT)
    os.utime(path, (4102444800, 4102444800))
    running = serve(lambda request: Response(200, {}, FilePath(path)))
    answer = running.fetch()
    dates = {answer.header("Last-Modified"), answer.header("Date")}
    assert len(dates) == 1 or answer.header("Last-Modified") is None, dates
    for date in {*dates, "Fri, 01 Jan 2100 00:00:00 GMT"} - {None}:
        assert running.fetch("/", headers={"Range": "bytes=0-4", "If-Range": date}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_of_a_handler_have_neither_conditions_nor_ranges(serve, tmp_path, method) -> None:
    """RFC 9110 sections 13.1.3 and 14.2; only the handler of a change knows the meaning of its precondition."""
    path = write(tmp_path / "a.txt", CONTENT)
    running = serve(lambda request: Response(200, {}, FilePath(path)))
    headers = {"Range": "bytes=0-4", "If-None-Match": "*", "If-Modified-Since": "Fri, 31 Dec 9999 23:59:59 GMT"}
    answer = running.fetch("/", method, headers, b"")
    assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.parametrize("status", [201, 404, 500])
def test_only_a_200_has_conditions_and_ranges(serve, tmp_path, status) -> None:
    """RFC 9110 sections 13.2.1 and 14.2."""
    path = write(tmp_path / "a.txt", CONTENT)
    running = serve(lambda request: Response(status, {}, FilePath(path)))
    for headers in ({"Range": "bytes=0-4"}, {"If-None-Match": "*"}, {"If-Match": '"another"'}):
        answer = running.fetch("/", headers=headers)
        assert (answer.status, answer.body) == (status, CONTENT)


def test_fields_of_the_handler_win(serve, tmp_path) -> None:
    path = write(tmp_path / "a.txt", CONTENT)
    own = {
        "ETag": '"own"',
        "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT",
        "Content-Type": "application/x-own",
        "Cache-Control": "private",
        "X-Own": "1",
    }
    running = serve(lambda request: Response(200, dict(own), FilePath(path)))
    whole = running.fetch()
    assert {name: whole.header(name) for name in own} == own
    not_modified = running.fetch("/", headers={"If-None-Match": '"own"'})
    assert (not_modified.status, not_modified.header("ETag")) == (304, '"own"')
    assert not_modified.header("Cache-Control") == "private"
    since = {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    assert running.fetch("/", headers=since).status == 304
    part = running.fetch("/", headers={"Range": "bytes=0-4", "If-Range": '"own"'})
    assert (part.status, part.body, part.header("X-Own")) == (206, CONTENT[:5], "1")
    several = running.fetch("/", headers={"Range": "bytes=0-4,10-14"})
    assert [kind for kind, _, _ in parts_of(several)] == ["application/x-own"] * 2


def test_a_weak_tag_of_the_handler_is_none_for_ranges(serve, tmp_path) -> None:
    path = write(tmp_path / "a.txt", CONTENT)
    running = serve(lambda request: Response(200, {"ETag": 'W/"own"'}, FilePath(path)))
    assert running.fetch("/", headers={"If-None-Match": '"own"'}).status == 304
    assert running.fetch("/", headers={"If-Match": 'W/"own"'}).status == 412
    assert running.fetch("/", headers={"Range": "bytes=0-4", "If-Range": 'W/"own"'}).status == 200


def test_a_cookie_goes_with_a_part(serve, tmp_path) -> None:
    path = write(tmp_path / "a.txt", CONTENT)
    running = serve(lambda request: Response(200, {}, FilePath(path), {"a": "1"}))
    assert running.fetch("/", headers={"Range": "bytes=0-4"}).header("Set-Cookie") == "a=1"


@pytest.mark.parametrize("code", [412, 416])
def test_refusals_go_through_the_error_handlers(serve, tmp_path, code) -> None:
    path = write(tmp_path / "a.txt", CONTENT)
    running = serve({"/folder": FilePath(tmp_path), "/handler": lambda request: Response(200, {}, FilePath(path))})
    running.server.set_errorhandler(code, lambda request, message=None: Response(code, {"X-Own": request.url}, "own page"))
    wrong = {412: {"If-Match": '"another"'}, 416: {"Range": "bytes=900-"}}[code]
    for target in ("/folder/a.txt", "/handler/a.txt"):
        answer = running.fetch(target, headers=wrong)
        assert (answer.status, answer.text, answer.header("X-Own")) == (code, "own page", target)
        assert answer.header("Content-Range") == ("bytes */62" if code == 416 else None)


def test_ranges_only_from_a_size_on(serve, tmp_path) -> None:
    write(tmp_path / "small.bin", b"x" * 1_000)
    write(tmp_path / "large.bin", b"y" * 3_000_000)
    running = serve({"/": FilePath(tmp_path)}, allow_range_from_mb=2)
    small = running.fetch("/small.bin", headers={"Range": "bytes=0-4"})
    assert (small.status, small.header("Accept-Ranges"), len(small.body)) == (200, None, 1_000)
    large = running.fetch("/large.bin", headers={"Range": "bytes=0-4"})
    assert (large.status, large.body) == (206, b"yyyyy")


def test_no_ranges_at_all(serve, tmp_path) -> None:
    write(tmp_path / "a.bin", b"x" * 1_000)
    routes = {
        "/folder": FilePath(tmp_path),
        "/handler": lambda request: Response(200, {}, FilePath(tmp_path / "a.bin")),
    }
    running = serve(routes, allow_range_from_mb=-1)
    for target in ("/folder/a.bin", "/handler"):
        for wanted in ("bytes=0-4", "bytes=9000-", "bytes=0-1,3-4"):
            answer = running.fetch(target, headers={"Range": wanted})
            assert (answer.status, answer.header("Accept-Ranges"), len(answer.body)) == (200, None, 1_000)


def test_a_part_of_a_large_file_is_that_part(serve, tmp_path) -> None:
    """Ranges that cross the borders of the pieces in which files are sent."""
    content = os.urandom(3 << 20)
    write(tmp_path / "large.bin", content)
    running = serve(
        {"/folder": FilePath(tmp_path), "/handler": lambda request: Response(200, {}, FilePath(tmp_path / "large.bin"))}
    )
    for target in ("/folder/large.bin", "/handler"):
        for first, last in ((0, 65535), (65535, 65536), (1, 2_000_000), (1 << 20, (1 << 20) + 1), (262143, 3_000_000)):
            answer = running.fetch(target, headers={"Range": f"bytes={first}-{last}"})
            assert (answer.status, answer.body == content[first : last + 1]) == (206, True)
        answer = running.fetch(target, headers={"Range": f"bytes=2000000-2500000,0-700000,{1 << 20}-1500000"})
        found = [content for _, _, content in parts_of(answer)]
        assert found == [content[2000000:2500001], content[:700001], content[1 << 20 : 1500001]]


def test_ten_thousand_overlapping_ranges_cost_nothing(serve, tmp_path) -> None:
    """docs/security.md S31: linear time, and never more bytes than the file has."""
    write(tmp_path / "large.bin", os.urandom(1 << 20))
    running = serve({"/": FilePath(tmp_path)}, max_header_size=1 << 20)
    for ranges in (
        ",".join(["0-"] * 10_000),
        ",".join(f"{index}-" for index in range(4_000)),
        ",".join(["1-1", "3-3"] * 3_500),
    ):
        answer = running.fetch("/large.bin", headers={"Range": f"bytes={ranges}"})
        assert answer.status in (200, 206)
        assert len(answer.body) <= 1 << 20
