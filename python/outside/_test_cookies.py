"""The cookies that a test client keeps, as a browser would: by name and path, until they expire (RFC 6265 section 5.3)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, MutableMapping
from email.utils import parsedate_to_datetime


class Cookies(MutableMapping[str, str]):
    """Name to value. What is set here is sent with every request, whatever its path."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def __getitem__(self, name: str) -> str:
        for (other, _), (value, end) in self._kept.items():
            if other == name and end > time.time():
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        self._kept[name, "/"] = (value, float("inf"))

    def __delitem__(self, name: str) -> None:
        found = [key for key in self._kept if key[0] == name]
        if not found:
            raise KeyError(name)
        for key in found:
            del self._kept[key]

    def __iter__(self) -> Iterator[str]:
        now = time.time()
        return iter(dict.fromkeys(name for (name, _), (_, end) in self._kept.items() if end > now))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Cookies({dict(self)!r})"

    def _field(self, target: str, more: Mapping[str, str] | None) -> str | None:
        """The Cookie field for a request; `None` if there is nothing to say."""
        path, now = target.partition("?")[0], time.time()
        # The longest paths first (RFC 6265 section 5.4).
        kept = sorted(self._kept.items(), key=lambda item: -len(item[0][1]))
        pairs = {
            (name, at): value for (name, at), (value, end) in kept if end > now and _matches(path, at) and name not in (more or {})
        }
        parts = [f"{name}={value}" for (name, _), value in pairs.items()]
        parts += [f"{name}={value}" for name, value in (more or {}).items()]
        return "; ".join(parts) or None

    def _receive(self, fields: list[str], target: str) -> None:
        """Takes over what the server sets."""
        for field in fields:
            name, value, attributes = parsed(field)
            path = attributes.get("path", "")
            if not path.startswith("/"):
                path = target.partition("?")[0].rpartition("/")[0] or "/"
            end = _end_of(attributes)
            if end <= time.time():
                self._kept.pop((name, path), None)
            else:
                self._kept[name, path] = (value, end)


def parsed(field: str) -> tuple[str, str, dict[str, str]]:
    """Name, value and attributes of a Set-Cookie field."""
    first, *rest = field.split(";")
    name, _, value = first.partition("=")
    attributes = {}
    for part in rest:
        key, _, content = part.partition("=")
        attributes[key.strip().lower()] = content.strip()
    return name.strip(), value.strip(), attributes


def _end_of(attributes: Mapping[str, str]) -> float:
    try:
        if "max-age" in attributes:
            return time.time() + int(attributes["max-age"])
        if "expires" in attributes:
            return parsedate_to_datetime(attributes["expires"]).timestamp()
    except ValueError:
        pass  # as if it had not been there
    return float("inf")


def _matches(path: str, at: str) -> bool:
    """RFC 6265 section 5.1.4."""
    return path == at or (path.startswith(at) and (at.endswith("/") or path[len(at)] == "/"))
