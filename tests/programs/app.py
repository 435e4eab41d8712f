"""The application behind the corpus. The Rust suite has a twin with the same routes and the same answers.

`python tests/programs/app.py` serves it on a port of the system's choice; `run()` prints the URL.
"""

from __future__ import annotations

from outside import OutsideHTTP, Request, Response

TEXT = {"Content-Type": "text/plain"}


def hello(request: Request) -> Response:
    return Response(200, TEXT, "Hello, World!")


def echo(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/octet-stream"}, request.content)


def method(request: Request) -> Response:
    return Response(200, TEXT, request.method)


def target(request: Request) -> Response:
    return Response(200, TEXT, f"{request.url}\n{request.query}")


def params(request: Request) -> Response:
    return Response(200, TEXT, _lines("=", request.params))


def headers(request: Request) -> Response:
    return Response(200, TEXT, _lines(": ", request.headers))


def cookies(request: Request) -> Response:
    return Response(200, TEXT, _lines("=", request.cookies))


def ignore(request: Request) -> Response:
    return Response(200, TEXT, "ignored")


def stream(request: Request) -> Response:
    return Response(200, TEXT, iter(["one", "two", "three"]))


def no_content(request: Request) -> Response:
    return Response(204)


def not_modified(request: Request) -> Response:
    return Response(304)


def fail(request: Request) -> Response:
    raise RuntimeError("this text is for the log alone")


def teapot(request: Request) -> tuple[int, str]:
    return 418, "short and stout"


def split(request: Request) -> Response:
    return Response(200, {"X-Split": "a\r\nSet-Cookie: stolen=1\r\n\r\nHTTP/1.1 200 OK"}, "split")


def _lines(between: str, pairs: dict[str, str]) -> str:
    return "\n".join(f"{name}{between}{value}" for name, value in pairs.items())


ROUTES = {
    "/hello": hello,
    "/echo": echo,
    "/method": method,
    "/target": target,
    "/params": params,
    "/headers": headers,
    "/cookies": cookies,
    "/ignore": ignore,
    "/stream": stream,
    "/no-content": no_content,
    "/not-modified": not_modified,
    "/raise": fail,
    "/teapot": teapot,
    "/split": split,
}


def make_server(**config: object) -> OutsideHTTP:
    """The application on a port of the system's choice, not yet running."""
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update({"access_log": "off", **config})
    for route, handler in ROUTES.items():
        server.set_route(route, handler)
    return server


if __name__ == "__main__":
    make_server().run()
