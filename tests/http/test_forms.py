"""Forms as pages send them and as handlers see them; refusals of forms that are malformed or too large.

`request.form` has the fields, `request.files` the files; both give the first value of a name like any dictionary, and all
of them by `get_all`. Nothing is read before it is asked for, and a large file is never read into memory to be saved.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

from outside import ContentError, Request, Response
from support import multipart
from support.gauge import MIB, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import TESTS
from support.multipart import TYPE, body, field, file, part

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def request_of(headers: dict[str, str], content: bytes) -> Request:
    return Request("POST", headers, content, "HTTP/1.1", "/", ("127.0.0.1", 5000))


# --- forms as handlers see them


def test_fields_of_a_simple_form():
    form = request_of(URLENCODED, b"name=Ada+Lovelace&tag=a&tag=b&empty=&%C3%A9=%E2%82%AC").form
    assert form == {"name": "Ada Lovelace", "tag": "a", "empty": "", "é": "€"}
    assert form.get_all("tag") == ["a", "b"]
    assert form.get_all("nothing") == []
    assert form.get("nothing", "else") == "else"


def test_fields_and_files_of_a_form_with_files():
    content = body(
        field("title", "Summer"),
        field("tag", "sea"),
        field("tag", "sun ☀"),
        file("photo", "beach.jpg", b"\xff\xd8\r\n--cu\r\n", "image/jpeg"),
        file("photo", "dune.jpg", b"", "image/jpeg"),
    )
    request = request_of(TYPE, content)
    assert request.form == {"title": "Summer", "tag": "sea"}
    assert request.form.get_all("tag") == ["sea", "sun ☀"]
    photo = request.files["photo"]
    assert (photo.name, photo.type, photo.size) == ("beach.jpg", "image/jpeg", 10)
    assert photo.read() == photo.content == b"\xff\xd8\r\n--cu\r\n"
    assert [one.name for one in request.files.get_all("photo")] == ["beach.jpg", "dune.jpg"]


def test_a_file_is_saved(tmp_path):
    request = request_of(TYPE, body(file("up", "a.txt", b"content")))
    path = tmp_path / "saved.txt"
    path.write_text("what was there before, and was longer")
    assert request.files["up"].save(path) == 7
    assert path.read_bytes() == b"content"
    with pytest.raises(FileNotFoundError, match="missing"):
        request.files["up"].save(tmp_path / "missing" / "a.txt")


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\ada\photo.jpg", "photo.jpg"),
        ("..", ""),
        ("a\x01b", ""),
        ("résumé.pdf", "résumé.pdf"),
    ],
)
def test_the_name_of_a_file_leads_nowhere(filename, name):
    """`filename` is the client's word; `name` is its last part, without folders."""
    photo = request_of(TYPE, body(file("up", filename, b""))).files["up"]
    assert (photo.filename, photo.name) == (filename, name)


def test_a_form_in_which_no_file_was_chosen():
    assert not request_of(TYPE, body(file("up", "", b""))).files["up"]
    assert request_of(TYPE, body(file("up", "empty.txt", b""))).files["up"]


def test_content_that_is_no_form_has_no_fields():
    request = request_of({"Content-Type": "application/json"}, b'{"a": 1}')
    assert (request.form, request.files) == ({}, {})


def test_args_are_the_query():
    request = Request("GET", {}, b"", "HTTP/1.1", "/?a=1&b=2&a=3", ("127.0.0.1", 5000))
    assert request.args == request.params == {"a": "1", "b": "2"}
    assert request.args.get_all("a") == request.params_all["a"] == ["1", "3"]


def test_a_form_whose_names_are_encoded_alone():
    """RFC 8187 in place of a plain name, as aiohttp and older versions of requests write it."""
    photo = "name=up; filename*=utf-8''%E2%82%AC.png\r\nContent-Type: image/png"
    content = body(
        part(f"Content-Disposition: form-data; {photo}", b"\xff\xd8"),
        part("Content-Disposition: form-data; name*=utf-8''gr%C3%B6%C3%9Fe", "1"),
    )
    request = request_of(TYPE, content)
    assert request.form == {"größe": "1"}
    up = request.files["up"]
    assert (up.filename, up.name, up.type, up.read()) == ("€.png", "€.png", "image/png", b"\xff\xd8")


# --- the corpus, which the Rust tests read too


