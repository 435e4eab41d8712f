"""From a plan to the function that the engine calls: Python source of one call for each step, compiled once."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from .._handlers.routes import is_async
from .._handlers.websocket import WebSocketExit
from .._outside import HTTPException
from . import cleanup as _cleanup
from .errors import InputError, Refused, Unusable, refusal
from .plan import CONNECTION, REQUEST, Argument, Call, Plan, plan

_numbers = itertools.count(1)


class Input:
    """A handler with a plan. `call` is handed the request and the parameters of the path, in their order; of a WebSocket the
    connection."""

    call: Any

    def __init__(self, made: Plan, make_plan: Callable[[Mapping[Any, Any]], Plan], of_websocket: bool = False) -> None:
        self.plan, self._make_plan, self.of_websocket = made, make_plan, of_websocket
        self.is_async = is_async(made.function)
        self.call = self._compiled(made)

    @property
    def needs_loop(self) -> bool:
        """Whether a function of `Depends` is an asynchronous one."""
        return any(_style(call.function) in ("coroutine", "asyncgen") for call in self.plan.calls)

    def override(self, overrides: Mapping[Any, Any]) -> None:
        """Replaces functions of `Depends`. The function that the engine holds stays, and has other code from now on."""
        made = self._make_plan(overrides)
        compiled = self._compiled(made)
        self.call.__globals__.update(compiled.__globals__)
        self.call.__code__ = compiled.__code__

    def _compiled(self, made: Plan) -> FunctionType:
        names, source = _source(made, self.is_async, self.of_websocket)
        exec(compile(source, f"<outside: input of {made.pattern}, {next(_numbers)}>", "exec"), names)
        call: FunctionType = names["call"]
        functools.update_wrapper(call, made.function)
        # Its own name in a traceback; the handler's in the log.
        call.__outside_input__ = self  # type: ignore[attr-defined]
        return call


def input_of(
    function: Any, pattern: str, names: list[str], *, whole: bool = True, of_websocket: bool = False, streaming: bool = False
) -> Input | None:
    """The handler with its plan; `None` for one that takes the request and parameters of the path as they are."""
    from .hints import mistake, names_around

    # A bound method has the attributes of its function.
    holder = getattr(function, "__func__", function)
    known: dict[str, Any] | None = getattr(holder, "__dict__", {}).get("__outside_names__")
    if known is None:
        known = names_around()
        if known and hasattr(holder, "__dict__"):
            # A group is mounted elsewhere, where these names are not to be found.
            holder.__outside_names__ = known

    def make_plan(overrides: Mapping[Any, Any]) -> Plan:
        return plan(function, pattern, names, whole=whole, overrides=overrides, around=known, of_websocket=of_websocket)

    made = make_plan({})
    if not made.is_needed:
        return None
    if (streaming or of_websocket) and (
        body := next((one for one in made.sources if one.place in ("body", "form", "file")), None)
    ):
        what = "a WebSocket has no content" if of_websocket else "a route with streaming=True hands its content over in pieces"
        raise mistake(function, f"{what}: it cannot be the {body.place} of a parameter")
    return Input(made, make_plan, of_websocket) if whole else None


def _style(function: Any) -> str:
    """How the value of a function is had."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        return "plain"
    for one in (function, getattr(type(function), "__call__", None)):
        if inspect.iscoroutinefunction(one):
            return "coroutine"
        if inspect.isgeneratorfunction(one):
            return "generator"
        if inspect.isasyncgenfunction(one):
            return "asyncgen"
    return "plain"


