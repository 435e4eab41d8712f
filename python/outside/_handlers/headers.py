"""Header fields as a dictionary whose look-ups ignore case."""

from collections.abc import Iterable
from typing import Any


class Headers(dict[str, str]):
    """The header fields of a request: names stay as received, look-ups ignore case (RFC 9110 section 5.1).

    Repeated fields read as one, joined by `", "`, Cookie by `"; "`; `get_all` gives each.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        self._pairs = list(pairs)
        names: dict[str, str] = {}
        for name, value in self._pairs:
            lower = name.lower()
            first = names.setdefault(lower, name)
            if first in self.keys():
                value = f"{dict.__getitem__(self, first)}{'; ' if lower == 'cookie' else ', '}{value}"
            dict.__setitem__(self, first, value)

    def _found(self, name: Any) -> Any:
        """The name as it stands here, or itself if it does not."""
        if dict.__contains__(self, name) or not isinstance(name, str):
            return name
        lower = name.lower()
        return next((other for other in self.keys() if other.lower() == lower), name)

    def __getitem__(self, name: str) -> str:
        return dict.__getitem__(self, self._found(name))

    def __setitem__(self, name: str, value: str) -> None:
        dict.__setitem__(self, self._found(name), value)

    def __delitem__(self, name: str) -> None:
        dict.__delitem__(self, self._found(name))

    def __contains__(self, name: object) -> bool:
        return dict.__contains__(self, self._found(name))

    def get(self, name: str, default: Any = None) -> Any:
        """The value whatever the case of the name, or the default."""
        return dict.get(self, self._found(name), default)

    def pop(self, name: str, *default: Any) -> Any:
        """Takes a field out whatever the case of its name."""
        return dict.pop(self, self._found(name), *default)

    def setdefault(self, name: str, default: str = "") -> str:
        """The value whatever the case of the name; set to the default if there is none."""
        return dict.setdefault(self, self._found(name), default)

    def get_all(self, name: str) -> list[str]:
        """Every value of a repeated field, in order; empty if there is none."""
        lower = name.lower()
        return [value for other, value in self._pairs if other.lower() == lower]
