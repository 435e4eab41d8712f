"""The interface of an application: WSGI, ASGI 3, or a server of this package; or a sentence about an object that is none."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from .._outside import OutsideHTTP, OutsideHTTP_Redirect

NATIVE, WSGI, ASGI = "native", "wsgi", "asgi"
HOSTED = (
    "a server hosts WSGI applications, application(environ, start_response); ASGI 3 applications, "
    "async app(scope, receive, send); and OutsideHTTP servers"
)


class NotHosted(TypeError):
    """The object is no application of an interface that is hosted; the text says what it is."""


def interface_of(app: Any) -> str:
    """`NATIVE`, `WSGI` or `ASGI`.

    A coroutine function, also as `__call__` of the instance or of its class, is ASGI 3. Else the number of required arguments
    decides: three are ASGI 3, two are WSGI. A callable without a signature counts as WSGI.
    """
    if isinstance(app, (OutsideHTTP, OutsideHTTP_Redirect)):
        return NATIVE
    inner = unwrapped(app)
    if isinstance(inner, type):
        raise NotHosted(f"{described(app)} is no application but a class: an instance of it may be one; {HOSTED}")
    if not callable(inner):
        raise NotHosted(f"{described(app)} is no application: it cannot be called; {HOSTED}")
    if is_coroutine_function(inner):
        if required(inner) in (None, 3):
            return ASGI
        raise NotHosted(
            f"{described(app)} is an async function of {required(inner)} arguments, and no ASGI 3 application; {HOSTED}"
        )
    count = required(inner)
    if count is None or count == 2:
        return WSGI
    if count == 3:
        return ASGI
    if count == 1:
        raise NotHosted(
            f"{described(app)} takes one argument, as ASGI 2 applications and factories do: ASGI 2 is not hosted, "
            f"asgiref.compatibility.guarantee_single_callable makes ASGI 3 of it; {HOSTED}"
        )
    if count == 0:
        raise NotHosted(f"{described(app)} takes no argument; {HOSTED}")
    raise NotHosted(f"{described(app)} takes {count} arguments; {HOSTED}")


def is_hostable(app: Any) -> bool:
    """Whether the object is a server or an application that is hosted."""
    try:
        interface_of(app)
    except NotHosted:
        return False
    return True


def is_instance_to_host(app: Any) -> bool:
    """Whether it is an object with the call of an application, neither a function nor a class."""
    return callable(app) and not inspect.isroutine(app) and not isinstance(app, type) and is_hostable(app)


def unwrapped(app: Any) -> Any:
    """The application behind a `functools.partial` that binds no argument; the Flask, FastAPI or Quart of a Dash."""
    kind = type(app)
    if kind.__module__.partition(".")[0] == "dash" and hasattr(app, "server"):
        return app.server
    while isinstance(app, functools.partial) and not app.args and not app.keywords:
        app = app.func
    return app


def is_coroutine_function(app: Any) -> bool:
    """Whether calling it makes a coroutine."""
    if isinstance(app, functools.partial):
        return is_coroutine_function(app.func)
    candidates = [app, vars(app).get("__call__") if hasattr(app, "__dict__") else None, getattr(type(app), "__call__", None)]
    return any(candidate is not None and inspect.iscoroutinefunction(inspect.unwrap(candidate)) for candidate in candidates)


def required(app: Any) -> int | None:
    """How many arguments `app` takes by position, an optional second one included; `None` without a signature, or with `*args`
    and fewer than two."""
    own = vars(app).get("__call__") if hasattr(app, "__dict__") and not inspect.isroutine(app) else None
    try:
        parameters = list(inspect.signature(own or app).parameters.values())
    except (TypeError, ValueError):
        return None
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    count = sum(each.default is each.empty for each in places)
    if any(each.kind is each.VAR_POSITIONAL for each in parameters) and count < 2:
        return None
    # `app(environ, start_response=None)` is called with both.
    return 2 if count < 2 <= len(places) else count


def described(app: Any) -> str:
    """The object in words."""
    if isinstance(app, type):
        return f"the class {app.__qualname__}"
    if inspect.isroutine(app):
        return f"{name_of(app)}()"
    name = type(app).__qualname__
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def name_of(app: Any) -> str:
    return str(getattr(app, "__qualname__", None) or type(app).__qualname__)
