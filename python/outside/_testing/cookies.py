"""The cookies that a test client keeps, as a browser would: by host, name and path, until they expire (RFC 6265 section 5.3)."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Mapping, MutableMapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple


class _Kept(NamedTuple):
    value: str
    # When it expires, in seconds since 1970.
    end: float
    # Whether only the host that has set it gets it.
    is_host_only: bool


class Cookies(MutableMapping[str, str]):
    """Name to value, whichever host has set it. What is set here is sent with every request, whatever its host and path."""

    def __init__(self) -> None:
        # By domain, name and path; those that the test has set have no domain.
        self._kept: dict[tuple[str, str, str], _Kept] = {}

    def __getitem__(self, name: str) -> str:
        for (_, other, _), kept in self._kept.items():
            if other == name and kept.end > time.time():
                return kept.value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        for key in [key for key in self._kept if key[1:] == (name, "/")]:
            del self._kept[key]
        self._kept["", name, "/"] = _Kept(value, float("inf"), is_host_only=False)

    def __delitem__(self, name: str) -> None:
        found = [key for key in self._kept if key[1] == name]
        if not found:
            raise KeyError(name)
        for key in found:
            del self._kept[key]

    def __iter__(self) -> Iterator[str]:
        now = time.time()
        return iter(dict.fromkeys(name for (_, name, _), kept in self._kept.items() if kept.end > now))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Cookies({dict(self)!r})"

    def _field(self, host: str, target: str, more: Mapping[str, str] | None) -> str | None:
        """The Cookie field for a request; `None` if there is nothing to say."""
        name_of_host, path, now = _host_name(host), target.partition("?")[0], time.time()
        # The longest paths first (RFC 6265 section 5.4).
        kept = sorted(self._kept.items(), key=lambda item: -len(item[0][2]))
        parts = [
            f"{name}={each.value}"
            for (domain, name, at), each in kept
            if each.end > now and _matches(path, at) and _is_for(name_of_host, domain, each) and name not in (more or {})
        ]
        parts += [f"{name}={value}" for name, value in (more or {}).items()]
        return "; ".join(parts) or None

    def _receive(self, fields: list[str], host: str, target: str) -> None:
        """Takes over what the server sets (RFC 6265 section 5.3)."""
        own = _host_name(host)
        for field in fields:
            name, value, attributes = parsed(field)
            domain = attributes.get("domain", "").removeprefix(".").lower()
            if domain and domain != own and not _is_below(own, domain):
                continue  # step 6: a host sets nothing for others
            path = attributes.get("path", "")
            if not path.startswith("/"):
                path = target.partition("?")[0].rpartition("/")[0] or "/"
            end, key = _end_of(attributes), (domain or own, name, path)
            self._kept.pop(("", name, path), None)
            if end <= time.time():
                self._kept.pop(key, None)
            else:
                self._kept[key] = _Kept(value, end, is_host_only=not domain or _is_address(domain))


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


def _host_name(host: str) -> str:
    """The name in a Host field, as names are compared."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def _is_for(host: str, domain: str, kept: _Kept) -> bool:
    return domain in ("", host) or (not kept.is_host_only and _is_below(host, domain))


def _is_below(host: str, domain: str) -> bool:
    """RFC 6265 section 5.1.3: is this name below the domain? Addresses are below none, and all share no top-level domain."""
    return "." in domain and host.endswith(f".{domain}") and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
