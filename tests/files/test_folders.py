"""A folder on a route: index files, redirects, methods, the fallback of single-page applications, fields for caches."""

from __future__ import annotations

import os
import re
from urllib.parse import urljoin, urlsplit

import pytest

from outside import FilePath, Folder, Response, Routes

IMMUTABLE = "public, max-age=31536000, immutable"


# --- setting the route


def test_the_ways_to_set_it(serve, site):
    running = serve({"/a": FilePath(str(site)), "/b": Folder(str(site)), "/c": Folder(site), "/d": FilePath(site)})
    for route in "abcd":
        assert running.fetch(f"/{route}/docs/b.txt").text == "docs/b.txt"


def test_a_missing_folder_is_an_error_at_once(serve, tmp_path):
    (tmp_path / "file").write_text("x")
    server = serve().server
    for make in (Folder, lambda path: server.set_route("/", FilePath(path))):
        with pytest.raises(FileNotFoundError, match="missing"):
            make(str(tmp_path / "missing"))
    with pytest.raises(NotADirectoryError, match="file"):
        Folder(str(tmp_path / "file"))
    assert server._routes == {}


@pytest.mark.parametrize(
    "options",
    [
        {"listing": "yes"},
        {"spa": 1},
        {"index": 2},
        {"cache_control": "max-age=1"},
        {"cache_control": {"*": 1}},
        {"cache_control": {"*": "a\r\nb: c"}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_options_are_checked_at_once(site, options):
    with pytest.raises((TypeError, ValueError)):
        Folder(str(site), **options)


def test_a_relative_path_is_that_of_the_moment(serve, site, monkeypatch):
    monkeypatch.chdir(site.parent)
    running = serve({"/": Folder("site")})
    monkeypatch.chdir("/")
    assert running.fetch("/a.txt").text == "a.txt"


def test_a_route_is_replaced_and_removed_while_the_server_runs(serve, site):
    running = serve({"/": lambda request: "handler"})
    running.server.set_route("/s", Folder(str(site)))
    assert running.fetch("/s/a.txt").text == "a.txt"
    running.server.set_route("/s", lambda request: "other")
    assert running.fetch("/s/a.txt").text == "other"
    running.server.remove_route("/s")
    assert running.fetch("/s/a.txt").text == "handler"


def test_a_longer_route_wins(serve, site):
    running = serve({"/": Folder(str(site)), "/docs/b.txt": lambda request: "handler"})
    assert running.fetch("/docs/b.txt").text == "handler"
    assert running.fetch("/docs/").text == "docs/index.html"


def test_it_has_a_repr(site):
    assert str(site) in repr(Folder(str(site)))


# --- index and redirect


@pytest.mark.parametrize(
    ("target", "status", "found"),
    [
        ("/s", 301, "/s/"),
        ("/s/", 200, "index.html"),
        ("/s/index.html", 200, "index.html"),
        ("/s/docs", 301, "/s/docs/"),
        ("/s/docs?a=1&b=%2f%2f", 301, "/s/docs/?a=1&b=%2f%2f"),
        ("/s/docs?", 301, "/s/docs/"),
        ("/s/docs/", 200, "docs/index.html"),
        ("/s/docs/?a=1", 200, "docs/index.html"),
        ("/s/docs/../docs", 301, "/s/docs/"),
        ("/s/bare", 404, None),
        ("/s/bare/", 404, None),
        ("/s/a.txt/", 404, None),
        ("/s/missing", 404, None),
        ("/s/missing/", 404, None),
    ],
)
def test_index_and_redirect(serve, site, target, status, found):
    running = serve({"/s": Folder(str(site))})
    for method in ("GET", "HEAD"):
        answer = running.fetch(target, method)
        assert answer.status == status
        if status == 301:
            location = urljoin("http://here/", answer.header("Location"))
            assert location.removeprefix("http://here") in (found, found + "?")
        if status == 200:
            assert answer.text == (found if method == "GET" else "")
            assert answer.header("Content-Length") == str(len(found))


def test_another_index(serve, site):
    running = serve({"/": Folder(str(site), index="b.txt")})
    assert running.fetch("/docs/").text == "docs/b.txt"
    assert running.fetch("/").status == 404


def test_an_index_that_is_no_file(serve, site):
    (site / "odd" / "index.html").mkdir(parents=True)
    os.mkfifo(site / "bare" / "index.html")
    running = serve({"/": Folder(str(site))})
    for target in ("/odd", "/odd/", "/bare", "/bare/"):
        assert running.fetch(target).status in (301, 404)
    assert running.fetch("/odd/").status == 404
    assert running.fetch("/bare/").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "//evil.example/",
        "//evil.example/..",
        "//evil.example/%2e%2e",
        "/.//evil.example",
        "/x/..//evil.example",
        "/%2fevil.example",
        "/%2f%2fevil.example",
        "/%5cevil.example",
        "/\\evil.example",
        "/\\\\evil.example",
        "///evil.example",
        "/evil.example",
        "/%65vil.example",
        "/%09/evil.example",
        "/%0a//evil.example",
        "http://a//evil.example",
        "/;//evil.example",
        "/evil.example?//other.example",
    ],
)
def test_a_redirect_stays_on_this_host(serve, site, target):
    """A folder has the name of a host; a client that joins the Location to its URL must not get there."""
    (site / "evil.example").mkdir()
    (site / "evil.example" / "index.html").write_text("x")
    answer = serve({"/": Folder(str(site), listing=True)}).fetch(target)
    location = answer.header("Location")
    if location is not None:
        assert answer.status == 301
        assert re.match(r"/[^/\\]", location), location
        assert urlsplit(urljoin("http://here/a", location)).netloc == "here"
    else:
        assert answer.status in (200, 400, 404)


@pytest.mark.parametrize(
    "name", ["with space", "ü", "100%", "q?", "h#", "a\r\nSet-Cookie: a=b", '"quoted"', "it's", "<b>", "a;b", "a:b"]
)
def test_a_redirect_names_the_path_that_was_asked_for(serve, site, name):
    (site / name).mkdir()
    (site / name / "index.html").write_text(name)
    running = serve({"/s": Folder(str(site))})
    encoded = "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in name.encode())
    answer = running.fetch(f"/s/{encoded}")
    assert answer.status == 301
    assert answer.header("Set-Cookie") is None
    location = answer.header("Location")
    assert re.fullmatch(r"/s/[!-~]+/", location), location
    assert running.fetch(location).text == name


# --- methods and errors


@pytest.mark.parametrize("target", ["/s/a.txt", "/s/", "/s/docs", "/s/missing", "/one"])
def test_methods(serve, site, target):
    running = serve({"/s": Folder(str(site)), "/one": FilePath(str(site / "a.txt"))})
    for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get"):
        answer = running.fetch(target, method, body=b"x" if method == "PUT" else None)
        assert answer.status == 405, method
        assert answer.header("Allow") == "GET, HEAD, OPTIONS"
    answer = running.fetch(target, "OPTIONS")
    assert (answer.status, answer.header("Allow"), answer.body) == (204, "GET, HEAD, OPTIONS", b"")


def test_errors_go_through_the_error_handlers(serve, site):
    running = serve({"/s": Folder(str(site))})
    for code in (404, 405):
        running.server.set_errorhandler(
            code,
            lambda request, message=None, code=code: Response(code, {"X-Own": "1"}, f"own {request.method} {request.url}"),
        )
    answer = running.fetch("/s/missing?x")
    assert (answer.status, answer.text, answer.header("X-Own")) == (404, "own GET /s/missing", "1")
    assert running.fetch("/s/.hidden").text == "own GET /s/.hidden"
    answer = running.fetch("/s/a.txt", "DELETE")
    assert (answer.status, answer.text, answer.header("Allow")) == (405, "own DELETE /s/a.txt", "GET, HEAD, OPTIONS")


def test_hooks_see_the_answers(serve, site):
    seen: list[str] = []

    def pre_send(response: Response) -> None:
        response.headers["X-Hook"] = "1"

    running = serve(
        {"/s": Folder(str(site))},
        pre_send=pre_send,
        post_callback=lambda request, response: seen.append(f"{request.url} {response.status_code}"),
    )
    for target in ("/s/a.txt", "/s/missing", "/s/docs"):
        assert running.fetch(target).header("X-Hook") == "1"
    running.stop()
    assert seen == ["/s/a.txt 200", "/s/missing 404", "/s/docs 301"]


def test_a_large_upload_to_a_folder_is_no_harm(serve, site):
    answer = serve({"/": Folder(str(site))}).fetch("/a.txt", "POST", body=b"x" * 1_000_000)
    assert answer.status == 405


def test_http_1_0(serve, site):
    with serve({"/": Folder(str(site))}).wire() as wire:
        data = wire.send(b"GET /a.txt HTTP/1.0\r\n\r\n").receive_rest()
    assert data.endswith(b"\r\n\r\na.txt")


# --- single-page applications

PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("target", "headers", "found"),
    [
        ("/users/1", PAGE, "app"),
        ("/users/1", {"Sec-Fetch-Mode": "navigate"}, "app"),
        ("/users/1", {"Sec-Fetch-Mode": "navigate", "Accept": "*/*"}, "app"),
        ("/users/1?tab=2", PAGE, "app"),
        ("/users/", PAGE, "app"),
        ("/a.b/users", PAGE, "app"),
        ("/", PAGE, "app"),
        ("/real.txt", PAGE, "real"),
        ("/users/1", {}, None),
        ("/users/1", {"Accept": "*/*"}, None),
        ("/users/1", {"Accept": "application/json"}, None),
        ("/users/1", {"Accept": "image/png,image/*;q=0.8"}, None),
        # A dot is part of names: the kind of the request decides.
        ("/users/john.doe", PAGE, "app"),
        ("/users/john.doe", {"Sec-Fetch-Mode": "navigate"}, "app"),
        ("/users/john.doe", {"Sec-Fetch-Dest": "document"}, "app"),
        ("/users/john.doe", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "app"),
        ("/v1.2/", PAGE, "app"),
        ("/users/john.doe", {"Accept": "*/*"}, None),
        ("/missing.js", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script", "Accept": "*/*"}, None),
        ("/users/1", {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", **PAGE}, None),
        ("/users/1", {"Sec-Fetch-Dest": "image", **PAGE}, None),
        ("/assets/app.3f2a9c1b.css", {"Accept": "text/css,*/*;q=0.1"}, None),
        ("/.env", PAGE, None),
        # Preference: of the media types with the highest weight, the first one.
        ("/users/1", {"Accept": "text/html"}, "app"),
        ("/users/1", {"Accept": "TEXT/HTML;charset=utf-8;q=0.9"}, "app"),
        ("/users/1", {"Accept": "application/xhtml+xml, text/html;q=0.9"}, "app"),
        ("/users/1", {"Accept": "text/*;q=0.5, text/html"}, "app"),
        ("/users/1", [("Accept", "application/json;q=0.1"), ("Accept", "text/html")], "app"),
        ("/users/1", {"Accept": "application/json, text/html;q=0.9"}, None),
        ("/users/1", {"Accept": "application/json, text/plain, */*"}, None),
        ("/users/1", {"Accept": "text/html;q=0"}, None),
        ("/users/1", {"Accept": "text/html;q=2"}, None),
        ("/users/1", {"Accept": 'application/json;profile="text/html"'}, None),
        ("/users/1", {"Accept": "text/html5"}, None),
    ],
    ids=str,
)
def test_single_page_fallback(serve, tmp_path, target, headers, found):
    (tmp_path / "index.html").write_text("app")
    (tmp_path / "real.txt").write_text("real")
    running = serve({"/": Folder(str(tmp_path), spa="index.html")})
    for method in ("GET", "HEAD"):
        answer = running.fetch(target, method, headers)
        assert answer.status == (200 if found else 404)
        if found and method == "GET":
            assert answer.text == found


def test_the_fallback_is_not_kept_and_no_answer_to_changes(serve, tmp_path):
    (tmp_path / "app.html").write_text("app")
    running = serve({"/": Folder(str(tmp_path), spa="app.html")})
    answer = running.fetch("/users/1", headers=PAGE)
    assert (answer.text, answer.header("Content-Type")) == ("app", "text/html; charset=utf-8")
    assert answer.header("Cache-Control") == "max-age=0"
    assert running.fetch("/users/1", headers={**PAGE, "If-None-Match": answer.header("ETag")}).status == 304
    assert running.fetch("/users/1", "POST", PAGE).status == 405


def test_without_it_a_navigation_is_a_404(serve, site):
    assert serve({"/": Folder(str(site))}).fetch("/users/1", headers=PAGE).status == 404


def test_a_fallback_that_is_missing_is_a_404(serve, site):
    assert serve({"/": Folder(str(site), spa="nothing.html")}).fetch("/users/1", headers=PAGE).status == 404


# --- fields for caches

HASHED = [
    "app.3f2a9c1b.js",
    "index-BvN3kX9a.js",
    "assets/style.0a1b2c3d4e5f.css",
    "chunk-D8kZ_1aB.mjs",
    "logo.5d5d9eef.svg",
]
PLAIN = [
    "index.html", "app.js", "app.min.js", "jquery-3.7.1.min.js", "date-formatter.js", "font-awesome.css",
    "my-component.js", "some.component.css", "a-b-c.txt", "bootstrap.bundle.js", "roboto-regular.woff2",
    "noextension", "translations.json", "README.md",
]  # fmt: skip


@pytest.mark.parametrize(("names", "value"), [(HASHED, IMMUTABLE), (PLAIN, "max-age=0")], ids=["hashed", "plain"])
def test_cache_control(serve, tmp_path, names, value):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    running = serve({"/": Folder(str(tmp_path))})
    assert {name: running.fetch(f"/{name}").header("Cache-Control") for name in names} == dict.fromkeys(names, value)


def test_cache_control_by_pattern(serve, tmp_path):
    for name in ("a.woff2", "deep/b.woff2", "deep/c.css", "d.html", "app.3f2a9c1b.js", "private/e.txt", "f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    patterns = {
        "*.woff2": "max-age=3600",
        "private/*": "no-store",
        "deep/*": "max-age=60",
        "*.js": "max-age=5",
        "d.html": "no-cache",
    }
    running = serve({"/s": Folder(str(tmp_path), cache_control=patterns)})
    found = {
        name: running.fetch(f"/s/{name}").header("Cache-Control")
        for name in ("a.woff2", "deep/b.woff2", "deep/c.css", "d.html", "app.3f2a9c1b.js", "private/e.txt", "f.txt")
    }
    assert found == {
        "a.woff2": "max-age=3600",
        "deep/b.woff2": "max-age=3600",
        "deep/c.css": "max-age=60",
        "d.html": "no-cache",
        "app.3f2a9c1b.js": "max-age=5",
        "private/e.txt": "no-store",
        "f.txt": "max-age=0",
    }


def test_errors_are_not_kept(serve, tmp_path):
    running = serve({"/": Folder(str(tmp_path))})
    for target in ("/app.3f2a9c1b.js", "/missing.css"):
        assert "immutable" not in (running.fetch(target).header("Cache-Control") or "")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.woff2", "font/woff2"),
        ("a.mp4", "video/mp4"),
        ("a.pdf", "application/pdf"),
        ("a.PNG", "image/png"),
        ("a", "application/octet-stream"),
        ("a.unheardof", "application/octet-stream"),
    ],
)
def test_media_types(serve, tmp_path, name, kind):
    (tmp_path / name).write_text("x")
    answer = serve({"/": Folder(str(tmp_path))}).fetch(f"/{name}")
    assert answer.header("Content-Type") == kind
    assert answer.header("X-Content-Type-Options") == "nosniff"


