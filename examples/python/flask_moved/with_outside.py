"""The app of `with_flask.py`, moved over: what were the globals `request`, `session` and `g` are a parameter and its attributes."""

from __future__ import annotations

import uuid

from outside import OutsideHTTP, Request, Response, Routes, Templates, abort, flash, html, json_response, redirect, url_for

server = OutsideHTTP(("127.0.0.1", 8080))
server.config["secret"] = "a secret of at least 32 characters"
api = Routes("/api", name="api")
templates = Templates("templates")

polls: list[dict[str, object]] = []
voters: dict[int, set[str]] = {}


@server.before_request
def who_is_it(request: Request) -> None:
    request.state.visitor = request.cookies.get("visitor") or uuid.uuid4().hex


@server.after_request
def remember(request: Request, response: Response) -> None:
    if "visitor" not in request.cookies:
        response.set_cookie("visitor", request.state.visitor, max_age=3600)


def found(number: int) -> dict[str, object]:
    if not 1 <= number <= len(polls):
        abort(404, f"no poll {number}")
    return polls[number - 1]


@server.get("/")
def index() -> Response:
    return templates("polls.html", polls=polls)


@server.post("/name")
def sign_in(request: Request) -> Response:
    request.session.clear()
    request.session["name"] = request.form["name"]
    flash(request, f"Welcome, {request.session['name']}!")
    return redirect(url_for("index"), 303)


@server.post("/leave")
def leave(request: Request) -> Response:
    request.session.clear()
    return redirect(url_for("index"), 303)


@server.post("/polls")
def create(request: Request) -> Response:
    question = request.form.get("question", "").strip()
    if not question:
        return Response(400, content="a question is needed")
    polls.append({"question": question, "votes": 0})
    return redirect(url_for("show", number=len(polls)), 303)


@server.route("/polls/<int:number>", methods=["GET"])
def show(number: int) -> Response:
    return templates("poll.html", poll=found(number))


@server.post("/polls/<int:number>/votes")
def vote(request: Request, number: int) -> None:
    poll = found(number)
    if request.state.visitor in voters.setdefault(number, set()):
        raise PermissionError("one vote each")
    voters[number].add(request.state.visitor)
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


@api.get("/addresses")
def addresses() -> list[str]:
    return [url_for("api.listed", q="a b"), url_for("show", number=7, external=True)]


@server.errorhandler(404)
def missing(request: Request, message: str | None) -> Response:
    return html(f"<h1>Not here</h1><p>{message or ''}</p>", 404)


@server.errorhandler(PermissionError)
def refused(error: PermissionError) -> Response:
    return Response(403, content=str(error))


server.mount(api)

if __name__ == "__main__":
    server.run()
