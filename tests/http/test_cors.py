"""Pages of other origins (`config["cors"]`, `set_cors`), and security fields on every answer (`config["security_headers"]`)."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP, Response, Routes

APP = "https://app.example.com"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a,content-type"}


def shared(answer) -> dict[str, str]:
    wanted = ("access-control-", "vary")
    return {name.lower(): value for name, value in answer.fields if name.lower().startswith(wanted)}


def test_nothing_is_said_unless_asked(serve):
    assert shared(serve(lambda request: "x").fetch("/", "GET", {"Origin": APP})) == {}


def test_a_listed_origin_may_read(serve):
    running = serve(lambda request: "x", cors=APP)
    assert shared(running.fetch("/", "GET", {"Origin": APP})) == {"access-control-allow-origin": APP, "vary": "Origin"}
    # Another one, or none, may not; caches are told that it matters.
    assert shared(running.fetch("/", "GET", {"Origin": "https://evil.com"})) == {"vary": "Origin"}
    assert shared(running.fetch("/")) == {"vary": "Origin"}


def test_every_origin_may_read(serve):
    running = serve(lambda request: "x", cors="*")
    assert shared(running.fetch("/", "GET", {"Origin": APP})) == {"access-control-allow-origin": "*"}


def test_errors_can_be_read_too(serve):
    def handler(request):
        raise RuntimeError

    for path, status in [("/", 500), ("/missing", 404)]:
        answer = serve({"/exact" if status == 404 else "/": handler}, cors=[APP]).fetch(path, "GET", {"Origin": APP})
        assert (answer.status, shared(answer)["access-control-allow-origin"]) == (status, APP)


def test_preflights_are_answered_by_the_engine(serve):
    called = []
    running = serve(lambda request: called.append(request.method), cors={"origins": [APP], "max_age": 60, "credentials": True})
    answer = running.fetch("/", "OPTIONS", PREFLIGHT)
    assert (answer.status, called) == (204, [])
    said = shared(answer)
    assert said["access-control-allow-origin"] == APP
    assert said["access-control-allow-credentials"] == "true"
    assert said["access-control-allow-methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert said["access-control-allow-headers"] == "x-a,content-type"
    assert said["access-control-max-age"] == "60"
    assert {"Origin", "Access-Control-Request-Method"} <= {
        name.strip() for value in answer.all("Vary") for name in value.split(",")
    }
    # One of another origin, and an OPTIONS that is no preflight.
    assert running.fetch("/", "OPTIONS", {**PREFLIGHT, "Origin": "https://evil.com"}).status == 403
    assert running.fetch("/", "OPTIONS", {"Origin": APP}).status == 204
    assert called == ["OPTIONS"]


def test_methods_and_fields(serve):
    cors = {"origins": APP, "methods": ["GET"], "headers": ["X-Token"], "expose": ["X-Total"]}
    running = serve(lambda request: "x", cors=cors)
    said = shared(running.fetch("/", "OPTIONS", PREFLIGHT))
    assert (said["access-control-allow-methods"], said["access-control-allow-headers"]) == ("GET", "X-Token")
    assert shared(running.fetch("/", "GET", {"Origin": APP}))["access-control-expose-headers"] == "X-Total"


def test_fields_of_the_handler_itself_stay(serve):
    running = serve(lambda request: Response(200, {"Access-Control-Allow-Origin": "https://b.com"}, "x"), cors=APP)
    assert shared(running.fetch("/", "GET", {"Origin": APP})) == {"access-control-allow-origin": "https://b.com"}


def test_browsers_remember_for_two_hours_at_most(serve):
    running = serve(lambda request: "x", cors={"origins": APP, "max_age": 10**6})
    assert shared(running.fetch("/", "OPTIONS", PREFLIGHT))["access-control-max-age"] == "7200"


def test_a_path_of_its_own(serve):
    running = serve(lambda request: "x", cors=APP)
    running.server.set_cors("/api", "*")
    assert shared(running.fetch("/api/a", "GET", {"Origin": "https://b.com"})) == {"access-control-allow-origin": "*"}
    assert "access-control-allow-origin" not in shared(running.fetch("/apis", "GET", {"Origin": "https://b.com"}))


def test_a_group_of_its_own(serve):
    group = Routes(prefix="/api", cors=APP)

    @group.get("/items/<int:number>")
    def item(number):
        return str(number)

    running = serve()
    running.server.mount(group)
    running.server.get("/other")(lambda: "x")
    assert shared(running.fetch("/api/items/1", "GET", {"Origin": APP}))["access-control-allow-origin"] == APP
    assert running.fetch("/api/items/1", "OPTIONS", PREFLIGHT).status == 204
    assert shared(running.fetch("/other", "GET", {"Origin": APP})) == {}
    with pytest.raises(ValueError, match="credentials are for listed origins"):
        Routes(prefix="/api", cors={"origins": "*", "credentials": True})
    with pytest.raises(ValueError, match="without parameters"):
        running.server.mount(Routes(prefix="/<tenant>", cors=APP))


@pytest.mark.parametrize(
    "cors",
    [
        {"origins": "*", "credentials": True},
        {"origins": ["*", APP], "credentials": True},
        {"credentials": True},
        {"origins": APP, "unknown": 1},
        "example.com",
        "https://a.com/path",
        "null",
        ["https://*.example.com"],
        {"origins": APP, "methods": ["G ET"]},
        7,
    ],
)
def test_settings_that_are_refused(cors):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["cors"] = cors
    with pytest.raises(ValueError, match="credentials are for listed origins"):
        server.run()
    with pytest.raises(ValueError, match="cors"):
        server.set_cors("/", cors)


# --- security fields


def test_basic(serve):
    for setting in (True, "basic"):
        answer = serve(lambda request: "x", security_headers=setting).fetch("/")
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Referrer-Policy") == "strict-origin-when-cross-origin"
        assert answer.header("X-Frame-Options") is None


def test_strict(serve):
    answer = serve(lambda request: "x", security_headers="strict").fetch("/")
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("X-Frame-Options") == "DENY"
    assert "frame-ancestors 'none'" in (answer.header("Content-Security-Policy") or "")


def test_fields_of_ones_own_and_those_of_a_handler(serve):
    running = serve(lambda request: Response(200, {"x-a": "handler"}, "x"), security_headers={"X-A": "set", "X-B": "set"})
    answer = running.fetch("/")
    assert (answer.header("X-A"), answer.header("X-B")) == ("handler", "set")


def test_refusals_and_files_carry_them_too(serve, site):
    from outside import FilePath

    running = serve({"/": FilePath(str(site))}, security_headers=True)
    for target in ("/a.txt", "/missing"):
        assert running.fetch(target).header("X-Content-Type-Options") == "nosniff"
    with running.wire() as wire:
        assert wire.send(b"broken\r\n\r\n").receive_answer().header("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("setting", ["lax", 7, {"X": 1}, {"a b": "c"}, {"X": "a\r\nb"}])
def test_wrong_settings(setting):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["security_headers"] = setting
    with pytest.raises(ValueError, match="security_headers"):
        server.run()