# --- a folder on a route for whole paths


@pytest.mark.parametrize("make", [Folder, FilePath])
@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("/files", 'set_route("/files", folder)'),
        ("/", 'set_route("/", folder)'),
        ("/files/", '"/files/<path:name>"'),
        ("/u/<id>/files", "its only parameter"),
        ("/u/<int:id>/<path:name>", 'set_route("/u", folder)'),
        ("/files/<path:name>/raw", '"/files/<path:name>"'),
    ],
)
def test_a_folder_is_refused_where_nothing_in_it_would_be_found(server, site, make, pattern, right):
    group = Routes("/api")
    group.get(pattern)(make(str(site)))
    for register in (
        lambda: server.get(pattern)(make(str(site))),
        lambda: server.route(pattern, ["GET", "POST"])(make(str(site))),
    ):
        with pytest.raises(ValueError, match="whole paths") as refused:
            register()
        assert right in str(refused.value)
        assert pattern in str(refused.value)
    with pytest.raises(ValueError, match="/api"):
        server.mount(group)


def test_a_folder_is_served_where_a_pattern_leaves_the_rest_open(server, start, site):
    server.get("/files/<path:name>")(Folder(site))
    server.get("/flat/{name}")(FilePath(str(site)))
    server.get("/a")(FilePath(str(site / "a.txt")))
    running = start()
    assert running.fetch("/files/docs/b.txt").text == "docs/b.txt"
    assert running.fetch("/flat/a.txt").text == running.fetch("/a").text == "a.txt"


def test_files_on_a_route_without_get_are_refused(server, site):
    with pytest.raises(ValueError, match="GET and HEAD, not to POST"):
        server.post("/a")(FilePath(str(site / "a.txt")))
