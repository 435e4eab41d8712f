"""Objects given to a response stay as they are. Names of header fields ignore case: a field set in two spellings goes out once."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from outside import (
    FilePath,
    Folder,
    Response,
    ResponseCookie,
    event_stream,
    get_insensitive_header,
    html,
    json_response,
    redirect,
    send_file,
)
from support.harness import TESTS

# --- objects that were handed over are not changed


def test_headers_handed_over_are_copied_when_they_are_changed():
    headers = {"X-A": "1", "Vary": ["Accept"]}
    cookies = {"sid": ResponseCookie("nobody"), "theme": "dark"}
    content = {"user": None}
    response = Response(200, headers, content, cookies)
    response.headers["X-A"] = "2"
    response.headers["Vary"].append("Cookie")
    response.cookies["sid"].value = "ada"
    response.cookies["theme"] = "light"
    response.content["user"] = "ada"
    fresh = Response(200, headers, content, cookies)
    assert (fresh.headers, fresh.content) == ({"X-A": "1", "Vary": ["Accept"]}, {"user": None})
    assert (fresh.cookies["sid"].value, fresh.cookies["theme"]) == ("nobody", "dark")


def test_assigned_headers_are_handed_over_as_well():
    headers, cookies, content, data = {"X-A": "1"}, {"a": "1"}, [1], bytearray(b"a")
    response = Response()
    response.headers, response.cookies, response.content = headers, cookies, content
    response.headers["X-B"] = response.cookies["b"] = "2"
    response.content.append(2)
    assert (headers, cookies, content) == ({"X-A": "1"}, {"a": "1"}, [1])
    response.content = data
    response.content.extend(b"b")
    assert (data, response.content) == (b"a", b"ab")


def test_an_attribute_is_the_same_object_each_time():
    response = Response(200, {"X-A": "1"}, {"a": 1}, {"a": "1"})
    assert response.headers is response.headers
    assert response.cookies is response.cookies
    assert response.content is response.content
    pieces = iter(["a"])
    assert Response(content=pieces).content is pieces


def test_no_session_reaches_the_next_client(server, start):
    headers, cookies = {"Cache-Control": "no-store"}, {"sid": ResponseCookie("nobody", http_only=True)}

    @server.get("/<user>")
    def page(user):
        response = Response(200, headers, "page", cookies)
        if user != "nobody":
            response.cookies["sid"].value = user
            response.headers["X-User"] = user
        return response

    running = start()
    answers = [running.fetch(path) for path in ("/ada", "/nobody")]
    assert [answer.header("Set-Cookie") for answer in answers] == ["sid=ada; HttpOnly", "sid=nobody; HttpOnly"]
    assert [answer.header("X-User") for answer in answers] == ["ada", None]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda cookie: pickle.loads(pickle.dumps(cookie))])
def test_a_cookie_can_be_copied(again):
    cookie = ResponseCookie("v", 60, "example.com", True, True, "/", "lax")
    cookie.note = "mine"
    copied = again(cookie)
    assert (
        repr(copied)
        == repr(cookie)
        == 'ResponseCookie("v; Max-Age=60; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Lax")'
    )
    assert copied.note == "mine"


# --- names ignore case


def fields(**more: object) -> Response:
    return Response(200, {"Content-Type": "text/plain", "X-A": "1", **more})


def test_every_way_to_look_up_ignores_case():
    headers = fields().headers
    assert (
        headers["content-type"]
        == headers.get("CONTENT-TYPE")
        == get_insensitive_header(headers, "content-Type")
        == "text/plain"
    )
    assert "x-a" in headers and "x-b" not in headers
    assert headers.get("x-b") is None and headers.get("x-b", "2") == "2"
    assert list(headers) == ["Content-Type", "X-A"]
    with pytest.raises(KeyError, match="x-b"):
        headers["x-b"]


def test_every_way_to_set_ignores_case():
    headers = fields().headers
    headers["x-a"] = "2"
    headers.update({"content-type": "text/html"}, CACHE="no")
    headers |= {"cache": "yes"}
    assert headers.setdefault("x-A", "3") == "2"
    assert headers == {"Content-Type": "text/html", "X-A": "2", "CACHE": "yes"}
    assert type(headers | {"x-a": "4"}) is type({"x-a": "0"} | headers) is type(headers.copy()) is type(headers)
    assert (headers | {"x-a": "4"})["X-A"] == "4" and ({"x-a": "0"} | headers) == {
        "x-a": "2",
        "Content-Type": "text/html",
        "CACHE": "yes",
    }
    assert headers.pop("cache") == "yes" and headers.pop("cache", None) is None
    del headers["x-a"]
    assert dict(headers) == {"Content-Type": "text/html"}
    for missing in (lambda: headers.pop("cache"), lambda: headers.__delitem__("x-a")):
        with pytest.raises(KeyError):
            missing()


def test_order_and_repeated_fields_are_kept():
    headers = fields(**{"set-cookie": ["a=1", "b=2"], "X-Z": "z"}).headers
    assert list(headers) == ["Content-Type", "X-A", "set-cookie", "X-Z"]
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert (headers.get_all("x-z"), headers.get_all("x-y")) == (["z"], [])
    assert json.loads(json.dumps(headers)) == headers == pickle.loads(pickle.dumps(headers))


def two_spellings(request):
    return Response(200, {"X-A": "1", "Content-Type": "text/a", "x-a": "2", "content-TYPE": "text/b"}, "a")


def two_cookies(request):
    return Response(200, {"Set-Cookie": "a=1", "set-cookie": "b=2"}, "a", {"c": "3"})


def test_a_name_in_two_spellings_is_sent_once(serve):
    running = serve({"/a": two_spellings, "/b": two_cookies, "/c": lambda request: read(two_spellings(request)),
                     "/d": lambda request: read(two_cookies(request))})  # fmt: skip
    for path in ("/a", "/c"):
        answer = running.fetch(path)
        assert (answer.all("X-A"), answer.all("Content-Type")) == (["2"], ["text/b"])
    for path in ("/b", "/d"):
        assert sorted(running.fetch(path).all("Set-Cookie")) == ["a=1", "b=2", "c=3"]


def read(response: Response) -> Response:
    assert response.headers
    return response


ONCE = {
    "json": lambda request: json_response({}, headers={"content-type": "application/problem+json"}),
    "html": lambda request: html("", headers={"CONTENT-TYPE": "application/xhtml+xml"}),
    "redirect": lambda request: redirect("/there", headers={"location": "/elsewhere"}),
    "file": lambda request: send_file(
        __file__, "a.py", media_type="text/x", headers={"content-type": "text/y", "content-disposition": "inline"}
    ),
    "events": lambda request: event_stream([], headers={"cache-control": "no-store", "content-type": "text/event-stream"}),
}


@pytest.mark.parametrize("name", ONCE)
def test_the_short_forms_send_a_field_once(serve, name):
    answer = serve(ONCE[name]).fetch()
    sent = {field: answer.all(field) for field in ("Content-Type", "Content-Disposition", "Location", "Cache-Control")}
    wanted = {
        "json": {"Content-Type": ["application/problem+json"]},
        "html": {"Content-Type": ["application/xhtml+xml"]},
        "redirect": {"Location": ["/there"]},
        "file": {"Content-Type": ["text/x"], "Content-Disposition": ['attachment; filename="a.py"']},
        "events": {"Content-Type": ["text/event-stream"], "Cache-Control": ["no-store"]},
    }
    assert sent == sent | wanted[name]
    assert all(len(values) <= 1 for values in sent.values())


@pytest.mark.parametrize("name", ["Location", "content-disposition", "Content-Type", "ETag"])
def test_a_list_for_a_field_that_stands_once_is_refused(serve, records, name):
    assert serve(lambda request: Response(200, {name: ["a", "b"]}, "")).fetch().status == 500
    records.wait_for(f"one {name}, not ['a', 'b']")


# --- after_request sees the answer as it will be sent


CONTENTS = {
    "/text": (lambda: "text", "text/plain; charset=utf-8"),
    "/json": (lambda: {"a": 1}, "application/json"),
    "/bytes": (lambda: b"bytes", "application/octet-stream"),
    "/file": (lambda: Response(content=FilePath(TESTS / "corpus/forms.jsonl")), "application/octet-stream"),
    "/sent": (lambda: send_file("a.html"), "text/html; charset=utf-8"),
    "/own": (lambda: Response(200, {"content-TYPE": "text/x"}, "own"), "text/x"),
    "/page": (lambda: (404, "none"), "text/plain; charset=utf-8"),
    "/nothing": (lambda: None, None),
}


@pytest.mark.parametrize("hook", ["after_request", "async after_request", "pre_send"])
def test_hooks_see_the_media_type_of_every_kind_of_answer(server, start, tmp_path, monkeypatch, hook):
    monkeypatch.chdir(tmp_path)
    for name in ("a.css", "a.html"):
        (tmp_path / name).write_text(name)
    seen = {}

    def after(request, response):
        seen[request.path] = response.headers.get("content-type")
        response.headers["content-type"] = response.headers.get("Content-Type", "none") + "; seen=yes"

    if hook == "after_request":
        server.after_request(after)
    elif hook == "pre_send":
        server.before_request(lambda request: setattr(server, "last", request))
        server.config["pre_send"] = lambda response: after(server.last, response)
    else:

        @server.after_request
        async def later(request, response):
            after(request, response)

    for path, (handler, _) in CONTENTS.items():
        server.get(path)(handler)
    server.set_route("/folder", Folder(tmp_path))
    wanted = {path: kind for path, (_, kind) in CONTENTS.items()}
    wanted |= {"/folder/a.css": "text/css; charset=utf-8", "/no/such": "text/plain; charset=utf-8"}
    running = start()
    for path, kind in wanted.items():
        assert running.fetch(path).all("Content-Type") == [f"{kind or 'none'}; seen=yes"], path
        assert seen[path] == kind, path


def test_the_media_type_follows_content_that_a_hook_replaces(server, start):
    @server.after_request
    def replace(response):
        kept = response.headers["Content-Type"]
        response.content = {"was": kept}
        if kept == "text/plain; charset=utf-8":
            assert response.headers["content-type"] == "application/json"

    server.get("/implied")(lambda: "text")
    server.get("/own")(lambda: html("page"))
    running = start()
    assert running.fetch("/implied").all("Content-Type") == ["application/json"]
    assert running.fetch("/own").all("Content-Type") == ["text/html; charset=utf-8"]


def test_a_media_type_that_a_hook_takes_out_comes_back_as_the_default(server, start):
    server.after_request(lambda response: response.headers.pop("content-type") and None)
    server.get("/")(lambda: "text")
    assert start().fetch().all("Content-Type") == ["text/plain; charset=utf-8"]


def test_outside_of_hooks_headers_are_those_that_were_given():
    assert Response(content="text").headers == {}


def test_fields_of_the_engine_are_not_added_twice(serve, tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")
    given = {
        "access-control-allow-credentials": "true",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "etag": '"mine"',
        "content-range": "bytes 0-0/1",
    }
    cors = {"origins": ["https://app.example"], "credentials": True}
    running = serve(lambda request: send_file(tmp_path / "a.txt", headers=given), cors=cors, security_headers="basic")
    answer = running.fetch("/", headers={"Origin": "https://app.example", "Range": "bytes=2-3"})
    assert (answer.status, answer.text, answer.header("Content-Range")) == (206, "23", "bytes 2-3/10")
    for name in [*given, "access-control-allow-origin", "content-type"]:
        assert len(answer.all(name)) == 1, name
