"""Values of a request by name: the fields and files of a form, the parameters of a query, cookies.

A name that is missing is the client's fault, unless the handler catches the `KeyError`: 400, which names it.
"""

from collections.abc import Iterable
from typing import Generic, NoReturn, TypeVar

from .._outside import HTTPException

T = TypeVar("T")


class MissingValue(HTTPException, KeyError):
    """A name that the request does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(400, f"{name!r} is missing")
        # As any other `KeyError` has it.
        self.args = (name,)


class Values(dict[str, T], Generic[T]):
    """A dictionary of values by name."""

    def __missing__(self, name: str) -> NoReturn:
        raise MissingValue(name)


class MultiDict(Values[T], Generic[T]):
    """A dictionary of the first value of each name; `get_all` has every one of them, in the order in which they came."""

    def __init__(self, pairs: Iterable[tuple[str, T]] = ()) -> None:
        super().__init__()
        self._values: dict[str, list[T]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)
            dict.setdefault(self, name, value)

    def get_all(self, name: str) -> list[T]:
        """Every value of this name; empty if there is none."""
        return list(self._values.get(name, ()))
