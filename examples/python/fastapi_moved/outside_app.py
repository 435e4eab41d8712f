"""The app of `fastapi_app.py`, moved over: models, annotations and `Depends` stay; names of the framework change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypedDict

from pydantic import BaseModel, Field

from outside import Depends, Form, FormFile, Header, OutsideHTTP, Query, Response, Routes, abort, json_response

server = OutsideHTTP(("127.0.0.1", 8080))
router = Routes("/issues")


class NewIssue(BaseModel):
    """What a client sends to open an issue."""

    title: Annotated[str, Field(min_length=1, max_length=100)]
    labels: list[str] = []


class Issue(TypedDict):
    number: int
    title: str
    labels: list[str]
    author: str


class Closed(Exception):
    pass


stored: dict[int, Issue] = {}
TOKENS = {"Bearer secret": "ada"}


class Store:
    """Changes that are kept when the request ends well."""

    def __init__(self) -> None:
        self.issues = dict(stored)

    def commit(self) -> None:
        stored.clear()
        stored.update(self.issues)


def store() -> Iterator[Store]:
    session = Store()
    yield session
    session.commit()


def signed_in(authorization: Annotated[str | None, Header] = None) -> str:
    if authorization not in TOKENS:
        abort(401, "sign in first")
    return TOKENS[authorization]


@router.get("")
def issues(
    store: Annotated[Store, Depends(store)],
    page: Annotated[int, Query(ge=1)] = 1,
    label: list[str] = [],  # noqa: B006 - a new one for each request
) -> list[Issue]:
    """Lists issues, ten on a page."""
    found = [issue for issue in store.issues.values() if set(label) <= set(issue["labels"])]
    return found[(page - 1) * 10 : page * 10]


@router.post("")
def create(issue: NewIssue, author: Annotated[str, Depends(signed_in)], store: Annotated[Store, Depends(store)]) -> Response:
    """Opens an issue."""
    number = len(store.issues) + 1
    store.issues[number] = Issue(number=number, title=issue.title, labels=issue.labels, author=author)
    return json_response(store.issues[number], 201, {"Location": f"/issues/{number}"})


@router.get("/{number}")
async def show(number: int, store: Annotated[Store, Depends(store)]) -> Issue:
    """One issue."""
    if number not in store.issues:
        abort(404, f"no issue {number}")
    return store.issues[number]


@router.delete("/{number}")
def close(number: int, author: Annotated[str, Depends(signed_in)], store: Annotated[Store, Depends(store)]) -> None:
    """Closes an issue of one's own."""
    issue = store.issues.pop(number, None)
    if issue is None or issue["author"] != author:
        raise Closed(f"issue {number} is not yours")


@router.post("/{number}/photo")
async def photo(number: int, photo: FormFile, caption: Annotated[str, Form(max_length=20)] = "") -> dict[str, str | int]:
    """Adds a photo."""
    return {"number": number, "caption": caption, "name": photo.name, "size": photo.size}


@server.errorhandler(Closed)
def closed(error: Closed) -> Response:
    return json_response({"detail": str(error)}, 403)


server.mount(router)
server.openapi(title="Issues", version="1.0")

if __name__ == "__main__":
    server.run()
