"""Notes in SQLite behind a JSON API: methods, path parts, error handlers, one connection per thread.

    $ curl -d '{"text": "buy milk"}' http://127.0.0.1:8080/notes
    $ curl http://127.0.0.1:8080/notes
    $ curl http://127.0.0.1:8080/notes/1
    $ curl -X DELETE http://127.0.0.1:8080/notes/1
"""

import sqlite3
import threading

from outside import OutsideHTTP, Request, Response

local = threading.local()


def database() -> sqlite3.Connection:
    """The connection of this thread: handlers run on several, and SQLite keeps a connection to one."""
    if not hasattr(local, "connection"):
        local.connection = sqlite3.connect("notes.sqlite")
        local.connection.execute("create table if not exists note (id integer primary key, text text not null)")
    return local.connection


def notes(request: Request):
    _, _, number = request.path.removeprefix("/").partition("/")
    if not number:
        return add(request) if request.method == "POST" else everything()
    if not number.isdecimal():
        return 404, f"{number} is no number of a note"
    return remove(int(number)) if request.method == "DELETE" else one(int(number))


def add(request: Request):
    given = request.json()
    if not isinstance(given, dict) or not isinstance(given.get("text"), str):
        return 400, 'send {"text": "…"}'
    with database() as connection:
        number = connection.execute("insert into note (text) values (?)", (given["text"],)).lastrowid
    return Response(201, {"Location": f"/notes/{number}"}, {"id": number, "text": given["text"]})


def everything():
    return [{"id": number, "text": text} for number, text in database().execute("select id, text from note order by id")]


def one(number: int):
    found = database().execute("select text from note where id = ?", (number,)).fetchone()
    return {"id": number, "text": found[0]} if found else (404, f"no note {number}")


def remove(number: int):
    with database() as connection:
        found = connection.execute("delete from note where id = ?", (number,)).rowcount
    return None if found else (404, f"no note {number}")


def as_json(code: int):
    """Errors of a JSON API are JSON too."""
    return lambda request, message=None: Response(code, {}, {"error": message})


server = OutsideHTTP(("127.0.0.1", 8080))
server.set_route("/notes", notes)
for code in (400, 404):
    server.set_errorhandler(code, as_json(code))
server.run()
