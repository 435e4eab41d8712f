"""Parameters of the path: two spellings, five kinds, handed over by name, converted by the engine."""

from __future__ import annotations

import json
import uuid

import pytest

from support.wire import request_bytes

UUID = "0189dcd5-5311-7d40-8db0-9496a2eef37b"


@pytest.mark.parametrize(
    ("pattern", "target", "value"),
    [
        ("/<x>", "/a", "a"),
        ("/{x}", "/a", "a"),
        ("/<str:x>", "/7", "7"),
        ("/<string:x>", "/7", "7"),
        ("/{x:str}", "/7", "7"),
        ("/<int:x>", "/7", 7),
        ("/{x:int}", "/007", 7),
        ("/<float:x>", "/7.25", 7.25),
        ("/{x:float}", "/7", 7.0),
        ("/<uuid:x>", f"/{UUID}", uuid.UUID(UUID)),
        ("/{x:uuid}", f"/{UUID.upper()}", uuid.UUID(UUID)),
        ("/f/<path:x>", "/f/a/b.txt", "a/b.txt"),
        ("/f/{x:path}", "/f/a", "a"),
        ("/f/<path:x>/edit", "/f/a/b/edit", "a/b"),
        # Decoded once.
        ("/<x>", "/a%20b%C3%A9", "a bé"),
        ("/<x>", "/%2541", "%41"),
        ("/<x>", "/%252F", "%2F"),
        ("/<path:x>", "/a%2Fb/c", "a/b/c"),
    ],
)
def test_both_spellings_and_all_kinds(server, start, pattern, target, value):
    seen = []

    @server.get(pattern)
    def handler(x):
        seen.append(x)

    assert start().fetch(target).status == 204
    assert seen == [value]
    assert type(seen[0]) is type(value)


@pytest.mark.parametrize(
    ("pattern", "target"),
    [
        ("/<int:x>", "/-7"),
        ("/<int:x>", "/7x"),
        ("/<int:x>", "/7.0"),
        ("/<int:x>", "/9223372036854775808"),
        ("/<int:x>", "/" + "9" * 5000),
        ("/<int:x>", "/%D9%A3"),
        ("/<float:x>", "/nan"),
        ("/<float:x>", "/1e5"),
        ("/<float:x>", "/-1.5"),
        ("/<uuid:x>", "/0189dcd553117d408db09496a2eef37b"),
        ("/u/<x>", "/u/"),
        ("/u/<x>", "/u"),
        ("/u/<x>", "/u/a/b"),
        # A parameter that could be joined to a folder begins with no slash, and one segment has none at all.
        ("/u/<x>", "/u/a%2Fb"),
        ("/u/<x>", "/u/%2Fetc%2Fpasswd"),
        ("/u/<path:x>", "/u//etc/passwd"),
        ("/u/<path:x>", "/u/%2Fetc/passwd"),
        ("/u/<path:x>", "/u/"),
    ],
)
def test_a_path_that_does_not_fit_is_not_found(server, start, pattern, target):
    server.get(pattern)(lambda x: "found")
    assert start().fetch(target).status == 404


@pytest.mark.parametrize("target", ["/u/a%2F..%2Fb", "/u/..%2F..%2Fetc"])
def test_a_dot_segment_beside_an_encoded_slash_is_refused(server, start, target):
    server.get("/u/<path:x>")(lambda x: x)
    assert start().fetch(target).status == 400


def test_the_narrower_one_answers(server, start):
    for pattern in ("/<path:x>", "/<x>", "/<float:x>", "/<uuid:x>", "/<int:x>"):
        server.get(pattern)(lambda x, pattern=pattern: pattern)
    server.get("/me")(lambda: "/me")
    running = start()
    for target, pattern in [
        ("/me", "/me"),
        ("/7", "/<int:x>"),
        (f"/{UUID}", "/<uuid:x>"),
        ("/7.5", "/<float:x>"),
        ("/99999999999999999999", "/<float:x>"),
        ("/you", "/<x>"),
        ("/you/too", "/<path:x>"),
    ]:
        assert running.fetch(target).text == pattern, target


def test_a_method_that_the_narrower_one_lacks_is_anothers(server, start):
    server.get("/users/me")(lambda: "me")
    server.delete("/users/<name>")(lambda name: f"removed {name}")
    running = start()
    assert running.fetch("/users/me").text == "me"
    assert running.fetch("/users/me", "DELETE").text == "removed me"
    assert running.fetch("/users/me", "PUT").header("Allow") == "DELETE, GET, HEAD, OPTIONS"


def test_several_by_name_in_any_order(server, start):
    @server.get("/<int:year>/<month>/<path:rest>")
    def handler(rest, request, year, month="?"):
        return [year, month, rest, request.path]

    assert json.loads(start().fetch("/2026/11/a/b").body) == [2026, "11", "a/b", "/2026/11/a/b"]


def test_the_request_tells_them_too(server, start):
    @server.get("/<int:a>/<b>")
    def handler(request, **named):
        return {"route": request.route, "params": request.path_params, "named": named}

    params = {"a": 1, "b": "x"}
    assert json.loads(start().fetch("/1/x").body) == {"route": "/<int:a>/<b>", "params": params, "named": params}


def test_an_async_handler_gets_them_alike(server, start):
    @server.get("/<int:a>/<b>")
    async def handler(b, a):
        return [a, b]

    assert json.loads(start().fetch("/1/x").body) == [1, "x"]


def test_pipelined_requests_keep_theirs_apart(server, start):
    server.get("/<int:x>")(lambda x: str(x))
    with start().wire() as wire:
        wire.send(b"".join(request_bytes(f"/{number}") for number in range(50)))
        assert [wire.receive_answer().text for _ in range(50)] == [str(number) for number in range(50)]
