"""A request as a handler sees it: the lazy view, its dictionaries, its body; and requests built by hand."""

from __future__ import annotations

import json
import weakref

import pytest

from outside import OutsideHTTP, Request
from support.wire import request_bytes


@pytest.fixture
def seen(serve):
    """Sends raw bytes, and hands back the result of `look(request)`, evaluated within the handler."""
    looks: list = []
    results: list = []

    def handler(request):
        results.append(looks[0](request))
        return "seen"

    running = serve(handler)

    def see(raw: bytes, look):
        looks[:], results[:] = [look], []
        with running.wire() as wire:
            answer = wire.send(raw).receive_answer()
            assert answer.status == 200, answer
            client = wire.socket.getsockname()
        see.client = client
        return results[0]

    return see


def test_plain_attributes(seen):
    raw = request_bytes("/a%20b/c?x=1&y", "POST", {"X-Own": "v"}, b"body")
    names = ("method", "url", "path", "query", "version", "content", "host", "scheme", "params")
    view = seen(raw, lambda request: {name: getattr(request, name) for name in names})
    assert view == {
        "method": "POST",
        "url": "/a b/c",
        "path": "/a b/c",
        "query": "x=1&y",
        "version": "HTTP/1.1",
        "content": b"body",
        "host": "localhost",
        "scheme": "http",
        "params": {"x": "1", "y": ""},
    }


def test_types(seen):
    def look(request):
        return [type(request.content), type(request.cookies).__base__, type(request.params).__base__, type(request.address)]

    # Dictionaries of a class of their own, in which a missing name is the client's fault.
    assert seen(request_bytes("/"), look) == [bytes, dict, dict, tuple]
    assert seen(request_bytes("/"), lambda request: isinstance(request, Request))


def test_address_is_the_client(seen):
    address = seen(request_bytes("/"), lambda request: request.address)
    assert address == seen.client


def test_values_of_the_view_are_remembered(seen):
    def look(request):
        return request.headers is request.headers and request.params is request.params and request.cookies is request.cookies

    assert seen(request_bytes("/?a=1"), look)


def test_a_request_may_outlive_its_exchange(seen):
    request = seen(request_bytes("/later?a=1", "POST", {"X-Own": "v", "Cookie": "c=1"}, b'{"k": 1}'), lambda request: request)
    assert (request.url, request.params, request.headers["x-own"]) == ("/later", {"a": "1"}, "v")
    assert (request.cookies, request.json(), request.method) == ({"c": "1"}, {"k": 1}, "POST")


def test_http_1_0_has_its_version(seen):
    assert seen(b"GET / HTTP/1.0\r\n\r\n", lambda request: request.version) == "HTTP/1.0"


def test_the_authority_of_an_absolute_target_is_the_host(seen):
    raw = b"GET http://in.target:81/a HTTP/1.1\r\nHost: other\r\n\r\n"
    assert seen(raw, lambda request: request.host) == "in.target:81"


# headers

FIELDS = [("Host", "a"), ("X-First", "1"), ("x-SECOND", "2"), ("X-First", "3")]


def test_headers_are_a_dictionary_blind_for_case(seen):
    headers = seen(request_bytes("/", headers=FIELDS), lambda request: request.headers)
    assert isinstance(headers, dict)
    assert headers["x-second"] == headers["X-Second"] == headers.get("X-SECOND") == "2"
    assert "X-sEcOnD" in headers
    assert "X-Third" not in headers
    assert headers.get("X-Third") is None
    assert headers.get("X-Third", "default") == "default"
    with pytest.raises(KeyError):
        headers["X-Third"]


def test_headers_keep_names_and_order(seen):
    headers = seen(request_bytes("/", headers=FIELDS), lambda request: request.headers)
    assert list(headers) == ["Host", "X-First", "x-SECOND"]
    assert list(headers.items()) == [("Host", "a"), ("X-First", "1, 3"), ("x-SECOND", "2")]
    assert dict(headers) == {"Host": "a", "X-First": "1, 3", "x-SECOND": "2"}
    assert len(headers) == 3


