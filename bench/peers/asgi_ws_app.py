"""WebSockets as a plain ASGI 3 application, served by uvicorn, granian and gunicorn.

`/ws` echoes; in `/room` each message goes to all. ASGI has no rooms: its frameworks loop over the members.
"""

room = set()


async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await (enter if scope["path"] == "/room" else echo)(receive, send)


async def echo(receive, send):
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event["bytes"]})


async def enter(receive, send):
    room.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            message = {"type": "websocket.send", "bytes": event["bytes"]}
            for member in list(room):
                await member(message)
    finally:
        room.discard(send)
