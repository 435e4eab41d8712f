"""Answers that are made often, each by one call: `redirect`, `json_response`, `html`, `send_file`, `abort`."""

from __future__ import annotations

import pytest

from outside import (
    HTTPException,
    Request,
    Response,
    ScheduledResponse,
    abort,
    html,
    json_response,
    redirect,
    send_file,
)

# --- redirect


def test_redirect(serve):
    answer = serve(lambda request: redirect("/there?a=1#b")).fetch("/")
    assert (answer.status, answer.header("Location"), answer.body) == (302, "/there?a=1#b", b"")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_with_another_status(code):
    assert redirect("/", code).status_code == code


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/a b", "/a%20b"),
        ("/a%20b", "/a%20b"),
        ("https://example.com/?q=a&b=[1]", "https://example.com/?q=a&b=[1]"),
        ('/"<>', "/%22%3C%3E"),
    ],
)
def test_signs_that_a_url_cannot_hold_are_encoded(location, sent):
    assert redirect(location).headers["Location"] == sent


@pytest.mark.parametrize("location", ["/a\r\nSet-Cookie: b=c", "\0", "/\x7f"])
def test_a_location_cannot_split_an_answer(location):
    with pytest.raises(ValueError, match="may not hold"):
        redirect(location)


def test_redirect_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="301, 302, 303, 307 or 308, not 200"):
        redirect("/", 200)
    with pytest.raises(TypeError, match="str, not int"):
        redirect(7)  # type: ignore[arg-type]


# --- json_response, html


@pytest.mark.parametrize(("data", "body"), [(None, b"null"), (7, b"7"), ("ü", '"ü"'.encode()), ({"a": [1]}, b'{"a":[1]}')])
def test_json_response(serve, data, body):
    answer = serve(lambda request: json_response(data, 201, {"X-A": "b"})).fetch("/")
    assert (answer.status, answer.header("Content-Type"), answer.body) == (201, "application/json", body)
    assert answer.header("X-A") == "b"


def test_html(serve):
    answer = serve(lambda request: html("<h1>Grüße</h1>")).fetch("/")
    assert (answer.status, answer.header("Content-Type"), answer.text) == (200, "text/html; charset=utf-8", "<h1>Grüße</h1>")


# --- send_file


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("0123456789")
    return path


def test_send_file(serve, report):
    running = serve(lambda request: send_file(report))
    answer = running.fetch("/")
    assert (answer.text, answer.header("Content-Disposition")) == ("0123456789", None)
    assert answer.header("Content-Type") == "text/plain; charset=utf-8"
    part = running.fetch("/", "GET", {"Range": "bytes=2-3"})
    assert (part.status, part.text) == (206, "23")
    again = running.fetch("/", "GET", {"If-None-Match": answer.header("ETag")})
    assert again.status == 304


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"as_attachment": True}, 'attachment; filename="report.txt"'),
        ({"download_name": "a.csv"}, 'attachment; filename="a.csv"'),
        ({"download_name": "a.csv", "as_attachment": False}, 'inline; filename="a.csv"'),
        (
            {"download_name": "Größe €.txt"},
            "attachment; filename=\"Gr__e _.txt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E2%82%AC.txt",
        ),
        ({"download_name": 'a"b\\c%.txt'}, "attachment; filename=\"a_b_c_.txt\"; filename*=UTF-8''a%22b%5Cc%25.txt"),
        ({"download_name": "a\r\nX: y"}, "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    ],
)
def test_send_file_to_be_saved(serve, report, options, wanted):
    """RFC 6266: a plain name for old clients, and the name in UTF-8 as RFC 8187 has it."""
    answer = serve(lambda request: send_file(report, **options)).fetch("/")
    assert (answer.status, answer.header("Content-Disposition"), answer.text) == (200, wanted, "0123456789")


def test_send_file_of_another_type(serve, report):
    answer = serve(lambda request: send_file(report, media_type="text/csv", headers={"X-A": "b"})).fetch("/")
    assert (answer.header("Content-Type"), answer.header("X-A")) == ("text/csv", "b")


def test_send_file_that_is_missing(serve, tmp_path):
    assert serve(lambda request: send_file(tmp_path / "missing")).fetch("/").status == 404


# --- abort


def test_abort_is_answered_by_the_error_page(serve, records):
    answer = serve(lambda request: abort(404, "no such book")).fetch("/")
    assert (answer.status, answer.text) == (404, "404 Not Found: no such book\n")
    assert not any("Traceback" in text for text in records.texts())


def test_abort_is_answered_by_the_error_handler(serve):
    async def handler(request):
        abort(418)

    running = serve(handler)
    running.server.set_errorhandler(418, lambda request, message=None: Response(418, {}, f"short and stout {message}"))
    assert running.fetch("/").text == "short and stout None"


def test_abort_from_deep_within(serve):
    def find(name):
        return {"a": 1}.get(name) or abort(404)

    running = serve(lambda request: str(find(request.args["name"])))
    assert running.fetch("/?name=a").text == "1"
    assert running.fetch("/?name=b").status == 404


def test_abort_can_be_caught():
    with pytest.raises(HTTPException, match="404: gone") as raised:
        abort(404, "gone")
    assert (raised.value.code, raised.value.message) == (404, "gone")


@pytest.mark.parametrize("code", [200, 302, 399, 600, -1])
def test_abort_takes_the_codes_of_errors(code):
    with pytest.raises(ValueError, match=f"400 to 599, not {code}"):
        abort(code)
    with pytest.raises(TypeError, match="int, not str"):
        abort("404")  # type: ignore[arg-type]


def test_abort_without_a_server():
    request = Request("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 5000))
    error_routes = {404: lambda request, message=None: Response(404, {}, message)}
    response = ScheduledResponse(request, lambda request: abort(404, "gone"), error_routes).run()
    assert response is not None
    assert (response.status_code, response.content) == (404, "gone")
