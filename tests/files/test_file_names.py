"""Names of files are bytes: those that are no UTF-8 are served, listed and named by programs all the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from outside import FilePath, Folder, Response, send_file
from support.listing_pages import Links

NAMES = [b"latin\xe9.txt", b"bad\xff\xfe.txt", b"\xe4", b"half\xc3", b"mixed \xc3\xa9\xe9%41.html"]


@pytest.fixture
def bytes_site(tmp_path) -> Path:
    if sys.getfilesystemencoding() != "utf-8":
        pytest.skip("names are no UTF-8 anyway")
    for name in (*NAMES, b"f\xe9lder/in\xe9.txt", "caf\ufffd.txt".encode()):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(os.path.basename(name))
    return tmp_path


def test_a_folder_serves_names_that_are_no_utf8(serve, bytes_site):
    running = serve({"/": Folder(bytes_site), "/below": Folder(str(bytes_site))})
    for _ in range(2):
        for name in NAMES:
            for route in ("/", "/below/"):
                answer = running.fetch(route + quote(name))
                assert (answer.status, answer.body) == (200, name), name
        assert running.fetch("/f%E9lder/in%E9.txt").body == b"in\xe9.txt"
    assert running.fetch("/latin%E9.txt").header("Content-Type") == "text/plain; charset=utf-8"


def test_only_the_very_name_is_served(serve, bytes_site):
    running = serve({"/": Folder(bytes_site)})
    assert running.fetch("/caf%EF%BF%BD.txt").status == 200
    for name in ("latin%EF%BF%BD.txt", "caf%E9.txt", "latin%E8.txt", "bad%FF.txt", "latin%C3%A9.txt"):
        assert running.fetch("/" + name).status == 404, name


@pytest.mark.parametrize("target", ["/%FF/..%2F%FF", "/%FF/../../latin%E9.txt/..", "/%FF%5C..%5C", "/.%FF", "/%2e%2e/%FF/"])
def test_such_names_are_no_way_out(serve, bytes_site, target):
    running = serve({"/": Folder(bytes_site / os.fsdecode(b"f\xe9lder"))})
    assert running.fetch(target).status in (400, 404)


def test_they_are_listed_and_the_links_lead_to_them(serve, bytes_site):
    running = serve({"/": Folder(bytes_site, listing=True)})
    links = dict(Links(running.fetch("/").text).links)
    for name in NAMES:
        assert running.fetch("/" + next(link for link in links if link == quote(name, safe=""))).body == name
    page = running.fetch("/f%E9lder/")
    assert page.status == 200 and "f\ufffdlder" in page.text and "in%E9.txt" in page.text
    assert running.fetch("/f%E9lder").header("Location") == "/f%E9lder/"


def test_a_program_names_them_as_python_does(serve, bytes_site):
    name = os.fsdecode(NAMES[0])
    path = str(bytes_site / name)
    routes = {
        "/sent": lambda request: send_file(path),
        "/saved": lambda request: send_file(Path(path), as_attachment=True),
        "/named": lambda request: send_file(path, download_name=name),
        "/content": lambda request: Response(content=FilePath(path)),
        "/route": FilePath(path),
    }
    running = serve(routes)
    for target in routes:
        answer = running.fetch(target)
        assert (answer.status, answer.body) == (200, NAMES[0]), target
    for target in ("/saved", "/named"):
        assert "filename*=UTF-8''latin%EF%BF%BD.txt" in running.fetch(target).header("Content-Disposition")


def test_file_path_and_folder_hold_them(bytes_site):
    path = str(bytes_site / os.fsdecode(NAMES[0]))
    file = FilePath(path)
    assert (file.path, file.read_end, file.read()) == (path, len(NAMES[0]), NAMES[0])
    assert "latin" in repr(file)
    file.path = str(bytes_site / os.fsdecode(NAMES[1]))
    assert file.read() == NAMES[1]
    folder = str(bytes_site / os.fsdecode(b"f\xe9lder"))
    assert Folder(folder).path == folder
    assert repr(Folder(folder))
    with pytest.raises(FileNotFoundError):
        FilePath(path + "x").read()
    with pytest.raises(FileNotFoundError):
        Folder(folder + "\udcff")


def test_hooks_are_told_their_names(serve, bytes_site):
    seen = []
    running = serve({"/": Folder(bytes_site)}, pre_send=lambda response: seen.append(response.content.path) or response)
    assert running.fetch("/latin%E9.txt").body == NAMES[0]
    assert seen == [str(bytes_site / os.fsdecode(NAMES[0]))]


def test_a_name_that_no_system_has_is_an_error_of_values(bytes_site):
    for wrong in ("\ud800", "a\x00\ud800"):
        with pytest.raises((ValueError, TypeError)):
            FilePath(wrong)
