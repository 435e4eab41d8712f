"""Parcels on their way: validated input with nothing but the standard library, a dependency, a document and its page.

    $ curl -H "Content-Type: application/json" -d '{"to": "Ada", "grams": 500}' http://127.0.0.1:8080/parcels
    $ curl "http://127.0.0.1:8080/parcels?heavier_than=100"
    $ curl http://127.0.0.1:8080/openapi.json

http://127.0.0.1:8080/docs is a page to try it.
"""

from __future__ import annotations

import enum
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Literal, TypedDict

from outside import Depends, OutsideHTTP, Path, Query, Response, Routes, json_response

server = OutsideHTTP(("127.0.0.1", 8080))
parcels = Routes("/parcels")
numbers = itertools.count(1)
stored: dict[int, Parcel] = {}
lock = threading.Lock()


class State(enum.Enum):
    WAITING = "waiting"
    SENT = "sent"


@dataclass
class NewParcel:
    """A parcel as a client hands it in."""

    to: Annotated[str, Query(min_length=1, max_length=40)]
    grams: Annotated[int, Query(gt=0, le=30_000)]
    due: date | None = None
    contents: list[str] = field(default_factory=list[str])


class Parcel(TypedDict):
    number: int
    to: str
    grams: int
    due: str | None
    contents: list[str]
    state: Literal["waiting", "sent"]


def shelf() -> Iterator[dict[int, Parcel]]:
    """The parcels, for one request at a time."""
    with lock:
        yield stored


Shelf = Annotated[dict[int, Parcel], Depends(shelf)]
Number = Annotated[int, Path(ge=1, le=1_000_000)]


@parcels.get("")
def listed(shelf: Shelf, heavier_than: Annotated[int, Query(ge=0)] = 0, state: State | None = None) -> list[Parcel]:
    """Lists parcels.

    All of them, or those that are heavier, or in one state.
    """
    found = (parcel for parcel in shelf.values() if parcel["grams"] > heavier_than)
    return [parcel for parcel in found if state is None or parcel["state"] == state.value]


@parcels.post("")
def handed_in(parcel: NewParcel, shelf: Shelf) -> Response:
    """Takes a parcel."""
    due = parcel.due.isoformat() if parcel.due else None
    number = next(numbers)
    shelf[number] = Parcel(number=number, to=parcel.to, grams=parcel.grams, due=due, contents=parcel.contents, state="waiting")
    return json_response(shelf[number], 201, {"Location": f"/parcels/{number}"})


@parcels.get("/{number}")
def shown(number: Number, shelf: Shelf) -> Parcel | tuple[Literal[404], str]:
    """One parcel."""
    if number not in shelf:
        return 404, f"no parcel {number}"
    return shelf[number]


@parcels.post("/{number}/sent")
def sent(number: Number, shelf: Shelf) -> Parcel | tuple[Literal[404, 409], str]:
    """Sends a parcel on its way."""
    if number not in shelf:
        return 404, f"no parcel {number}"
    if shelf[number]["state"] == "sent":
        return 409, f"parcel {number} is on its way"
    shelf[number]["state"] = "sent"
    return shelf[number]


server.mount(parcels)
server.openapi("/docs", title="Parcels", version="1.0", description="Hand parcels in, send them on their way.")

if __name__ == "__main__":
    server.run()
