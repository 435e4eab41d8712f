"""Pages of Jinja2 templates: a guestbook with a form, which needs `pip install jinja2`.

$ curl http://127.0.0.1:8080/
$ curl -d 'name=Ada&text=What+a+garden!' http://127.0.0.1:8080/entries
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

from jinja2 import Environment, FileSystemLoader

from outside import OutsideHTTP, Request, Response, html, redirect

# Jinja2 escapes all values in a template, and changed templates apply at once.
templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, auto_reload=True)
server = OutsideHTTP(("127.0.0.1", 8080))


@dataclass
class Entry:
    name: str
    text: str
    time: datetime = field(default_factory=datetime.now)


entries: list[Entry] = []
lock = Lock()


def page(template: str, status: int = 200, **values: object) -> Response:
    return html(templates.get_template(template).render(values), status)


@server.get("/")
def show() -> Response:
    return page("guestbook.html", entries=list(reversed(entries)))


@server.post("/entries")
def sign(request: Request) -> Response:
    name, text = request.form.get("name", "").strip(), request.form.get("text", "").strip()
    if not name or not text:
        return page("guestbook.html", 422, entries=list(reversed(entries)), name=name, text=text, missing=True)
    with lock:
        entries.append(Entry(name[:80], text[:2000]))
        del entries[:-100]
    # A browser that reloads the page must not sign twice.
    return redirect("/", 303)


@server.errorhandler(404)
def nothing(request: Request | None, message: str | None) -> Response:
    return page("missing.html", 404, path=request.path if request else "")


if __name__ == "__main__":
    server.run()
