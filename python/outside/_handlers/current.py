"""The request that is being handled, found by its context, and the values that are made for it."""

import weakref
from typing import Any

from .._log import CURRENT as CURRENT

# The servers of this process, for functions that are called outside of a request.
SERVERS: "weakref.WeakSet[Any]" = weakref.WeakSet()


class Wishes:
    """What parts of the application layer want of every server: set when a program first uses one of them."""

    # Whether the request has to be found by its context: for `url_for` and templates, which any server's handler may call.
    current_request = False


def wish() -> None:
    """Has the request found by its context from now on."""
    if not Wishes.current_request:
        Wishes.current_request = True
        for server in list(SERVERS):
            server._arrange()


class State:
    """The program's own values of one request: attributes, set and read at will."""

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(self.__dict__) or "nothing"
        raise AttributeError(f"request.state has no {name!r}; set before: {known}")

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default if it was not set."""
        return self.__dict__.get(name, default)

    def __repr__(self) -> str:
        return f"State({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"
