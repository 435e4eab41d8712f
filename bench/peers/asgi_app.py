"""The three routes as a plain ASGI 3 application, served by uvicorn."""

import asyncio
import json

HELLO = b"Hello, World!"
# The length is given, else uvicorn would send chunks.
TEXT = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}
NOT_FOUND = {"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]}


async def read_body(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def app(scope, receive, send):
    path = scope["path"]
    if path == "/hello":
        await send(TEXT)
        await send({"type": "http.response.body", "body": HELLO})
    elif path == "/json":
        body = json.dumps(json.loads(await read_body(receive))).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    elif path == "/sleep":
        await asyncio.sleep(0.010)
        await send(TEXT)
        await send({"type": "http.response.body", "body": HELLO})
    else:
        await send(NOT_FOUND)
        await send({"type": "http.response.body", "body": b""})
