"""curl, an independent client."""

from __future__ import annotations

import json

import pytest

from support.clients import CURL, curl

pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed")


def test_hello(app_address):
    assert curl(app_address, "/hello") == b"Hello, World!"


def test_head(app_address):
    head = curl(app_address, "/hello", "--head").decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Length: 13\r\n" in head


def test_status(app_address):
    assert curl(app_address, "/unknown", "--output", "/dev/null", "--write-out", "%{http_code}") == b"404"


def test_post(app_address):
    assert curl(app_address, "/echo", "--data-binary", "some data") == b"some data"


def test_post_of_a_megabyte_with_expect(app_address):
    data = bytes(range(256)) * 5000
    assert curl(app_address, "/echo", "--data-binary", "@-", "--header", "Expect: 100-continue", stdin=data) == data


def test_chunked_upload(app_address):
    data = b"chunk" * 100_000
    assert curl(app_address, "/echo", "--data-binary", "@-", "--header", "Transfer-Encoding: chunked", stdin=data) == data


def test_put_of_a_stream(app_address):
    assert curl(app_address, "/method", "--upload-file", "-", stdin=b"stream") == b"PUT"


def test_stream(app_address):
    assert curl(app_address, "/stream", "--no-buffer") == b"onetwothree"


def test_http_1_0(app_address):
    assert curl(app_address, "/stream", "--http1.0") == b"onetwothree"
    assert curl(app_address, "/hello", "--http1.0") == b"Hello, World!"


def test_one_connection_for_many_requests(app_address):
    url = f"http://{app_address[0]}:{app_address[1]}/hello"
    out = curl(app_address, "/hello", "--write-out", " %{num_connects}\n", url, url)
    assert out.decode().splitlines() == ["Hello, World! 1", "Hello, World! 0", "Hello, World! 0"]


def test_an_offer_of_http_2_is_declined(app_address):
    assert curl(app_address, "/hello", "--http2") == b"Hello, World!"


def test_query(app_address):
    out = curl(app_address, "/params", "--get", "--data-urlencode", "a=b c&d", "--data-urlencode", "s=ß")
    assert out.decode() == "a=b c&d\ns=ß"


def test_cookies(app_address):
    assert curl(app_address, "/cookies", "--cookie", "a=1; b=2") == b"a=1\nb=2"


def test_form_and_files(serve, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\x00\r\n--data")

    def handler(request):
        upload = request.files["up"]
        return {"form": dict(request.form), "name": upload.filename, "size": len(upload.content)}

    out = curl(serve(handler).address, "/", "--form", "a=1", "--form", f"up=@{tmp_path}/a.bin")
    assert json.loads(out) == {"form": {"a": "1"}, "name": "a.bin", "size": 9}


def test_a_body_that_is_too_large(app_address):
    out = curl(
        app_address,
        "/echo",
        "--data-binary",
        "@-",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        stdin=b"x" * (16 * 1024 * 1024 + 1),
    )
    assert out == b"413"


def test_redirect_is_followed(serve):
    from outside import OutsideHTTP_Redirect
    from support.harness import Running

    target = serve(lambda request: f"{request.method} {request.url} {request.text}")
    redirect = Running(OutsideHTTP_Redirect(("127.0.0.1", 0), "http://{}:{}".format(*target.address)))
    try:
        assert curl(redirect.address, "/a", "--location") == b"GET /a "
        assert curl(redirect.address, "/b", "--location", "--data", "body") == b"POST /b body"
    finally:
        redirect.stop()
