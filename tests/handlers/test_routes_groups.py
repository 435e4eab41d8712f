"""Groups of routes: a prefix, hooks around their handlers, groups in groups, mounted before or afterwards."""

from __future__ import annotations

import json

import pytest

from outside import OutsideHTTP, Response, Routes

CODE = "__code__"


def says(text):
    return lambda: text


def test_a_group_is_served_below_its_prefix(server, start):
    api = Routes(prefix="/api")

    @api.get("/users/<int:id>")
    def user(id):
        return f"user {id}"

    server.mount(api)
    running = start()
    assert running.fetch("/api/users/7").text == "user 7"
    assert running.fetch("/users/7").status == 404


def test_groups_in_groups(server, start):
    api, v1, v2 = Routes("/api"), Routes("/v1"), Routes("/v2")
    v1.get("/x")(says("one"))
    v2.get("/x")(says("two"))
    api.get("/x")(says("none"))
    api.mount(v1)
    server.mount(api)
    api.mount(v2)
    running = start()
    assert [running.fetch(f"/api{version}/x").text for version in ("", "/v1", "/v2")] == ["none", "one", "two"]


def test_routes_added_after_mounting_are_served_too(server, start):
    api, inner = Routes("/api"), Routes("/inner")
    server.mount(api)
    api.mount(inner)
    running = start()
    assert running.fetch("/api/inner/late").status == 404
    inner.get("/late")(says("late"))
    assert running.fetch("/api/inner/late").text == "late"
    inner.before_request(lambda: "stopped")
    assert running.fetch("/api/inner/late").text == "stopped"


def test_a_prefix_may_have_parameters(server, start):
    organisation = Routes("/orgs/<int:org>")
    members = Routes("/members")

    @members.get("/<name>")
    def member(org, name):
        return [org, name]

    organisation.mount(members)
    server.mount(organisation)
    assert json.loads(start().fetch("/orgs/7/members/ada").body) == [7, "ada"]


def test_a_handler_that_lacks_the_prefixs_parameter_is_told_of_when_it_is_mounted(server):
    def member(name):
        return name

    members = Routes("/members")
    members.get("/<name>")(member)
    organisation = Routes("/orgs/<int:org>")
    organisation.mount(members)
    with pytest.raises(TypeError, match="no parameter 'org'") as error:
        server.mount(organisation)
    assert f"{__file__}:{getattr(member, CODE).co_firstlineno}" in str(error.value)


def test_one_group_at_two_places(server, start):
    shared = Routes("/shared")
    shared.get("")(says("here"))
    server.mount(shared)
    server.mount(shared, prefix="/also")
    running = start()
    assert running.fetch("/shared").text == "here"
    assert running.fetch("/also/shared").text == "here"


def test_one_group_on_two_servers(server, start):
    api = Routes("/api")
    api.get("/x")(says("x"))
    other = OutsideHTTP(("127.0.0.1", 0))
    other.mount(api)
    server.mount(api)
    assert start().fetch("/api/x").text == "x"


def test_hooks_of_a_group_stand_around_its_routes_alone(server, start):
    private, inner = Routes("/private"), Routes("/inner")
    private.get("/x")(says("secret"))
    inner.get("/x")(says("deep secret"))
    private.mount(inner)
    server.get("/x")(says("public"))

    @private.before_request
    def guard(request):
        if request.headers.get("Authorization") != "yes":
            return 401, "who are you?"

    @private.after_request
    def mark(response):
        response.headers["X-Private"] = "1"

    server.mount(private)
    running = start()
    for path in ("/private/x", "/private/inner/x"):
        answer = running.fetch(path)
        assert (answer.status, answer.header("X-Private")) == (401, "1")
        assert "secret" in running.fetch(path, headers={"Authorization": "yes"}).text
    answer = running.fetch("/x")
    assert (answer.text, answer.header("X-Private")) == ("public", None)


