"""The app of `with_flask.py`, moved over: what was the global `request` is a parameter, what was `g` are attributes of it."""

from __future__ import annotations

import uuid

from jinja2 import Environment

from outside import OutsideHTTP, Request, Response, ResponseCookie, Routes, abort, html, json_response, redirect, url_for

server = OutsideHTTP(("127.0.0.1", 8080))
api = Routes("/api")
templates = Environment(autoescape=True)

polls: list[dict[str, object]] = []
voters: dict[int, set[str]] = {}

LIST = "<h1>Polls</h1><ul>{% for poll in polls %}<li><a href='/polls/{{ loop.index }}'>{{ poll.question }}</a>{% endfor %}</ul>"
POLL = "<h1>{{ poll.question }}</h1><p>{{ poll.votes }} votes</p>"


def visitor(request: Request) -> str:
    return request.cookies.get("visitor") or str(getattr(request, "visitor", ""))


@server.before_request
def who_is_it(request: Request) -> None:
    if "visitor" not in request.cookies:
        setattr(request, "visitor", uuid.uuid4().hex)


@server.after_request
def remember(request: Request, response: Response) -> None:
    if "visitor" not in request.cookies:
        response.cookies["visitor"] = ResponseCookie(visitor(request), max_age=3600, http_only=True, same_site="Lax", path="/")


def found(number: int) -> dict[str, object]:
    if not 1 <= number <= len(polls):
        abort(404, f"no poll {number}")
    return polls[number - 1]


@server.get("/")
def index() -> Response:
    return html(templates.from_string(LIST).render(polls=polls))


@server.post("/polls")
def create(request: Request) -> Response:
    question = request.form.get("question", "").strip()
    if not question:
        return Response(400, content="a question is needed")
    polls.append({"question": question, "votes": 0})
    return redirect(url_for("show", number=len(polls)), 303)


@server.route("/polls/<int:number>", methods=["GET"])
def show(number: int) -> Response:
    return html(templates.from_string(POLL).render(poll=found(number)))


@server.post("/polls/<int:number>/votes")
def vote(request: Request, number: int) -> None:
    poll = found(number)
    if visitor(request) in voters.setdefault(number, set()):
        raise PermissionError("one vote each")
    voters[number].add(visitor(request))
    poll["votes"] = int(str(poll["votes"])) + 1


@api.get("/polls")
def listed(request: Request) -> Response:
    wanted = request.params.get("q", "")
    return json_response([poll for poll in polls if wanted in str(poll["question"])])


@api.post("/polls")
def created(request: Request) -> Response:
    match request.json():
        case {"question": str(question)} if question:
            polls.append({"question": question, "votes": 0})
        case _:
            abort(400, "send a question")
    return json_response(polls[-1], 201, {"Location": url_for("show", number=len(polls))})


@server.errorhandler(404)
def missing(request: Request, message: str | None) -> Response:
    return html(f"<h1>Not here</h1><p>{message or ''}</p>", 404)


@server.errorhandler(PermissionError)
def refused(error: PermissionError) -> Response:
    return Response(403, content=str(error))


server.mount(api)

if __name__ == "__main__":
    server.run()
