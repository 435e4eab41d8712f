"""An issue tracker in a hundred lines: sign-in with a limit, a list with a form, a JSON API with validation, live updates.

It needs `pip install jinja2`. Sign in as "ann" with the password "sunflower".
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
from dataclasses import dataclass, field
from typing import Annotated

from outside import Depends, OutsideHTTP, Query, Request, Response, Routes, Templates, abort, event_stream, flash, redirect

server = OutsideHTTP(("127.0.0.1", 8080))
server.config["secret"] = os.environ.get("TRACKER_SECRET") or secrets.token_urlsafe(32)
server.openapi("/docs", title="Issues")
api = Routes("/api", name="api")
templates = Templates("templates")


def digest(password: str) -> bytes:
    return hashlib.scrypt(password.encode(), salt=b"tracker", n=2**14, r=8, p=1)


@dataclass
class NewIssue:
    title: Annotated[str, Query(min_length=1, max_length=200)]
    labels: list[str] = field(default_factory=list[str])


@dataclass
class Issue(NewIssue):
    number: int = 0
    author: str = ""


users = {"ann": digest("sunflower")}
issues: list[Issue] = []
numbers = itertools.count(1)


def signed_in(request: Request) -> str:
    return str(request.session.get("user") or abort(401, "sign in first"))


User = Annotated[str, Depends(signed_in)]


def opened(new: NewIssue, author: str) -> Issue:
    issues.append(issue := Issue(new.title, new.labels, next(numbers), author))
    server.publish("issues", f"{author} has opened {new.title}")
    return issue


@server.get("/")
def index(user: User) -> Response:
    return templates("issues.html", user=user, issues=issues)


@server.post("/issues")
def create(request: Request, new: NewIssue, user: User) -> Response:
    flash(request, f"Issue {opened(new, user).number} is open.")
    return redirect("/", 303)


@server.get("/live")
def live(user: User) -> Response:
    return event_stream(topic="issues")


@api.get("/issues")
def listed(user: User, page: Annotated[int, Query(ge=1)] = 1, label: str | None = None) -> list[Issue]:
    """Lists issues, ten on a page."""
    return [issue for issue in issues if label is None or label in issue.labels][10 * page - 10 : 10 * page]


@api.post("/issues")
def created(new: NewIssue, user: User) -> tuple[Issue, int]:
    """Opens an issue."""
    return opened(new, user), 201


@server.get("/sign-in")
def door() -> Response:
    return templates("sign_in.html")


@server.post("/sign-in")
@server.limit("5/m")
def sign_in(request: Request) -> Response:
    name, password = request.form["name"], request.form["password"]
    if not hmac.compare_digest(users.get(name, b""), digest(password)):
        flash(request, "Name or password is wrong.")
        return redirect("/sign-in", 303)
    request.session.clear()
    request.session["user"] = name
    return redirect("/", 303)


@server.errorhandler(401)
def strangers(request: Request, message: str | None) -> Response | tuple[int, str | None]:
    return (401, message) if request.path.startswith("/api") else redirect("/sign-in", 303)


server.mount(api)

if __name__ == "__main__":
    server.run()