def test_hooks_run_from_the_outside_in_and_back(server, start):
    seen = []
    outer, inner = Routes("/outer"), Routes("/inner")
    for name, registry in (("inner", inner), ("outer", outer), ("server", server)):
        registry.before_request(lambda name=name: seen.append(f"before {name}"))
        registry.after_request(lambda response, *, name=name: seen.append(f"after {name}"))
    inner.get("/x")(lambda: seen.append("handler"))
    outer.mount(inner)
    server.mount(outer)
    assert start().fetch("/outer/inner/x").status == 204
    steps = ["before server", "before outer", "before inner", "handler", "after inner", "after outer", "after server"]
    assert seen == steps


def test_error_handlers_of_a_group(server, start):
    api = Routes("/api")
    api.get("/missing")(lambda: (404, "no such book"))
    api.get("/value")(lambda: int("x"))
    api.get("/other")(lambda: {}["key"])
    server.get("/missing")(lambda: (404, "no such page"))
    server.get("/value")(lambda: int("x"))

    @api.errorhandler(404)
    def not_found(message):
        return {"error": message}

    @api.errorhandler(ValueError)
    def wrong_value(error):
        return Response(422, content={"error": "a value"})

    @server.errorhandler(404)
    def page(message):
        return f"page: {message}"

    @server.errorhandler(Exception)
    def anything(error):
        return Response(500, content=f"server: {type(error).__name__}")

    server.mount(api)
    running = start()
    answers = {
        path: running.fetch(path) for path in ("/api/missing", "/api/value", "/api/other", "/missing", "/value", "/api/none")
    }
    assert {path: (answer.status, answer.text) for path, answer in answers.items()} == {
        "/api/missing": (404, '{"error":"no such book"}'),
        "/api/value": (422, '{"error":"a value"}'),
        "/api/other": (500, "server: KeyError"),
        "/missing": (404, "page: no such page"),
        "/value": (500, "server: ValueError"),
        # Of no route, but below the prefix of the group.
        "/api/none": (404, '{"error":null}'),
    }


def test_conflicts_show_both_when_a_group_is_mounted(server):
    api = Routes("/api")
    server.get("/api/<x>")(lambda x: "")
    api.get("/<y>")(lambda y: "")
    with pytest.raises(ValueError) as error:
        server.mount(api)
    assert str(error.value).count(__file__) >= 2


@pytest.mark.parametrize("prefix", ["api", "/api/", "/", "/a?b", "/<itn:x>"])
def test_a_malformed_prefix_is_refused_at_once(server, prefix):
    with pytest.raises(ValueError):
        Routes(prefix)
    with pytest.raises(ValueError):
        server.mount(Routes("/x"), prefix=prefix)


def test_groups_that_cannot_be_mounted(server):
    api, inner = Routes("/api"), Routes("/inner")
    api.mount(inner)
    with pytest.raises(ValueError, match="below itself"):
        inner.mount(api)
    with pytest.raises(ValueError, match="below itself"):
        api.mount(api)
    with pytest.raises(ValueError, match="already"):
        api.mount(inner)
    with pytest.raises(TypeError, match="Routes"):
        server.mount(server)


def test_reprs_count_every_route(server):
    assert repr(server).endswith(", 0 routes>")
    api, inner = Routes("/api"), Routes("/inner")
    api.mount(inner)
    inner.get("/a")(lambda: "a")
    assert (repr(inner), repr(api)) == ("<Routes '/inner', 1 route>", "<Routes '/api', 1 route>")
    server.mount(api)
    assert repr(server).endswith(", 1 route>")
    server.get("/b")(lambda: "b")
    server.post("/b")(lambda: "b")
    server.set_route("/c", lambda request: "c")
    assert repr(server).endswith(", 4 routes>")
    server.remove_route("/c")
    server.remove_route("/b")
    assert repr(server).endswith(", 1 route>")