def test_repeated_fields(seen):
    headers = seen(request_bytes("/", headers=[*FIELDS, ("x-first", "5")]), lambda request: request.headers)
    assert headers["X-First"] == "1, 3, 5"
    assert headers.get_all("x-FIRST") == ["1", "3", "5"]
    assert headers.get_all("x-second") == ["2"]
    assert headers.get_all("X-Third") == []


def test_repeated_cookie_fields_are_joined_by_semicolons(seen):
    raw = request_bytes("/", headers=[("Cookie", "a=1"), ("Cookie", "b=2")])
    assert seen(raw, lambda request: request.headers["cookie"]) == "a=1; b=2"


def test_headers_can_be_changed_like_any_dictionary(seen):
    headers = seen(request_bytes("/", headers=FIELDS), lambda request: request.headers)
    headers["X-SECOND"] = "new"
    assert headers["x-second"] == "new"
    del headers["x-Second"]
    assert "x-SECOND" not in headers
    assert headers.pop("HOST") == "a"
    assert headers.setdefault("x-FIRST", "other") == "1, 3"


def test_a_value_above_ascii_reads_as_latin_1_or_utf_8(seen):
    value = seen(b"GET / HTTP/1.1\r\nHost: a\r\nX-Text: caf\xc3\xa9\r\n\r\n", lambda request: request.headers["x-text"])
    assert value in ("café", "caf\u00c3\u00a9")
    assert isinstance(seen(b"GET / HTTP/1.1\r\nHost: a\r\nX-Text: \xff\r\n\r\n", lambda r: r.headers["x-text"]), str)


# cookies and parameters


@pytest.mark.parametrize(
    ("field", "cookies"),
    [
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("; a=1;;", {"a": "1"}),
        ("alone", {}),
        ("=nameless; a=1", {"a": "1"}),
        ("=__Host-a=1", {}),
        ("A=1; a=2", {"A": "1", "a": "2"}),
    ],
)
def test_cookies(seen, field, cookies):
    assert seen(request_bytes("/", headers={"Cookie": field}), lambda request: request.cookies) == cookies


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2", {"a": "1"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("&&a=1&", {"a": "1"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("a=b+c%20d", {"a": "b c d"}),
        ("%61=%C3%A9", {"a": "é"}),
        ("a=%zz", {"a": "%zz"}),
        ("a=b=c", {"a": "b=c"}),
        ("a[]=1", {"a[]": "1"}),
    ],
)
def test_params(seen, query, params):
    assert seen(request_bytes(f"/?{query}"), lambda request: request.params) == params


def test_params_that_are_no_utf_8_are_still_strings(seen):
    assert isinstance(seen(request_bytes("/?a=%ff"), lambda request: request.params["a"]), str)


def test_all_params(seen):
    assert seen(request_bytes("/?a=1&b=2&a=3"), lambda request: request.params_all) == {"a": ["1", "3"], "b": ["2"]}


# body


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b"[1]", [1]),
        (b"5", 5),
        (b'"text"', "text"),
        (b"null", None),
        (b"true", True),
        (b" {} ", {}),
        (b"", None),
        (b"{", None),
        (b"nonsense", None),
        (b"{'a': 1}", None),
        (b'{"a": 1} x', None),
        (b'"\xff"', None),
        ('{"a": 1}'.encode("utf-16"), {"a": 1}),
        (b"NaN", None),
        (b"[" * 100_000, None),
        (b'{"a":' * 100_000, None),
    ],
    ids=range(17),
)
def test_json(seen, body, value):
    assert seen(request_bytes("/", "POST", body=body), lambda request: request.json()) == value


def test_json_does_not_ask_for_a_content_type(seen):
    raw = request_bytes("/", "POST", {"Content-Type": "text/plain"}, b'{"a": 1}')
    assert seen(raw, lambda request: request.json()) == {"a": 1}


def test_text(seen):
    raw = request_bytes("/", "POST", {"Content-Type": "text/plain; charset=utf-8"}, "größe".encode())
    assert seen(raw, lambda request: request.text) == "größe"
    assert isinstance(seen(request_bytes("/", "POST", body=b"\xff\xfe"), lambda request: request.text), str)


