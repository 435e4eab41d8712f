"""A small FastAPI app: issues, with validated bodies, a paged list, a session of a store, a token, an upload. Beside it the same,
moved over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypedDict

from fastapi import APIRouter, Depends, FastAPI, Form, Header, HTTPException, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

app = FastAPI(title="Issues", version="1.0")
router = APIRouter(prefix="/issues")


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


def signed_in(authorization: Annotated[str | None, Header()] = None) -> str:
    if authorization not in TOKENS:
        raise HTTPException(401, "sign in first")
    return TOKENS[authorization]


@router.get("")
def issues(
    store: Annotated[Store, Depends(store)],
    page: Annotated[int, Query(ge=1)] = 1,
    label: Annotated[list[str] | None, Query()] = None,
) -> list[Issue]:
    """Lists issues, ten on a page."""
    found = [issue for issue in store.issues.values() if set(label or []) <= set(issue["labels"])]
    return found[(page - 1) * 10 : page * 10]


@router.post("", status_code=201)
def create(
    issue: NewIssue, response: Response, author: Annotated[str, Depends(signed_in)], store: Annotated[Store, Depends(store)]
) -> Issue:
    """Opens an issue."""
    number = len(store.issues) + 1
    store.issues[number] = Issue(number=number, title=issue.title, labels=issue.labels, author=author)
    response.headers["Location"] = f"/issues/{number}"
    return store.issues[number]


@router.get("/{number}")
async def show(number: int, store: Annotated[Store, Depends(store)]) -> Issue:
    """One issue."""
    if number not in store.issues:
        raise HTTPException(404, f"no issue {number}")
    return store.issues[number]


@router.delete("/{number}", status_code=204)
def close(number: int, author: Annotated[str, Depends(signed_in)], store: Annotated[Store, Depends(store)]) -> None:
    """Closes an issue of one's own."""
    issue = store.issues.pop(number, None)
    if issue is None or issue["author"] != author:
        raise Closed(f"issue {number} is not yours")


@router.post("/{number}/photo")
async def photo(number: int, photo: UploadFile, caption: Annotated[str, Form(max_length=20)] = "") -> dict[str, str | int]:
    """Adds a photo."""
    content = await photo.read()
    return {"number": number, "caption": caption, "name": photo.filename or "", "size": len(content)}


@app.exception_handler(Closed)
def closed(request: Request, error: Closed) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 403)


app.include_router(router)

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=8080)
