"""Answers of handlers: which ones are compressed for clients that accept it, and which never are."""

from __future__ import annotations

import gzip
import time

import httpx
import pytest

from outside import Folder, Response
from support.codings import ALL, CODINGS, TEXT, accept, decoded, varies


@pytest.mark.parametrize(
    ("content", "headers", "wanted"),
    [
        pytest.param(TEXT, {}, TEXT.encode(), id="str"),
        pytest.param(TEXT.encode(), {"Content-Type": "text/html"}, TEXT.encode(), id="bytes of text"),
        pytest.param(TEXT.encode(), {"Content-Type": "image/svg+xml"}, TEXT.encode(), id="SVG"),
        pytest.param({"text": TEXT}, {}, None, id="JSON"),
    ],
)
@pytest.mark.parametrize("coding", CODINGS)
def test_answers_of_handlers_are_compressed(serve, content, headers, wanted, coding):
    running = serve(lambda request: Response(200, dict(headers), content))
    plain = running.fetch("/")
    assert plain.header("Content-Encoding") is None
    assert varies(plain)
    answer = running.fetch("/", headers=accept(coding))
    assert answer.header("Content-Encoding") == coding
    assert varies(answer)
    assert answer.header("Content-Length") == str(len(answer.body))
    assert decoded(answer) == plain.body
    assert answer.header("Content-Type") == plain.header("Content-Type")
    if wanted:
        assert plain.body == wanted
    head = running.fetch("/", "HEAD", accept(coding))
    assert (head.status, head.body) == (200, b"")
    assert running.fetch("/", "POST", accept(coding), b"").header("Content-Encoding") == coding


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_statuses_with_content_are_compressed(serve, status):
    answer = serve(lambda request: Response(status, {}, TEXT)).fetch("/", headers=accept("gzip"))
    assert (answer.status, decoded(answer)) == (status, TEXT.encode())


@pytest.mark.parametrize(
    ("status", "headers", "content"),
    [
        pytest.param(200, {"Content-Type": "text/plain"}, "x" * 511, id="small"),
        pytest.param(200, {"Content-Type": "text/event-stream"}, TEXT, id="events"),
        pytest.param(200, {"Content-Type": "text/event-stream; charset=utf-8"}, TEXT, id="events with a charset"),
        pytest.param(200, {"Cache-Control": "no-transform"}, TEXT, id="no-transform"),
        pytest.param(200, {"Cache-Control": "max-age=1, No-Transform , public"}, TEXT, id="no-transform among others"),
        pytest.param(200, {"Content-Encoding": "gzip"}, gzip.compress(TEXT.encode()), id="encoded already"),
        pytest.param(200, {"Content-Encoding": "identity"}, TEXT, id="encoded as identity"),
        pytest.param(200, {"Content-Type": "image/png"}, TEXT, id="image"),
        pytest.param(200, {}, TEXT.encode(), id="bytes of no type"),
        pytest.param(200, {"Content-Type": "application/x-unheardof"}, TEXT, id="unknown type"),
        pytest.param(206, {"Content-Range": "bytes 0-8/9"}, TEXT, id="part"),
    ],
)
def test_answers_that_are_never_compressed(serve, status, headers, content):
    answer = serve(lambda request: Response(status, dict(headers), content)).fetch("/", headers=accept(ALL))
    assert answer.status == status
    assert answer.header("Content-Encoding") == headers.get("Content-Encoding")
    assert answer.body == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_is_not_compressed(serve, status):
    answer = serve(lambda request: Response(status, {"Content-Type": "text/plain"}, TEXT)).fetch("/", headers=accept(ALL))
    assert (answer.status, answer.body, answer.header("Content-Encoding")) == (status, b"", None)


def test_streams_are_not_compressed(serve):
    pieces = ["data: one\n\n" * 100, "data: two\n\n" * 100]
    for kind in ("text/event-stream", "text/plain"):
        answer = serve(lambda request, kind=kind: Response(200, {"Content-Type": kind}, iter(pieces))).fetch(
            "/", headers=accept(ALL)
        )
        assert (answer.header("Content-Encoding"), answer.text) == (None, "".join(pieces))


