"""Functions of `Depends` that a test replaces: `client.override(function, instead)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._handlers.signature import name_of, where
from .compile import _style


class Override:
    """One replacement on a server, undone by `undo()` or at the end of a `with` block."""

    def __init__(self, server: Any, function: Callable[..., Any], instead: Callable[..., Any]) -> None:
        if not callable(instead):
            raise TypeError(f"override() takes two functions, not {instead!r}")
        self._server, self._function = server, function
        known = {call.function for made in server._inputs() for call in made.plan.calls} | set(_overrides_of(server))
        if function not in known:
            names = ", ".join(sorted(f"{name_of(one)}()" for one in known)) or "none"
            raise ValueError(
                f"no handler depends on {name_of(function)}() ({where(function)}); those that handlers depend on: {names}"
            )
        self._before = _overrides_of(server).get(function)
        _overrides_of(server)[function] = instead
        if _style(instead) in ("coroutine", "asyncgen"):
            server._arrange(instead if _style(instead) == "coroutine" else _asynchronous)
        _apply(server)

    def undo(self) -> None:
        """Back to the function before; nothing happens the second time."""
        overrides = _overrides_of(self._server)
        if self._function in overrides:
            if self._before is None:
                del overrides[self._function]
            else:
                overrides[self._function] = self._before
            _apply(self._server)

    def __enter__(self) -> Override:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()


async def _asynchronous() -> None:
    """In the place of a generator, for the engine, which starts its loop for it."""


def _overrides_of(server: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = server.__dict__.setdefault("_overrides", {})
    return found


def _apply(server: Any) -> None:
    for made in server._inputs():
        made.override(_overrides_of(server))
