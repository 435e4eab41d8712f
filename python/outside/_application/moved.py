"""Names of Flask and FastAPI, and what stands in their place: for `from outside import jsonify`, and for the documentation."""

from __future__ import annotations

from typing import NamedTuple


class Moved(NamedTuple):
    """One name of another framework."""

    name: str
    ours: str
    # What there is to know, as a sentence or part of one.
    note: str = ""


FLASK = (
    Moved("Flask", 'OutsideHTTP(("127.0.0.1", 8080))', "it has the address, and `run()` serves"),
    Moved("Blueprint", 'Routes("/prefix", name="admin")', "`server.mount(routes)` serves it"),
    Moved("jsonify", "json_response", "or return the `dict` or `list` itself"),
    Moved("render_template", 'Templates("templates")', 'then `return templates("page.html", name=value)`'),
    Moved("render_template_string", "Templates(...).environment", "`from_string` of Jinja2"),
    Moved("make_response", "Response", "`Response(200, {}, content)`"),
    Moved("send_from_directory", "Folder", '`server.set_route("/files", Folder("files"))`'),
    Moved("session", "request.session", "a dictionary of each request"),
    Moved("get_flashed_messages", "flashes", "`flashes(request)`, and `flashes()` in templates"),
    Moved("g", "request.state", "a namespace of each request"),
    Moved("current_app", "the server itself", "a module's name, as any other"),
    Moved(
        "after_this_request", "request.after", "for work that begins when the answer is out; `after_request` changes answers"
    ),
    Moved("stream_with_context", "a generator", "a stream has the context of its request"),
    Moved("copy_current_request_context", "contextvars.copy_context", "of the standard library"),
    Moved("request", "the parameter `request` of a handler", "each handler is handed its request"),
)
FASTAPI = (
    Moved("FastAPI", 'OutsideHTTP(("127.0.0.1", 8080))', "it has the address, and `run()` serves"),
    Moved("APIRouter", 'Routes("/prefix")', "`server.mount(routes)` serves it"),
    Moved("JSONResponse", "json_response", "or return the `dict` or `list` itself"),
    Moved("HTMLResponse", "html"),
    Moved("PlainTextResponse", "Response", "or return the `str` itself"),
    Moved("RedirectResponse", "redirect"),
    Moved("FileResponse", "send_file"),
    Moved("StreamingResponse", "Response", "whose content is a generator"),
    Moved("Jinja2Templates", 'Templates("templates")', 'then `return templates("page.html", name=value)`'),
    Moved("StaticFiles", "Folder", '`server.set_route("/static", Folder("static"))`'),
    Moved("BackgroundTasks", "request.after", "`request.after(function, argument)`"),
    Moved("UploadFile", "FormFile", "the values of `request.files`"),
    Moved("APIKeyHeader", "bearer", "`server.before_request(bearer(check))`"),
    Moved("HTTPBasic", "basic_auth", "`server.before_request(basic_auth(check))`"),
    Moved("HTTPBearer", "bearer", "`server.before_request(bearer(check))`"),
    Moved("TestClient", "outside.testing.TestClient", "`server.test_client()` makes one"),
    Moved("CORSMiddleware", 'config["cors"]'),
    Moved("Middleware", "before_request and after_request", "decorators of the server, or of a group"),
    Moved("WebSocketDisconnect", "WebSocketExit"),
)


def sentence(name: str) -> str | None:
    """What to write in place of this name; `None` if no other framework has it."""
    for framework, table in (("Flask", FLASK), ("FastAPI", FASTAPI)):
        for moved in table:
            if moved.name == name:
                note = f": {moved.note}" if moved.note else ""
                return f"{name} is {framework}'s; here it is {moved.ours}{note}".replace("`", "")
    return None