def test_form(seen):
    raw = request_bytes("/", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1+2&b=%C3%A9&a=3")
    form = seen(raw, lambda request: request.form)
    assert (form["a"], form["b"]) == ("1 2", "é")
    assert not seen(request_bytes("/"), lambda request: request.form)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(b"--cut\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + b"--cut--\r\n"
    return request_bytes("/", "POST", {"Content-Type": "multipart/form-data; boundary=cut"}, body)


def test_multipart_form_and_files(seen):
    raw = multipart(
        ('Content-Disposition: form-data; name="title"', b"hello"),
        ('Content-Disposition: form-data; name="up"; filename="a.txt"\r\nContent-Type: text/plain', b"\x00\r\ndata"),
    )
    form, files = seen(raw, lambda request: (request.form, request.files))
    assert form["title"] == "hello"
    assert "up" not in form
    assert files["up"].filename == "a.txt"
    assert files["up"].content == b"\x00\r\ndata"
    assert files["up"].content_type == "text/plain"


@pytest.mark.parametrize("body", [b"", b"--cut", b"--cut--", b"nonsense", b"--cut\r\n\r\n", b"--cut\r\nX\r\n\r\na\r\n--cut--"])
def test_a_malformed_multipart_body_is_no_accident(serve, body):
    running = serve(lambda request: f"{len(request.form)} {len(request.files)}")
    answer = running.fetch("/", "POST", {"Content-Type": "multipart/form-data; boundary=cut"}, body)
    assert answer.status in (200, 400)


# python objects


def test_extra_attributes_and_weak_references(seen):
    def look(request):
        request.user = "somebody"
        return request.user, weakref.ref(request)() is request, repr(request)

    user, alive, text = seen(request_bytes("/path", "PUT"), look)
    assert user == "somebody"
    assert alive
    assert "PUT" in text
    assert "/path" in text


def test_built_by_hand():
    request = Request(
        "POST",
        {"Content-Type": "application/json", "Cookie": "a=1"},
        b'{"b": 2}',
        "HTTP/1.1",
        "/a?c=3",
        ("127.0.0.1", 5000),
    )
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert isinstance(request.headers, dict)
    assert request.headers.get_all("CONTENT-TYPE") == ["application/json"]
    assert request.cookies == {"a": "1"}
    assert request.json() == {"b": 2}
    assert request.content == b'{"b": 2}'
    assert request.version == "HTTP/1.1"
    assert request.url == "/a"
    assert request.params == {"c": "3"}
    assert request.address == ("127.0.0.1", 5000)


def test_built_by_name():
    request = Request(method="GET", headers={}, content=b"", version="HTTP/1.1", url="/", address=("::1", 1))
    assert (request.method, request.url, request.json()) == ("GET", "/", None)


@pytest.mark.parametrize(
    "arguments",
    [
        (5, {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1)),
        ("GET", "headers", b"", "HTTP/1.1", "/", ("127.0.0.1", 1)),
        ("GET", {}, 5, "HTTP/1.1", "/", ("127.0.0.1", 1)),
        ("GET", {}, b"", "HTTP/1.1", 5, ("127.0.0.1", 1)),
    ],
)
def test_wrong_types_are_refused(arguments):
    with pytest.raises(TypeError):
        Request(*arguments)


def test_can_be_subclassed():
    class Own(Request):
        pass

    request = Own("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1))
    assert isinstance(request, Request)
    request.more = 1
    assert json.loads(json.dumps(dict(request.headers))) == {}


def test_the_server_class_can_be_subclassed():
    class Own(OutsideHTTP):
        pass

    assert "127.0.0.1" in repr(Own(("127.0.0.1", 0)))


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_content_as_a_file(serve, size):
    def handler(request):
        with request.content_file as file:
            first = file.read(size // 2)
            return [len(first), len(file.read()), hash(first + b"") == hash(request.content[: size // 2])]

    answer = serve(handler).fetch("/", "POST", body=b"x" * size)
    assert json.loads(answer.text) == [size // 2, size - size // 2, True]