def _source(made: Plan, is_async: bool, of_websocket: bool) -> tuple[dict[str, Any], str]:
    """The names that the source uses, and the source."""
    names: dict[str, Any] = {
        "__name__": "outside._input",
        "handler": made.function,
        "Refused": Refused,
        "Unusable": Unusable,
        "every_fault": lambda *given: every_fault(made, dict(zip([REQUEST, *map(_path, made.names)], given, strict=True))),
    }
    given = [REQUEST, *map(_path, made.names)]
    cleans = any(_style(call.function) in ("generator", "asyncgen") for call in made.calls)
    body: list[str] = []
    for number, step in enumerate(made.steps):
        if step.source is not None:
            names[f"read{number}"] = step.source.read
            body.append(f"{step.variable} = read{number}({step.given})")
        elif step.call is not None:
            names[f"call{number}"] = step.call.function
            body.append(_called(step.call, f"call{number}", is_async, names))
    handled = f"{'await ' if is_async else ''}handler({_arguments(made.arguments)})"
    head = f"{'async ' if is_async else ''}def call({CONNECTION if of_websocket else ', '.join(given)}):"
    lines = [head]
    if of_websocket:
        lines += [f"    request = {CONNECTION}.request", "    path = request.path_params"]
        lines += [f"    {_path(name)} = path[{name!r}]" for name in made.names]
    if cleans:
        names.update(Cleanup=_cleanup.Cleanup)
        lines.append("    cleanup = Cleanup()")
    lines.append("    try:")
    lines += [f"        {line}" for line in body or ["pass"]]
    refused = f"every_fault({', '.join(given)})"
    if of_websocket:
        names.update(HTTPException=HTTPException, WebSocketExit=WebSocketExit)
        names.update(refuse=_refuse_async if is_async else _refuse, quiet=_quiet_async if is_async else _quiet)
        wait = "await " if is_async else ""
        lines += [
            "    except (Refused, Unusable, HTTPException) as error:",
            f"        error = error if isinstance(error, HTTPException) else {refused}",
            *([f"        {wait}quiet(cleanup, error)"] if cleans else []),
            f"        return {wait}refuse({CONNECTION}, error)",
            *(["    except BaseException as error:", f"        {wait}end(cleanup, error)"] if cleans else []),
        ]
    elif cleans:
        wait = "await " if is_async else ""
        lines += [
            "    except (Refused, Unusable):",
            f"        {wait}end(cleanup, {refused})",
            "    except BaseException as error:",
            f"        {wait}end(cleanup, error)",
        ]
    else:
        lines += ["    except (Refused, Unusable):", f"        raise {refused} from None"]
    if cleans:
        wait = "await " if is_async else ""
        names.update(end=_end_async if is_async else _end, made=_cleanup.made, is_stream=_cleanup.is_stream)
        names.update(accompanied=_cleanup.accompanied)
        lines += ["    try:", f"        answer = {handled}"]
        if of_websocket:
            lines += ["    except WebSocketExit:", f"        {wait}finish(cleanup)", "        raise"]
        else:
            lines += ["        answer = made(answer, handler)"]
        lines += ["    except BaseException as error:", f"        {wait}end(cleanup, error)"]
        if not of_websocket:
            lines += ["    if is_stream(answer):", "        return accompanied(answer, cleanup)"]
        names["finish"] = _cleanup.Cleanup.finish_async if is_async else _cleanup.Cleanup.finish
        lines += [f"    {wait}finish(cleanup)", "    return answer"]
    else:
        lines.append(f"    return {handled}")
    return names, "\n".join(lines)


def _called(call: Call, name: str, is_async: bool, names: dict[str, Any]) -> str:
    """One line that calls a function of `Depends`."""
    value = f"{name}({_arguments(call.arguments)})"
    style = _style(call.function)
    if style == "generator":
        value = f"cleanup.enter({value}, {name})"
    elif style == "asyncgen":
        value = f"cleanup.enter_async({value}, {name})"
    if style in ("coroutine", "asyncgen"):
        names["wait"] = _cleanup.wait
        value = f"await {value}" if is_async else f"wait({value})"
    return f"{call.variable} = {value}"


def _arguments(arguments: list[Argument]) -> str:
    return ", ".join(one.variable if one.name is None else f"{one.name}={one.variable}" for one in arguments)


def _path(name: str) -> str:
    return f"path_{name}"


def _end(cleanup: _cleanup.Cleanup, error: BaseException | None) -> None:
    cleanup.finish(error)


async def _end_async(cleanup: _cleanup.Cleanup, error: BaseException | None) -> None:
    await cleanup.finish_async(error)


def _quiet(cleanup: _cleanup.Cleanup, error: BaseException) -> None:
    try:
        cleanup.finish(error)
    except BaseException as raised:
        if raised is not error:
            raise


async def _quiet_async(cleanup: _cleanup.Cleanup, error: BaseException) -> None:
    try:
        await cleanup.finish_async(error)
    except BaseException as raised:
        if raised is not error:
            raise


def every_fault(made: Plan, given: Mapping[str, Any]) -> InputError:
    """All faults of a request of which one is known: every source is read again."""
    faults: list[tuple[str, list[Any], str]] = []
    for step in made.steps:
        if step.source is None:
            continue
        try:
            step.source.read(given[step.given])
        except Refused as refused:
            faults += [(step.source.place, at, message) for at, message in refused.faults]
        except Unusable as unusable:
            return InputError(unusable.code, unusable.message)
    # A request does not change: a fault that was there is there again.
    return refusal(faults or [("body", [], "it does not fit")])


def _refuse(connection: Any, error: Any) -> None:
    """Closes a WebSocket whose input does not fit: 1008, a violation of its policy (RFC 6455 section 7.4.1)."""
    connection.exit(1008, _reason(error))


async def _refuse_async(connection: Any, error: Any) -> None:
    await connection.exit(1008, _reason(error))


def _reason(error: Any) -> str:
    # A reason has 123 bytes at most.
    return (error.message or str(error.code)).encode()[:120].decode("utf-8", "ignore")
