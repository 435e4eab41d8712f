"""The way to call a function, decided once when it is registered; a wrong function is refused with its line."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

REQUEST = -1
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def where(function: Any) -> str:
    """File and line of a function, as far as it has any."""
    innermost = inspect.unwrap(getattr(function, "func", function))
    code = getattr(innermost, "__code__", None) or getattr(getattr(type(innermost), "__call__", None), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some functions in C have no signature
        return None


def has_annotations(function: Any) -> bool:
    """Whether any parameter may say where its value comes from: by an annotation, or by a default that is a marker."""
    innermost = inspect.unwrap(getattr(function, "func", function))
    try:
        annotations = getattr(innermost, "__annotations__", None) or getattr(
            getattr(type(innermost), "__call__", None), "__annotations__", {}
        )
    except NameError:  # from Python 3.14 on they are evaluated now, and a name may exist for type checkers alone
        return True
    defaults = (*(getattr(innermost, "__defaults__", None) or ()), *(getattr(innermost, "__kwdefaults__", None) or {}).values())
    return bool(annotations.keys() - {"return"}) or any(getattr(default, "_is_marker", False) for default in defaults)


def plan(function: Any, pattern: str, names: Sequence[str], whole: bool = True) -> tuple[list[int], list[tuple[str, int]]]:
    """The arguments of a handler, by place and by name: `REQUEST`, or the number of a parameter of the path.

    The request goes to the parameter called `request`, else to the first one that is no parameter of the path and has no
    default, else nowhere. `whole` is false while the pattern may still get a prefix with parameters of its own.
    """
    parameters = _parameters(function)
    if parameters is None:
        return [REQUEST], [(name, number) for number, name in enumerate(names)]
    numbers = {name: number for number, name in enumerate(names)}
    by_name = {parameter.name: parameter for parameter in parameters}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    takes_places = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    if "request" in numbers:
        raise ValueError(
            f"{where(function)}: the route {pattern!r} has a parameter called 'request', which is the request's own name"
        )
    for name in names:
        if name not in by_name and not takes_any:
            taken = ", ".join(by_name) or "none"
            raise TypeError(
                f"{where(function)}: {name_of(function)}() has no parameter {name!r}, which the route {pattern!r} hands it; it has {taken}"
            )
    first = next((parameter for parameter in parameters if parameter.kind in _PLACED), None)
    if "request" in by_name:
        request = "request"
    elif first is not None and first.name not in numbers and first.default is inspect.Parameter.empty and whole:
        request = first.name
    else:
        request = ""
    handed = {**numbers, **({request: REQUEST} if request else {})}
    for parameter in parameters:
        is_open = parameter.default is inspect.Parameter.empty and parameter.kind in (*_PLACED, inspect.Parameter.KEYWORD_ONLY)
        if whole and is_open and parameter.name not in handed:
            raise TypeError(
                f"{where(function)}: {name_of(function)}() wants {parameter.name!r}, but the route {pattern!r} has no such parameter"
            )
    places: list[int] = []
    named: list[tuple[str, int]] = []
    # A wrapper of another function may look at the names; there only arguments without a name go by their place.
    in_order = not hasattr(function, "__wrapped__")
    for parameter in parameters:
        if parameter.name not in handed:
            in_order = False
        elif (
            parameter.kind is inspect.Parameter.POSITIONAL_ONLY
            or (parameter.kind in _PLACED and in_order)
            or (handed[parameter.name] == REQUEST and not places and not named)
        ):
            places.append(handed.pop(parameter.name))
        else:
            named.append((parameter.name, handed.pop(parameter.name)))
    if takes_places and not request and not by_name.keys() & numbers.keys():
        # `def f(*args, **kwargs)` without the signature of the function that it wraps.
        places.insert(0, REQUEST)
    return places, [*named, *handed.items()]


def adapt(function: Callable[..., Any], *wanted: str) -> Callable[..., Any]:
    """A function of all that is `wanted`, in this order, for one that may take less of it.

    Each parameter gets the value of its name. Other names: as many as are wanted get them in order, a single one gets the last.
    """
    if not callable(function):
        raise TypeError(f"a function of ({', '.join(wanted)}) is expected, not {function!r}")
    parameters = _parameters(function)
    if parameters is None or any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return function
    # Parameters of other names with a default keep it.
    placed = [
        parameter.name
        for parameter in parameters
        if parameter.kind in _PLACED and (parameter.default is inspect.Parameter.empty or parameter.name in wanted)
    ]
    needed = placed[len(wanted) :] + [
        parameter.name
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty
    ]
    if needed:
        raise TypeError(
            f"{where(function)}: {name_of(function)}() takes ({', '.join(wanted)}) or less of it; the server does not hand it {needed[0]!r}"
        )
    if len(placed) == len(wanted) and set(placed) != set(wanted):
        picks = list(range(len(wanted)))
    else:
        picks = [wanted.index(name) if name in wanted else len(wanted) - 1 for name in placed]
    if picks == list(range(len(wanted))):
        return function

    def adapted(*given: Any) -> Any:
        return function(*[given[pick] for pick in picks])

    return functools.update_wrapper(adapted, function)


# Values that the handler of an error may ask for, each under its name.
_OF_ERRORS = ("request", "code", "message", "error")
_MEANT = {
    **dict.fromkeys(("e", "err", "exc", "ex", "exception"), "error"),
    **dict.fromkeys(("req", "r"), "request"),
    **dict.fromkeys(("status", "status_code", "errorcode"), "code"),
    **dict.fromkeys(("msg", "text", "reason", "description", "detail"), "message"),
}


class ErrorHandler:
    """A function that answers in place of an error, and is handed values by the names of its parameters.

    Of a code it can be called as `set_errorhandler` has it, with the request and the message; then it makes the error of them.
    """

    def __init__(self, function: Callable[..., Any], code: int | None) -> None:
        if not callable(function):
            raise TypeError(f"an error handler is a function, not {function!r}")
        self.__wrapped__ = function
        self._code = code
        self._places: list[str] = []
        self._names: list[str] = []
        self._is_positional = False
        self._kinds: set[Any] = set()
        parameters = _parameters(function)
        if parameters is None or any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
            # A function that does not name its parameters.
            self._is_positional = True
            return
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self._names += [name for name in _OF_ERRORS if name not in self._names and name not in self._places]
            elif parameter.name in _OF_ERRORS:
                self._kinds.add(parameter.kind)
                (self._places if parameter.kind is inspect.Parameter.POSITIONAL_ONLY else self._names).append(parameter.name)
            elif parameter.default is inspect.Parameter.empty:
                raise TypeError(_unknown_name(function, parameter.name))

    def is_plain(self) -> bool:
        """Whether the function can stand in its own place: it takes the request and the message, in this order."""
        is_simple = self._kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD} and not hasattr(self.__wrapped__, "__wrapped__")
        return is_simple and self._names == ["request", "message"]

    def wants_error(self) -> bool:
        """Whether it asks for the exception."""
        return "error" in self._names or "error" in self._places

    def __call__(self, request: Any, message: str | None = None) -> Any:
        return self.answer(request, self._code or 500, message, None)

    def answer(self, request: Any, code: int, message: str | None, error: Exception | None) -> Any:
        """Calls the function; without an exception the error is that of `abort`."""
        if self._is_positional:
            return self.__wrapped__(request, message if self._code is not None else error)
        if error is None and self.wants_error():
            from .._outside import HTTPException

            error = HTTPException(code, message)
        given = {"request": request, "code": code, "message": message, "error": error}
        return self.__wrapped__(*[given[name] for name in self._places], **{name: given[name] for name in self._names})


def _unknown_name(function: Any, name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, _OF_ERRORS, 1)
    meant = _MEANT.get(name) or (close[0] if close else None)
    return (
        f"{where(function)}: {name_of(function)}() has a parameter {name!r}, but an error handler is handed request, code, message and "
        f"error, each under its name" + (f"; did you mean {meant!r}?" if meant else "")
    )


def name_of(function: Any) -> str:
    """The name of a function."""
    return str(getattr(function, "__name__", None) or type(function).__name__)
