"""The routes on Robyn: `robyn_app.py --log-level WARN --disable-openapi PORT`.

One process with one worker, its default. `/hello` is a plain function that returns a string, as in its documentation;
`/sleep` is async, as Robyn asks of handlers that wait.
"""

import asyncio
import sys

from checked_model import Station
from robyn import Request, Robyn, jsonify

app = Robyn(__file__)


@app.get("/hello")
def hello(request: Request):
    return "Hello, World!"


@app.post("/json")
def echo(request: Request):
    return jsonify(request.json())


@app.get("/sleep")
async def sleep(request: Request):
    await asyncio.sleep(0.010)
    return "Hello, World!"


@app.get("/users/:id")
def user(request: Request):
    id = int(request.path_params["id"])
    return {"id": id, "name": f"User {id}", "active": True}


@app.post("/pydantic")
def by_pydantic(request: Request):
    station = Station.model_validate_json(request.body)
    return {"title": station.title, "rows": len(station.rows), "last": station.rows[-1].name}


app.start(host="127.0.0.1", port=int(sys.argv[-1]))