def corpus() -> list[dict]:
    def text(body: str | list) -> str:
        if isinstance(body, str):
            return body
        return "".join(one if isinstance(one, str) else one[0] * one[1] for one in body)

    lines = (TESTS / "corpus/forms.jsonl").read_text("utf-8").splitlines()
    return [{**case, "body": text(case["body"]).encode()} for case in map(json.loads, lines)]


@pytest.mark.parametrize("above", [0, 1], ids=["in a file", "in memory"])
def test_forms_are_read_as_the_corpus_says(serve, above):
    def handler(request):
        fields = {name: request.form.get_all(name) for name in request.form}
        files = [
            [name, file.filename, file.type, file.read().decode()]
            for name in request.files
            for file in request.files.get_all(name)
        ]
        return [fields, files]

    running = serve(handler, spool_above_mb=above)
    for case in corpus():
        answer = running.fetch("/", "POST", {"Content-Type": case["type"]}, case["body"])
        assert answer.status == case.get("refused", 200), case["case"]
        if answer.status == 200:
            fields: dict[str, list[str]] = {}
            for name, value in case["fields"]:
                fields.setdefault(name, []).append(value)
            assert json.loads(answer.text) == [fields, case["files"]], case["case"]


# --- malformed forms and those past a limit


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"--cut",
        b"--cut\r\n",
        field("a", "no end"),
        part("Content-Type: text/plain", "nameless") + multipart.END,
        part('Content-Disposition: attachment; name="a"', "") + multipart.END,
        part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', "") + multipart.END,
        field("a", "1").replace(b"--cut", b"--cutting") + multipart.END,
        field("a", "1").replace(b"\r\n", b"\n") + multipart.END,
    ],
)
def test_a_malformed_form_is_a_400(serve, content):
    answer = serve(lambda request: dict(request.form)).fetch("/", "POST", TYPE, content)
    assert answer.status == 400
    assert "Traceback" not in answer.text


