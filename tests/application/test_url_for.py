"""Addresses: `url_for` of routes, groups and folders, and `static_url` with a hash of the content; slashes at the end."""

from __future__ import annotations

import hashlib
import os
import uuid

import pytest

from outside import Folder, OutsideHTTP, Routes, static_url, url_for
from support.harness import wait_until


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config["access_log"] = "off"
    return server


def ask(server: OutsideHTTP, make) -> str:
    """What `make` gives while a request is handled."""
    server.get("/asked")(lambda: make())
    response = server.test_client(raise_exceptions=True).get("/asked?x=1")
    return response.text


def test_by_name_and_by_handler(server):
    @server.get("/users/{id:int}/posts/<name>")
    def post(id, name):
        return ""

    server.get("/asked")(lambda: [url_for("post", id=7, name="a b"), url_for(post, id=7, name="x", page=2, tag=["a", "b"])])
    assert server.test_client().get("/asked").json() == ["/users/7/posts/a%20b", "/users/7/posts/x?page=2&tag=a&tag=b"]


@pytest.mark.parametrize("value", ["a", "a b", "ä", "a%2Fb", "a?b#c", "50%", "a+b", "..a", "'\"<>"])
def test_an_address_leads_back_to_its_value(server, value):
    server.get("/s/<value>", name="segment")(lambda value: {"segment": value})
    server.get("/p/<path:rest>", name="path")(lambda rest: {"path": rest})
    server.get("/made")(lambda: [url_for("segment", value=value), url_for("path", rest=value)])
    client = server.test_client()
    segment, path = client.get("/made").json()
    assert client.get(segment).json() == {"segment": value}
    assert client.get(path).json() == {"path": value}


def test_groups(server):
    admin, users = Routes("/admin", name="admin"), Routes("/users")
    users.get("/{id}", name="show")(lambda id: "")
    admin.get("/")(named("index"))
    server.get("/")(named("index"))
    admin.mount(users)
    server.mount(admin, "/v1")
    server.get("/asked")(lambda: [url_for("admin.index"), url_for("index"), url_for("admin.show", id=1), url_for("show", id=1)])
    assert server.test_client().get("/asked").json() == ["/v1/admin/", "/", "/v1/admin/users/1", "/v1/admin/users/1"]


def named(name):
    def function():
        return ""

    function.__name__ = name
    return function


def test_folders_and_plain_routes(server, tmp_path):
    (tmp_path / "a b.txt").write_text("x")
    server.set_route("/static", Folder(str(tmp_path)))
    server.set_route("/files", named("files"))
    server.get("/asked")(
        lambda: [url_for("static", filename="a b.txt"), url_for("static", filename="css/a.css"), url_for("files")]
    )
    client = server.test_client()
    assert client.get("/asked").json() == ["/static/a%20b.txt", "/static/css/a.css", "/files"]
    assert client.get("/static/a%20b.txt").text == "x"


def test_external_ones_have_scheme_and_host(server):
    server.get("/a", name="a")(lambda: url_for("a", external=True, q="x y"))
    assert server.test_client(host="shop.example:8443").get("/a").text == "http://shop.example:8443/a?q=x+y"


@pytest.mark.parametrize(
    ("endpoint", "values", "error", "text"),
    [
        ("usr", {"id": 1}, LookupError, "did you mean 'user'?"),
        ("zzz", {}, LookupError, "no route has this name"),
        ("user", {}, TypeError, "lacks 'id'"),
        ("user", {"id": "seven"}, ValueError, "id='seven' does not fit"),
        ("user", {"id": -1}, ValueError, "does not fit"),
        ("named", {"name": ""}, ValueError, "does not fit"),
        ("named", {"name": ".."}, ValueError, "does not fit"),
        ("named", {"name": None}, ValueError, "does not fit"),
        ("named", {"name": "a/b"}, ValueError, "does not fit"),
        ("below", {"rest": "a/../b"}, ValueError, "does not fit"),
        ("key", {"id": "7"}, ValueError, "does not fit"),
        ("twice", {}, LookupError, "several routes: 'a.twice' (/a/x), 'b.twice' (/b/x)"),
        (len, {}, LookupError, "answers no route"),
    ],
)
def test_what_is_wrong_is_said(server, endpoint, values, error, text):
    server.get("/users/<int:id>", name="user")(lambda id: "")
    server.get("/n/<name>", name="named")(lambda name: "")
    server.get("/b/<path:rest>", name="below")(lambda rest: "")
    server.get("/k/<uuid:id>", name="key")(lambda id: "")
    for name in ("a", "b"):
        group = Routes(f"/{name}", name=name)
        group.get("/x")(named("twice"))
        server.mount(group)
    with pytest.raises(error) as raised:
        ask(server, lambda: url_for(endpoint, **values))
    assert text in str(raised.value)


