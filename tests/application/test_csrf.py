"""Forged requests: with a secret, a request that changes something and carries a session must come from a page of our own."""

from __future__ import annotations

import re

import pytest

from outside import OutsideHTTP, csrf_token

SECRET = "a secret of thirty-two bytes ......"


@pytest.fixture
def client(server: OutsideHTTP):
    server.config.update(secret=SECRET, access_log="off")

    @server.get("/form")
    def form(request):
        return csrf_token(request)

    @server.route("/change", methods=["POST", "PUT", "PATCH", "DELETE"])
    def change(request):
        return "changed"

    @server.post("/async")
    async def change_async(request):
        return "changed"

    @server.post("/token", csrf=False)
    def by_token(request):
        return "changed"

    server.set_route("/plain", lambda request: "changed")
    client = server.test_client()
    client.session["user"] = 7
    return client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://LOCALHOST:80"}, 200),
        ({"Origin": "https://localhost"}, 403),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-CSRF-Token": ""}, 403),
        ({"X-CSRF-Token": "wrong"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/change", "/async", "/plain"])
def test_where_a_request_comes_from(client, path, headers, status):
    assert client.post(path, headers=headers).status_code == status


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_every_method_that_changes_something(client, method):
    send = getattr(client, method)
    assert send("/change").status_code == 403
    assert send("/change", headers={"Origin": "http://localhost"}).status_code == 200


def test_the_token_of_the_session_in_a_form_or_a_header(client):
    token = client.get("/form").text
    assert re.fullmatch(r"[\w-]{32}", token) and client.get("/form").text == token
    assert client.post("/change", data={"csrf_token": token}).status_code == 200
    assert client.post("/change", headers={"X-CSRF-Token": token}).status_code == 200
    assert client.post("/change", data={"csrf_token": token[:-1]}).status_code == 403
    assert client.post("/change", data={"csrf_token": token}, headers={"X-CSRF-Token": "x"}).status_code == 403


def test_the_token_of_another_session_is_none(client):
    token = client.get("/form").text
    client.session["_csrf"] = "another"
    assert client.post("/change", headers={"X-CSRF-Token": token}).status_code == 403


def test_content_without_a_type_is_not_exempt(client):
    assert client.post("/change", data=b"{}").status_code == 403
    assert client.post("/change", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 403


def test_a_request_without_a_session_has_nothing_to_lose(client):
    client.cookies.clear()
    assert client.post("/change").status_code == 200


def test_a_route_with_another_proof(client):
    assert client.post("/token").status_code == 200


def test_reading_needs_no_proof(client):
    assert client.get("/form", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