LIMITS = {
    "max_form_fields": (body(field("a", "1") for _ in range(1000)), body(field("a", "1") for _ in range(1001))),
    "max_form_files": (body(file("a", "b", "1") for _ in range(100)), body(file("a", "b", "1") for _ in range(101))),
    "max_form_files ": tuple(
        body(part("Content-Disposition: form-data; name=a; filename*=utf-8''%C3%A9", "1") for _ in range(count))
        for count in (100, 101)
    ),
    "max_form_field_size": (body(field("a", "x" * 500_000)), body(field("a", "x" * 500_001))),
    "too many headers": tuple(
        body(part('Content-Disposition: form-data; name="a"' + "\r\nX: y" * count, "")) for count in (7, 8)
    ),
    "header in a part": tuple(
        body(part(f'Content-Disposition: form-data; name="a"\r\nX: {"y" * count}', "")) for count in (4093, 4094)
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_form_past_a_limit_is_a_413_and_the_log_names_the_limit(serve, records, limit):
    running = serve(lambda request: str(len(request.form) + len(request.files)))
    good, bad = LIMITS[limit]
    assert running.fetch("/", "POST", TYPE, good).status == 200
    assert running.fetch("/", "POST", TYPE, bad).status == 413
    assert limit.strip() in records.wait_for("refused").getMessage()


@pytest.mark.parametrize(
    ("good", "bad", "limit"),
    [
        (b"a=1&" * 1000, b"a=1&" * 1001, "max_form_fields"),
        (b"a=" + b"%78" * 500_000, b"a=" + b"%78" * 500_001, "max_form_field_size"),
    ],
)
def test_the_same_limits_hold_for_simple_forms(serve, records, good, bad, limit):
    running = serve(lambda request: str(len(request.form)))
    assert running.fetch("/", "POST", URLENCODED, good).status == 200
    assert running.fetch("/", "POST", URLENCODED, bad).status == 413
    records.wait_for(limit)


def test_limits_are_settings(serve):
    running = serve(lambda request: dict(request.form), max_form_fields=1)
    assert running.fetch("/", "POST", URLENCODED, b"a=1").status == 200
    assert running.fetch("/", "POST", URLENCODED, b"a=1&b=2").status == 413


def test_a_handler_may_see_to_it_itself(serve):
    def handler(request):
        try:
            return dict(request.form)
        except ContentError as error:
            return Response(422, {}, f"{error.code} {error.limit} {error}")

    running = serve(handler, max_form_fields=1)
    answer = running.fetch("/", "POST", URLENCODED, b"a=1&b=2")
    assert (answer.status, answer.text) == (422, "413 max_form_fields too many fields in a form")


def test_behind_functions_around_handlers_the_log_names_a_limit_once(server, start, records):
    server.config["max_form_fields"] = 1
    server.before_request(lambda: None)
    server.errorhandler(413)(lambda: "too much")
    server.post("/")(lambda request: dict(request.form))
    running = start()
    for _ in range(2):
        answer = running.fetch("/", "POST", URLENCODED, b"a=1&b=2")
        assert (answer.status, answer.text) == (413, "too much")
    wanted = 'too many fields in a form: refused; config["max_form_fields"] sets this limit'
    records.wait_for(wanted)
    assert sum(wanted in text for text in records.texts()) == 1


BOMBS = {
    "parts": b"".join(field("a", "") for _ in range(200_000)),
    "boundaries": b"\r\n--cu" * 2_000_000,
    "headers": b"--cut\r\n" + b"X: y\r\n" * 2_000_000,
    "one header": b"--cut\r\nX: " + b"y" * 15_000_000,
    "dashes": b"--cut\r\n" + b"\r\n-" * 5_000_000,
    "boundary": b"--" + b"a" * 15_000_000,
}


@pytest.mark.timed
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_cost_little(bomb):
    """docs/security.md S32: CPU is bounded by the length, for any content; here 15 MB in less than half a second."""
    request = request_of(TYPE, BOMBS[bomb])
    began = time.thread_time()
    with pytest.raises(ContentError) as refused:
        request.form
    assert time.thread_time() - began < 0.5
    assert refused.value.code in (400, 413)


# --- large forms

HANDLER = """
import hashlib, os, sys
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", max_body_size_mb=512)
folder = sys.argv[1]

def save(request):
    upload = request.files["up"]
    upload.save(os.path.join(folder, upload.name))
    return {"title": request.form["title"], "size": upload.size}

server.set_route("/", save)
server.run()
"""


def test_a_large_file_is_saved_with_flat_memory(tmp_path):
    need_proc()
    from support.harness import Script
    from support.wire import Wire

    script = Script("-c", HANDLER, str(tmp_path))
    piece, count = os.urandom(MIB), 128
    head = file("up", "large.bin", b"")[:-2]
    tail = b"\r\n" + field("title", "behind the file") + multipart.END
    length = len(head) + count * MIB + len(tail)
    try:
        before = resident_memory(script.process.pid)
        forget_peak(script.process.pid)
        with Wire(script.address) as wire:
            type_line = f"Content-Type: {TYPE['Content-Type']}"
            wire.send(f"POST / HTTP/1.1\r\nHost: a\r\n{type_line}\r\nContent-Length: {length}\r\n\r\n".encode() + head)
            for _ in range(count):
                wire.send(piece)
            answer = wire.send(tail).receive_answer()
        assert answer.text == f'{{"title":"behind the file","size":{count * MIB}}}'
        assert peak_memory(script.process.pid) - before < 24 * MIB
    finally:
        script.stop()
    wanted = hashlib.sha256()
    for _ in range(count):
        wanted.update(piece)
    with (tmp_path / "large.bin").open("rb") as saved:
        assert hashlib.file_digest(saved, "sha256").digest() == wanted.digest() if sys.version_info >= (3, 11) else True


def test_a_large_form_reads_as_a_small_one(serve):
    """Content above `spool_above_mb` lies in a file; the handler reads the same."""
    content = body(
        field("first", "1"), file("up", "a", b"x\r\n--cu" * 100_000), field("long", "y" * 400_000), file("other", "b", "z")
    )

    def handler(request):
        files = {name: hashlib.sha256(one.read()).hexdigest() for name, one in request.files.items()}
        return {"fields": {name: len(value) for name, value in request.form.items()}, "files": files}

    answers = [serve(handler, spool_above_mb=above).fetch("/", "POST", TYPE, content).text for above in (0, 4)]
    assert answers[0] == answers[1]
    assert '"first":1,"long":400000' in answers[0]


def test_saved_where_the_kernel_cannot_copy(serve):
    """/dev/shm is another file system than that of temporary files, as a rule."""
    target = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    path = target / f"outside-test-{os.getpid()}"
    content = os.urandom(3 * MIB)

    def handler(request):
        request.files["up"].save(path)

    try:
        assert serve(handler).fetch("/", "POST", TYPE, body(file("up", "a", content))).status == 204
        assert path.read_bytes() == content
    finally:
        path.unlink(missing_ok=True)