def test_the_setting_switches_it_off(serve, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    running = serve({"/s": Folder(str(tmp_path)), "/h": lambda request: TEXT}, compression=False)
    for target in ("/s/text.txt", "/h"):
        answer = running.fetch(target, headers=accept(ALL))
        assert (answer.header("Content-Encoding"), answer.text) == (None, TEXT)


def test_vary_of_the_handler_is_kept(serve):
    for own, wanted in (
        ("Cookie", {"cookie", "accept-encoding"}),
        ("*", {"*"}),
        ("accept-encoding", {"accept-encoding"}),
    ):
        answer = serve(lambda request, own=own: Response(200, {"Vary": own}, TEXT)).fetch("/", headers=accept("gzip"))
        found = [name.strip().lower() for value in answer.all("Vary") for name in value.split(",")]
        assert len(found) == len(set(found)), found
        assert set(found) - {"accept-encoding"} == wanted - {"accept-encoding"}
        if own != "*":
            assert set(found) == wanted


def test_a_strong_tag_of_the_handler_is_not_used_for_two_representations(serve):
    """RFC 9110 section 8.8.3.3: the compressed form has another tag, or a weak one, or is not made."""
    running = serve(lambda request: Response(200, {"ETag": '"own"'}, TEXT))
    plain, packed = running.fetch("/"), running.fetch("/", headers=accept("gzip"))
    assert plain.header("ETag") == '"own"'
    if packed.header("Content-Encoding"):
        assert packed.header("ETag") != '"own"'


def test_compressed_by_hooks_seen_plain(serve):
    """`pre_send` sees the handler's answer uncompressed, and may still forbid compression."""
    seen = []

    def pre_send(response: Response) -> None:
        seen.append(response.content)
        response.headers["Cache-Control"] = "no-transform"

    answer = serve(lambda request: TEXT, pre_send=pre_send).fetch("/", headers=accept("gzip"))
    assert seen == [TEXT]
    assert answer.header("Content-Encoding") is None


@pytest.mark.timed
def test_large_answers_do_not_hold_up_others(serve):
    """Some tens of megabytes of text take the encoder longer than anybody should wait."""
    large = "".join(f"{number} {number * 7919 % 10007}\n" for number in range(2_000_000))
    running = serve({"/large": lambda request: large, "/": lambda request: "small"})
    with running.wire() as wire:
        started = time.monotonic()
        wire.send(b"GET /large HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        worst = 0.0
        for _ in range(50):
            began = time.monotonic()
            assert running.fetch("/").text == "small"
            worst = max(worst, time.monotonic() - began)
        assert decoded(wire.receive_answer()) == large.encode()
    assert worst < max(0.5, (time.monotonic() - started) / 2)


LARGE = "".join(f"{number} {number * 7919 % 10007}\n" for number in range(150_000))


async def large_later(request):
    return LARGE


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("handler", [lambda request: LARGE, large_later])
def test_large_answers_are_compressed_in_pieces(serve, handler, coding):
    running = serve({"/": handler, "/small": lambda request: "small"})
    with running.wire() as wire:
        ask = b"%s %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n"
        # The next request of the connection is answered after it.
        wire.send(ask % (b"GET", b"/", coding.encode()) + ask % (b"GET", b"/small", b"gzip"))
        answer = wire.receive_answer()
        assert (answer.header("Content-Encoding"), answer.chunked) == (coding, True)
        assert answer.header("Content-Length") is None and varies(answer)
        assert len(answer.body) < len(LARGE) / 2
        assert decoded(answer) == LARGE.encode()
        assert wire.receive_answer().text == "small"
        wire.send(ask % (b"HEAD", b"/", coding.encode()))
        head = wire.receive_answer(head=True)
        assert (head.header("Content-Encoding"), head.body) == (coding, b"")
        wire.send(ask % (b"GET", b"/small", b"gzip"))
        assert wire.receive_answer().text == "small"


def test_http_1_0_has_no_pieces(serve):
    """Its answers of unknown length end with the connection, and one that was cut off would look whole."""
    with serve(lambda request: LARGE).wire() as wire:
        wire.send(b"GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        answer = wire.receive_answer()
    assert (answer.header("Content-Encoding"), answer.text) == (None, LARGE)


@pytest.mark.parametrize("size", [100, 20_000, 40_000, 120_000, 140_000, 1_000_000])
@pytest.mark.parametrize("http2", [False, True])
def test_every_size_in_both_versions(serve, size, http2):
    running = serve(lambda request: LARGE[:size], h2c=True)
    base = "http://{}:{}".format(*running.address)
    with httpx.Client(http1=not http2, http2=http2, base_url=base) as client:
        for coding in ("gzip", "identity"):
            answer = client.get("/", headers=accept(coding))
            assert answer.text == LARGE[:size]
            assert answer.headers.get("Content-Encoding") == (coding if coding == "gzip" and size >= 512 else None)


def test_personal_answers_of_any_size_are_blurred(serve):
    running = serve(lambda request: LARGE)
    noise = [running.fetch("/", headers={**accept("gzip"), "Cookie": "a=1"}).header("X-Jitter") for _ in range(3)]
    assert noise[0] and len(set(noise)) == 1
    assert running.fetch("/", headers=accept("gzip")).header("X-Jitter") is None


def test_in_order_when_pipelined(serve):
    running = serve({"/large": lambda request: TEXT * 100, "/small": lambda request: "small"})
    with running.wire() as wire:
        ask = b"GET /%s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
        wire.send(ask % b"large" + ask % b"small" + ask % b"large")
        assert [len(decoded(wire.receive_answer())) for _ in range(3)] == [len(TEXT) * 100, 5, len(TEXT) * 100]


def test_the_length_of_a_page_with_cookies_is_blurred(serve):
    """BREACH (docs/security.md S37): the page holds a secret and repeats the request; the length must not tell which guess was right."""

    def page(request):
        body = f"<p>{request.params['guess']}</p><input value='csrf=7d1f9a'>" + TEXT
        return Response(200, {"Content-Type": "text/html"}, body)

    running = serve(page)

    def length(guess: str) -> int:
        answer = running.fetch(f"/?guess={guess}", headers={**accept("gzip"), "Cookie": "session=1"})
        assert answer.header("Content-Encoding") == "gzip"
        return len(answer.body) + sum(len(name) + len(value) for name, value in answer.fields)

    def spread(guess: str) -> set[int]:
        return {length(f"{guess}{number:06x}") for number in range(300)}

    right, wrong = spread("csrf=7"), spread("csrf=x")
    assert len(right | wrong) > 16
    assert len(right & wrong) > len(right | wrong) / 2
