"""A small Flask app: polls, with pages of templates, a form, a session, a cookie, a blueprint with a JSON API.

Beside it the same, moved over; both have the same templates.
"""

from __future__ import annotations

import uuid

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    flash,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.secret_key = "a secret of at least 32 characters"
api = Blueprint("api", __name__, url_prefix="/api")

polls: list[dict[str, object]] = []
voters: dict[int, set[str]] = {}


@app.before_request
def who_is_it() -> None:
    g.visitor = request.cookies.get("visitor") or uuid.uuid4().hex


@app.after_request
def remember(response: Response) -> Response:
    if "visitor" not in request.cookies:
        response.set_cookie("visitor", g.visitor, max_age=3600, httponly=True, samesite="Lax")
    return response


def found(number: int) -> dict[str, object]:
    if not 1 <= number <= len(polls):
        abort(404, f"no poll {number}")
    return polls[number - 1]


@app.get("/")
def index() -> str:
    return render_template("polls.html", polls=polls)


@app.post("/name")
def sign_in() -> ResponseReturnValue:
    session.clear()
    session["name"] = request.form["name"]
    flash(f"Welcome, {session['name']}!")
    return redirect(url_for("index"), 303)


@app.post("/leave")
def leave() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("index"), 303)


@app.post("/polls")
def create() -> ResponseReturnValue:
    question = request.form.get("question", "").strip()
    if not question:
        return "a question is needed", 400
    polls.append({"question": question, "votes": 0})
    return redirect(url_for("show", number=len(polls)), 303)


@app.route("/polls/<int:number>", methods=["GET"])
def show(number: int) -> str:
    return render_template("poll.html", poll=found(number))


@app.post("/polls/<int:number>/votes")
def vote(number: int) -> ResponseReturnValue:
    poll = found(number)
    if g.visitor in voters.setdefault(number, set()):
        raise PermissionError("one vote each")
    voters[number].add(g.visitor)
    poll["votes"] = int(str(poll["votes"])) + 1
    return "", 204


@api.get("/polls")
def listed() -> Response:
    wanted = request.args.get("q", "")
    return jsonify([poll for poll in polls if wanted in str(poll["question"])])


@api.post("/polls")
def created() -> ResponseReturnValue:
    match request.get_json(silent=True):
        case {"question": str(question)} if question:
            polls.append({"question": question, "votes": 0})
        case _:
            abort(400, "send a question")
    return make_response(jsonify(polls[-1]), 201, {"Location": url_for("show", number=len(polls))})


@api.get("/addresses")
def addresses() -> Response:
    return jsonify([url_for("api.listed", q="a b"), url_for("show", number=7, _external=True)])


@app.errorhandler(404)
def missing(error: Exception) -> ResponseReturnValue:
    return f"<h1>Not here</h1><p>{getattr(error, 'description', '')}</p>", 404


@app.errorhandler(PermissionError)
def refused(error: PermissionError) -> ResponseReturnValue:
    return str(error), 403


app.register_blueprint(api)

if __name__ == "__main__":
    app.run(port=8080)
