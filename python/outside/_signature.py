"""How a function wants to be called, decided once when it is registered; a wrong one is refused with its line."""

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
    except (TypeError, ValueError):  # some functions in C do not say
        return None


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
        raise ValueError(f"{where(function)}: the route {pattern!r} has a parameter called 'request', which is the request's own name")
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
    # What wraps another function may look at the names; there only what has no name goes by its place.
    in_order = not hasattr(function, "__wrapped__")
    for parameter in parameters:
        if parameter.name not in handed:
            in_order = False
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY or (parameter.kind in _PLACED and in_order):
            places.append(handed.pop(parameter.name))
        elif handed[parameter.name] == REQUEST and not places and not named:
            places.append(handed.pop(parameter.name))
        else:
            named.append((parameter.name, handed.pop(parameter.name)))
    if takes_places and not request and not by_name.keys() & numbers.keys():
        # `def f(*args, **kwargs)` that says nothing of what it wraps.
        places.insert(0, REQUEST)
    return places, [*named, *handed.items()]


def adapt(function: Callable[..., Any], *wanted: str) -> Callable[..., Any]:
    """A function of all that is `wanted`, in this order, for one that may take less of it.

    Each parameter gets what it is called after. Other names: as many as are wanted get them in order, a single one gets the last.
    """
    if not callable(function):
        raise TypeError(f"a function of ({', '.join(wanted)}) is expected, not {function!r}")
    parameters = _parameters(function)
    if parameters is None or any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return function
    # A default of another name is the function's own affair.
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
        raise TypeError(f"{where(function)}: {name_of(function)}() takes ({', '.join(wanted)}) or less of it; nobody hands it {needed[0]!r}")
    if len(placed) == len(wanted) and not set(placed) == set(wanted):
        picks = list(range(len(wanted)))
    else:
        picks = [wanted.index(name) if name in wanted else len(wanted) - 1 for name in placed]
    if picks == list(range(len(wanted))):
        return function

    def adapted(*given: Any) -> Any:
        return function(*[given[pick] for pick in picks])

    return functools.update_wrapper(adapted, function)


def name_of(function: Any) -> str:
    """What a function is called."""
    return str(getattr(function, "__name__", None) or type(function).__name__)
