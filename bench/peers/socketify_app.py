"""The three routes and the WebSockets on socketify's own interface: `socketify_app.py PORT`.

Plain functions where nothing is awaited, which is its fast path; requests and responses come from a preallocated pool,
as in the project's own benchmarks.
"""

import asyncio
import sys

from socketify import App, CompressOptions

app = App(request_response_factory_max_items=200_000, websocket_factory_max_items=20_000)


def hello(res, req):
    res.write_header("Content-Type", "text/plain")
    res.end("Hello, World!")


def finish(res):
    res.write_header("Content-Type", "text/plain")
    res.end("Hello, World!")


async def echo(res, req):
    value = await res.get_json()
    # Sends with Content-Type application/json; corked, as its documentation asks after an await.
    res.cork_end(value)


async def sleep(res, req):
    # Without it the preallocated path ends the process at the first await.
    res.grab_aborted_handler()
    await asyncio.sleep(0.010)
    res.cork(finish)


app.get("/hello", hello)
app.post("/json", echo)
app.get("/sleep", sleep)


def send_back(ws, message, opcode):
    ws.send(message, opcode)


def join(ws):
    ws.subscribe("room")


def say(ws, message, opcode):
    app.publish("room", message, opcode)


app.ws("/ws", {"compression": CompressOptions.DISABLED, "message": send_back})
app.ws("/room", {"compression": CompressOptions.DISABLED, "open": join, "message": say})
app.listen({"host": "127.0.0.1", "port": int(sys.argv[1])})
app.run()
