"""A REST API over SQLite: routes with parameters, JSON, error handlers, one connection per thread.

$ curl -d '{"text": "buy milk"}' http://127.0.0.1:8080/notes
$ curl http://127.0.0.1:8080/notes?limit=10
$ curl http://127.0.0.1:8080/notes/1
$ curl -X PUT -d '{"text": "buy oat milk"}' http://127.0.0.1:8080/notes/1
$ curl -X DELETE http://127.0.0.1:8080/notes/1
"""

import os
import sqlite3
import threading
from typing import TypeAlias

from outside import OutsideHTTP, Request, Response, abort

Note: TypeAlias = dict[str, int | str]

server = OutsideHTTP(("127.0.0.1", 8080))
local = threading.local()


def database() -> sqlite3.Connection:
    """The connection of this thread: handlers run on several, and SQLite keeps a connection to one."""
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect(os.environ.get("NOTES", "notes.sqlite"))
        local.connection.execute("create table if not exists note (id integer primary key, text text not null)")
    connection: sqlite3.Connection = local.connection
    return connection


def text_of(request: Request) -> str:
    match request.json():
        case {"text": str(text)}:
            return text
        case _:
            abort(400, 'send {"text": "…"}')


@server.get("/notes")
def everything(request: Request) -> list[Note]:
    limit = request.params.get("limit", "100")
    if not limit.isdecimal():
        abort(400, "limit is a number")
    rows = database().execute("select id, text from note order by id limit ?", (min(int(limit), 1000),))
    return [{"id": number, "text": text} for number, text in rows]


@server.post("/notes")
def add(request: Request) -> Response:
    text = text_of(request)
    with database() as connection:
        number = connection.execute("insert into note (text) values (?)", (text,)).lastrowid
    return Response(201, {"Location": f"/notes/{number}"}, {"id": number, "text": text})


@server.get("/notes/<int:number>")
def one(number: int) -> Note:
    found = database().execute("select text from note where id = ?", (number,)).fetchone()
    return {"id": number, "text": found[0]} if found else abort(404, f"no note {number}")


@server.put("/notes/<int:number>")
def change(request: Request, number: int) -> Note:
    text = text_of(request)
    with database() as connection:
        changed = connection.execute("update note set text = ? where id = ?", (text, number)).rowcount
    return {"id": number, "text": text} if changed else abort(404, f"no note {number}")


@server.delete("/notes/<int:number>")
def remove(number: int) -> None:
    with database() as connection:
        if not connection.execute("delete from note where id = ?", (number,)).rowcount:
            abort(404, f"no note {number}")


@server.errorhandler(400)
@server.errorhandler(404)
@server.errorhandler(405)
def as_json(request: Request | None, message: str | None) -> dict[str, str | None]:
    """Errors of a JSON API are JSON too."""
    return {"error": message}


if __name__ == "__main__":
    server.run()
