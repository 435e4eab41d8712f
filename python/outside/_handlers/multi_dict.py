"""Names with several values: the fields and files of a form, the parameters of a query."""

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class MultiDict(dict[str, T], Generic[T]):
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