def test_a_uuid(server):
    server.get("/k/<uuid:id>", name="key")(lambda id: "")
    value = uuid.uuid4()
    assert ask(server, lambda: url_for("key", id=value)) == f"/k/{value}"


@pytest.mark.parametrize("name", ["", "a.b", 7])
def test_the_name_of_a_group(name):
    with pytest.raises(ValueError, match="the name of a group"):
        Routes("/a", name=name)


# Static files.


@pytest.mark.parametrize("with_hooks", [False, True])
@pytest.mark.parametrize("repeats", [1, 10_000], ids=["small", "large"])
def test_a_static_address_is_kept_for_a_year_while_its_hash_is_that_of_the_bytes(server, tmp_path, with_hooks, repeats):
    file = tmp_path / "app.css"
    file.write_text("body { color: red }" * repeats)
    server.set_route("/static", Folder(str(tmp_path)))
    server.get("/asked")(lambda: static_url("app.css"))
    if with_hooks:
        server.after_request(lambda response: None)
    client = server.test_client()
    address = client.get("/asked").text
    assert address == f"/static/app.css?v={hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    for headers in ({}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=0-3"}):
        assert client.get(address, headers=headers).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for other in ("/static/app.css", "/static/app.css?v=0123456789abcdef", address + "0", address.replace("?v=", "?w=")):
        assert "immutable" not in client.get(other).headers["Cache-Control"]
    with file.open("r+") as opened:
        # In place: the file that the server has open is the same.
        opened.write("b")
        os.utime(opened.fileno(), (1, 1))
        opened.write("ODY")
    assert client.get("/asked").text != address
    wait_until(lambda: "immutable" not in client.get(address).headers["Cache-Control"])


def test_a_static_file_that_is_missing(server, tmp_path):
    server.set_route("/static", Folder(str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="static_url: .*app.css"):
        ask(server, lambda: static_url("app.css"))


# Slashes at the end.


@pytest.mark.parametrize(
    ("method", "path", "status", "location"),
    [
        ("GET", "/with", 301, "/with/"),
        ("HEAD", "/with", 301, "/with/"),
        ("GET", "/with?a=1&b=%20", 301, "/with/?a=1&b=%20"),
        ("POST", "/post", 308, "/post/"),
        ("GET", "/post", 404, None),
        ("POST", "/with", 404, None),
        ("GET", "/without/", 301, "/without"),
        ("GET", "/x/../without/", 301, "/without"),
        ("GET", "/users/a%20b/", 301, "/users/a%20b"),
        ("GET", "/users/a%5Cb/", 301, "/users/a%5Cb"),
        ("GET", "//with", 404, None),
        ("GET", "//users/a/", 404, None),
        ("GET", "//evil.example/", 404, None),
        ("GET", "/both", 200, None),
        ("GET", "/both/", 200, None),
        ("GET", "/none/", 404, None),
        ("GET", "/", 404, None),
    ],
)
def test_a_path_that_differs_by_its_slash_alone(server, method, path, status, location):
    for pattern in ("/with/", "/without", "/both", "/both/", "/users/{name}"):
        server.get(pattern)(lambda **_: "x")
    server.post("/post/")(lambda: "x")
    response = server.test_client().request(method, path)
    assert (response.status_code, response.headers.get("Location")) == (status, location)


def test_the_redirect_can_be_turned_off(server):
    server.config["redirect_slashes"] = False
    server.get("/with/")(lambda: "x")
    assert server.test_client().get("/with").status_code == 404
