"""The hello, a stream of three parts, files and an echo on Starlette, served by uvicorn, granian and outside."""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

FILES = Path(os.environ.get("BENCH_FILES") or Path(__file__).parents[1] / "work" / "files")


async def hello(request):
    return PlainTextResponse("Hello, World!")


async def parts(request):
    async def pieces():
        yield b"Hello"
        yield b", "
        yield b"World!"

    return StreamingResponse(pieces(), media_type="text/plain")


async def file(request):
    return FileResponse(FILES / request.path_params["name"])


async def echo(websocket):
    await websocket.accept()
    async for message in websocket.iter_bytes():
        await websocket.send_bytes(message)


app = Starlette(
    routes=[
        Route("/hello", hello),
        Route("/parts", parts),
        Route("/static/{name}", file),
        WebSocketRoute("/ws", echo),
    ]
)
