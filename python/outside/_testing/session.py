"""The session of a test client: what `request.session` would be for its next request, to be read and to be set."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from .._application.session import HOW_TO, NAME, Signer

if TYPE_CHECKING:
    from .._outside import OutsideHTTP
    from .cookies import Cookies


class ClientSession(MutableMapping[str, Any]):
    """A dictionary over the cookie of a client: each change signs it anew, as the server would."""

    def __init__(self, server: OutsideHTTP, cookies: Cookies) -> None:
        secret = server.config.get("secret")
        if not secret:
            raise RuntimeError(f'client.session needs config["secret"], which signs it; {HOW_TO}')
        self._signer = Signer(secret, server.config["session_days"])
        self._cookies = cookies

    def _load(self) -> dict[str, Any]:
        value = self._cookies.get(NAME)
        content = self._signer.verify(NAME, value) if value else None
        found: dict[str, Any] = json.loads(content) if content else {}
        return found

    def _store(self, values: dict[str, Any]) -> None:
        self._cookies[NAME] = self._signer.sign(NAME, json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode())

    def __getitem__(self, name: str) -> Any:
        return self._load()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._store({**self._load(), name: value})

    def __delitem__(self, name: str) -> None:
        values = self._load()
        del values[name]
        self._store(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __repr__(self) -> str:
        return f"ClientSession({self._load()!r})"
