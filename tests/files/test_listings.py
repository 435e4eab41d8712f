"""The page that lists a folder: every name as it is, in order, bounded, and no name from outside the folder."""

from __future__ import annotations

import html
import os
import re
import time
from urllib.parse import urljoin, urlsplit

import pytest

from outside import Folder
from support.listing_pages import Links
from support.wire import request_bytes


def listed(page: str) -> list[str]:
    """The names of a listing in their order, without the link upwards."""
    return [
        text.strip().rstrip("/") for href, text in Links(page).links if href not in ("../", "..") and "breadcrumb" not in href
    ]


NAMES = [
    "plain.txt", "with space.txt", "ü ß 日本.txt", "<script>alert(1).txt", "a&b.txt", "a&amp;b.txt",
    '"><img src=x onerror=alert(1)>.txt', "'single'.txt", "100%.txt", "%41.txt", "q?a=b.txt", "h#fragment.txt",
    "javascript:alert(1)", "http:evil", "a:b", "-dash", "~tilde", "new\nline.txt", "tab\t.txt", "\x1b[31m.txt",
    "\u202etxt.exe", "a;b=c", "a+b", "(1)", "[1]", "{1}", "a=b", "@at", "!", "$x", "*", ",", "`id`", "|", "^",
    "x" * 255,
]  # fmt: skip


def test_a_listing_shows_every_name_as_it_is(serve, tmp_path):
    """Every name is a link to its file, and is text, not markup."""
    for name in NAMES:
        (tmp_path / name).write_text(f"content of {name!r}")
    running = serve({"/s": Folder(str(tmp_path), listing=True)})
    answer = running.fetch("/s/")
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    page = Links(answer.text)
    assert not {"script", "img", "iframe", "object", "svg"} & set(page.tags)
    assert page.events == []
    found = {}
    for href, text in page.links:
        url = urlsplit(urljoin("http://here/s/", href))
        assert (url.scheme, url.netloc) == ("http", "here"), href
        assert url.path.isascii()
        if url.path.startswith("/s/") and len(url.path) > 3:
            found[text] = running.fetch(url.path + (f"?{url.query}" if url.query else "")).text
    wanted = {f"content of {name!r}" for name in NAMES}
    assert set(found.values()) == wanted
    for name in ("plain.txt", "a&amp;b.txt", "<script>alert(1).txt", '"><img src=x onerror=alert(1)>.txt'):
        assert name in found, name


def test_a_listing_in_order_with_sizes_and_times(serve, tmp_path):
    for name in ("a10.txt", "a9.txt", "a1.txt", "b.txt", "z.txt"):
        (tmp_path / name).write_text("x" * 1234)
        os.utime(tmp_path / name, (1709210096, 1709210096))
    for name in ("folder10", "folder2", "zz"):
        (tmp_path / name).mkdir()
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / ".git").mkdir()
    text = serve({"/": Folder(str(tmp_path), listing=True)}).fetch("/").text
    assert listed(text) == ["folder2", "folder10", "zz", "a1.txt", "a9.txt", "a10.txt", "b.txt", "z.txt"]
    assert "hidden" not in text
    assert ".git" not in text
    assert re.search(r'<time datetime="?2024-02-29T12:34(:56)?Z"?>', text)
    assert "2024-02-29 12:34" in text
    assert re.search(r"1[.,]2|1[, ]?234", re.sub(r"<[^>]*>", "", text)), "no size"
    assert re.search(r'name="?viewport', text), "not made for phones"
    assert "<!doctype html>" in text[:20].lower()


def test_a_listing_leads_up_and_down(serve, tmp_path):
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / "one" / "two" / "a.txt").write_text("a")
    running = serve({"/s": Folder(str(tmp_path), listing=True)})
    assert running.fetch("/s/one").header("Location") == "/s/one/"
    links = [urljoin("/s/", href) for href, _ in Links(running.fetch("/s/").text).links]
    assert "/s/one/" in links
    assert "/" not in links, "up out of the route"
    links = [urljoin("/s/one/two/", href) for href, _ in Links(running.fetch("/s/one/two/").text).links]
    assert "/s/one/" in links
    assert "/s/one/two/a.txt" in links


def test_a_listing_only_where_no_index_is(serve, site):
    running = serve({"/": Folder(str(site), listing=True)})
    assert running.fetch("/docs/").text == "docs/index.html"
    assert listed(running.fetch("/bare/").text) == ["c.txt"]
    assert running.fetch("/bare/", "HEAD").body == b""
    assert running.fetch("/missing/").status == 404
    assert running.fetch("/.well-known/").status == 404


def test_an_empty_folder_has_a_listing(serve, tmp_path):
    assert listed(serve({"/": Folder(str(tmp_path), listing=True)}).fetch("/").text) == []


def test_a_listing_of_names_that_are_no_text(serve, tmp_path):
    """Names are bytes; bytes that are no UTF-8 are shown as replacement characters, and spoil nothing."""
    for name in (b"good.txt", b"bad\xff\xfe.txt", b"\xe4.txt", b"half\xc3"):
        with open(os.path.join(os.fsencode(tmp_path), name), "w") as file:
            file.write("x")
    answer = serve({"/": Folder(str(tmp_path), listing=True)}).fetch("/")
    assert answer.status == 200
    assert "good.txt" in listed(answer.text)


def test_a_listing_of_odd_things_does_not_wait_or_tell(serve, tmp_path):
    public = tmp_path / "public"
    public.mkdir()
    os.mkfifo(public / "fifo")
    (tmp_path / "outside.bin").write_bytes(b"x" * 987_654)
    (public / "out").symlink_to("../outside.bin")
    (public / "etc").symlink_to("/etc")
    (public / "dangling").symlink_to("nothing")
    (public / "loop").symlink_to("loop")
    (public / "a.txt").write_text("a")
    answer = serve({"/": Folder(str(public), listing=True)}).fetch("/")
    assert answer.status == 200
    assert "a.txt" in listed(answer.text)
    for size in ("987654", "987,654", "964", "0.9 M", "965"):
        assert size not in answer.text, "the size of a file outside"


def test_a_listing_ends_at_ten_thousand(serve, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(10_050):
        os.close(os.open(tmp_path / "in" / f"{number}.txt", os.O_CREAT | os.O_WRONLY))
    running = serve({"/": Folder(str(tmp_path), listing=True)})
    text = running.fetch("/in/").text
    assert len(listed(text)) == 10_000
    assert re.search(r"10[,. ]?000", re.sub(r"<[^>]*>", "", text)), "it does not say so"


@pytest.mark.timed
def test_others_are_answered_while_a_long_listing_is_made(serve, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(10_000):
        os.close(os.open(tmp_path / "in" / f"{number}.txt", os.O_CREAT | os.O_WRONLY))
    (tmp_path / "a.txt").write_text("a")
    running = serve({"/": Folder(str(tmp_path), listing=True)})
    with running.wire() as listing:
        listing.send(request_bytes("/in/"))
        worst = 0.0
        for _ in range(20):
            began = time.monotonic()
            assert running.fetch("/a.txt").text == "a"
            worst = max(worst, time.monotonic() - began)
        assert listing.receive_answer().status == 200
    assert worst < 1


def test_names_in_a_listing_are_escaped_in_errors_too(serve, tmp_path):
    answer = serve({"/": Folder(str(tmp_path), listing=True)}).fetch("/%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>" not in answer.text
    assert html.unescape(answer.text).count("<script>") <= 1
