"""The three routes as an RSGI application, granian's own interface."""

import asyncio
import json

TEXT = [("content-type", "text/plain")]
JSON = [("content-type", "application/json")]


async def app(scope, protocol):
    path = scope.path
    if path == "/hello":
        protocol.response_str(200, TEXT, "Hello, World!")
    elif path == "/json":
        protocol.response_str(200, JSON, json.dumps(json.loads(await protocol())))
    elif path == "/sleep":
        await asyncio.sleep(0.010)
        protocol.response_str(200, TEXT, "Hello, World!")
    else:
        protocol.response_empty(404, TEXT)
