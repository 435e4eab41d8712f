"""One request from the first hook to the last line: its object, its context, its own values, and what it tells."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

from outside import OutsideHTTP, Request, WebSocket, event_stream

WHO: ContextVar[str] = ContextVar("who", default="none")


@pytest.fixture
def server(server: OutsideHTTP) -> OutsideHTTP:
    server.config["access_log"] = "off"
    return server


def test_what_a_request_tells(server):
    @server.route("/a/<path:rest>", methods=["GET", "POST"])
    def tell(request, rest):
        return {
            name: getattr(request, name)
            for name in ("content_type", "is_json", "user_agent", "remote_addr", "full_url", "base_url", "raw_path")
        }

    client = server.test_client(host="shop.example:8080", address="192.0.2.7")
    told = client.post(
        "/a/b%20c?x=%20y", data=b"{}", headers={"Content-Type": "application/problem+json; a=b", "User-Agent": "t"}
    ).json()
    assert told == {
        "content_type": "application/problem+json; a=b",
        "is_json": True,
        "user_agent": "t",
        "remote_addr": "192.0.2.7",
        "full_url": "http://shop.example:8080/a/b%20c?x=%20y",
        "base_url": "http://shop.example:8080/a/b%20c",
        "raw_path": "/a/b%20c",
    }
    assert client.get("/a/b").json() | {"is_json": False, "content_type": ""} == client.get("/a/b").json()


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, None),
        ("Basic YW5uOmE6Yg==", ("basic", "YW5uOmE6Yg==", "ann", "a:b")),
        ("Bearer  t0ken", ("bearer", "t0ken", "", "")),
        ("Basic nonsense!", ("basic", "nonsense!", "", "")),
        ("Negotiate", ("negotiate", "", "", "")),
    ],
)
def test_authorization(field, expected):
    request = Request("GET", {} if field is None else {"Authorization": field}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1))
    assert request.authorization == expected
    assert "a:b" not in repr(request.authorization) and "t0ken" not in repr(request.authorization)


def test_an_id_is_of_one_request(server):
    server.get("/")(lambda request: [request.id, request.id])
    client = server.test_client()
    one, other = client.get("/").json(), client.get("/").json()
    assert len(set(one)) == len(set(other)) == 1 and one != other
    assert len(one[0]) == 32 and int(one[0], 16)


def test_state_is_the_programs_own():
    request = Request("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 1))
    request.state.user = "ann"
    assert request.state.user == "ann" and "user" in request.state and request.state.get("role", 1) == 1
    with pytest.raises(AttributeError, match="request.state has no 'role'; set before: user"):
        _ = request.state.role
    assert Request[int] is not None


STYLES = ("plain", "async", "set_route", "stream", "events", "missing", "error")


@pytest.mark.parametrize("style", STYLES)
def test_state_and_context_reach_from_the_first_hook_to_the_last(server, style):
    seen: list[tuple[str, str, str]] = []

    def note(place, request):
        seen.append((place, request.state.get("user", "-"), WHO.get()))

    @server.before_request
    def before(request):
        request.state.user = "ann"
        WHO.set("ann")

    @server.after_request
    def after(request, response):
        note("after", request)

    server.config["post_callback"] = lambda request, response: note("post", request)

    def handler(request):
        note("handler", request)
        if style == "error":
            raise KeyError("x")
        return "x"

    async def handler_async(request):
        return handler(request)

    def pieces(request):
        note("handler", request)
        yield "x"

    @server.errorhandler(404)
    @server.errorhandler(KeyError)
    def failed(request):
        note("handler", request)
        return "x"

    if style == "set_route":
        server.set_route("/a", handler)
    elif style == "stream":
        from outside import Response

        server.get("/a")(lambda request: Response(content=pieces(request)))
    elif style == "events":
        server.get("/a")(lambda request: event_stream(pieces(request)))
    elif style != "missing":
        server.get("/a")(handler_async if style == "async" else handler)
    client = server.test_client()
    client.get("/a")
    client.close()
    assert {place for place, _, _ in seen} == {"handler", "after", "post"}
    assert {(user, who) for _, user, who in seen} == {("ann", "ann")}


def test_a_websocket_has_the_request_of_its_opening(server):
    websocket = WebSocket()
    server.before_request(lambda request: setattr(request.state, "user", "ann"))
    websocket.on_connection(lambda connection: connection.send(connection.request.state.user))
    server.set_route("/ws", websocket)
    with server.test_client().websocket("/ws") as connection:
        assert connection.recv() == "ann"


def test_an_event_stream_of_a_topic(server, start):
    server.get("/news")(lambda: event_stream(topic="news"))
    running = start()
    import http.client

    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request("GET", "/news")
    response = connection.getresponse()
    server.publish("news", "first")
    server.publish("other", "x")
    server.publish("news", "two\nlines")
    assert [response.readline() for _ in range(5)] == [b"data: first\n", b"\n", b"data: two\n", b"data: lines\n", b"\n"]
    connection.close()
    assert running


@pytest.mark.parametrize("given", [{}, {"events": iter(()), "topic": "a"}, {"topic": 7}])
def test_an_event_stream_of_nothing(given):
    with pytest.raises(TypeError):
        event_stream(**given)


@pytest.mark.parametrize("style", ["plain", "async"])
@pytest.mark.parametrize("place", ["form", "args", "params", "cookies", "files"])
def test_a_missing_name_is_the_clients_fault(server, start, style, place):
    def handler(request):
        values = getattr(request, place)
        assert values.get("naïve") is None and "naïve" not in values
        if "caught" in request.path:
            try:
                values["naïve"]
            except KeyError as error:
                return f"no {error.args[0]}"
        return values["naïve"]

    async def handler_async(request):
        return handler(request)

    for path in ("/", "/caught"):
        server.route(path, ["POST"])(handler if style == "plain" else handler_async)
    running = start()
    answer = running.fetch("/", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1")
    assert (answer.status, answer.text) == (400, "400 Bad Request: 'naïve' is missing\n")
    assert running.fetch("/caught", "POST", {}, b"").text == "no naïve"
