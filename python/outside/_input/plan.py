"""From the signature of a handler to a plan: the sources of its values, the functions it depends on, in the order of their calls."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from .._handlers.signature import name_of, where
from .._outside import Request, WebSocketConnection
from . import sources
from .constraints import notes_of
from .describe import Bounded, Describer, Undescribable, is_model, shown
from .hints import Unresolved, mistake, names_around, parameters_of, returned_by
from .kinds import Kind
from .markers import Body, Cookie, Depends, File, Form, Header, Marker, Path, Query
from .models import MISSING, Model
from .sources import Source

_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
REQUEST = "request"
CONNECTION = "connection"


class Argument(NamedTuple):
    """One argument of a function: its name if it goes by name, and the variable that has its value."""

    name: str | None
    variable: str


class Call(NamedTuple):
    """A function that is called, its arguments, and the variable of its value."""

    function: Any
    arguments: list[Argument]
    variable: str


class Step(NamedTuple):
    """A value to be made before the handler is called: by a source, from the request or a value of the path, or by a function."""

    variable: str
    source: Source | None = None
    # Of a source: the variable that it reads.
    given: str = REQUEST
    call: Call | None = None


class Plan:
    """All that a handler needs."""

    def __init__(self, function: Any, pattern: str, names: Sequence[str]) -> None:
        self.function, self.pattern, self.names = function, pattern, list(names)
        self.steps: list[Step] = []
        self.arguments: list[Argument] = []
        self.answer: Any = inspect.Parameter.empty
        self.describer = Describer()
        # Whether only the annotation says which parameter gets the request.
        self.finds_request = False

    @property
    def sources(self) -> list[Source]:
        return [step.source for step in self.steps if step.source is not None]

    @property
    def calls(self) -> list[Call]:
        return [step.call for step in self.steps if step.call is not None]

    @property
    def is_needed(self) -> bool:
        """Whether the handler takes more than the request and parameters of the path as they are."""
        return bool(self.steps) or self.finds_request


def plan(
    function: Any,
    pattern: str,
    names: Sequence[str],
    *,
    whole: bool = True,
    overrides: Mapping[Any, Any] | None = None,
    around: Mapping[str, Any] | None = None,
    of_websocket: bool = False,
) -> Plan:
    """The plan of a handler. A mistake in its signature is a `TypeError` with file and line.

    `whole` is false while the pattern may still get a prefix with parameters of its own. `overrides` replaces functions of `Depends`,
    `around` are the local names of the function in which the handler was defined.
    """
    made = Plan(function, pattern, names)
    around = names_around() if around is None else around
    made.describer = Describer(around)
    planner = _Planner(made, whole, overrides or {}, around)
    made.arguments = planner.arguments(function, (), CONNECTION if of_websocket else REQUEST)
    planner.check()
    made.answer = returned_by(function, around)
    return made


class _Planner:
    def __init__(self, made: Plan, whole: bool, overrides: Mapping[Any, Any], around: Mapping[str, Any]) -> None:
        self.plan, self.whole, self.overrides, self.around = made, whole, overrides, around
        # The variable of the value of each function, and of each value of the content that several functions ask for.
        self._called: dict[Any, str] = {}
        self._bodies: list[tuple[str, Any, str, Any]] = []
        self._forms: list[str] = []
        self._converters = _converters(made.pattern)

    def arguments(self, function: Any, chain: tuple[Any, ...], first_is: str) -> list[Argument]:
        try:
            parameters = parameters_of(function, self.around)
        except (TypeError, ValueError):  # some functions in C have no signature
            return [Argument(None, first_is)]
        arguments: list[Argument] = []
        in_order = not hasattr(function, "__wrapped__")
        takes_first = self._first(parameters)
        if not takes_first and parameters and parameters[0].kind in _PLACED and _is_request(parameters[0].annotation):
            takes_first = parameters[0].name
        taken = {parameter.name for parameter in parameters}
        for parameter in parameters:
            # Functions come first: one that refuses a client does it before the rest of its input is looked at.
            marker, annotation = _marker(parameter.annotation, parameter.default)
            if isinstance(marker, Depends):
                self._dependency(function, parameter.name, marker.function or annotation, chain)
        for parameter in parameters:
            if parameter.kind in _OPEN:
                if parameter.kind is inspect.Parameter.VAR_KEYWORD and not chain:
                    arguments += [Argument(name, _path(name)) for name in self.plan.names if name not in taken]
                continue
            variable = self._variable(function, parameter, chain, first_is if parameter.name == takes_first else "")
            if variable is None:
                in_order = False
            elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY or (parameter.kind in _PLACED and in_order):
                arguments.append(Argument(None, variable))
            else:
                in_order = False
                arguments.append(Argument(parameter.name, variable))
        if not chain and self.whole and not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            for name in self.plan.names:
                if name not in taken:
                    raise mistake(
                        function,
                        f"{name_of(function)}() has no parameter {name!r}, which the route {self.plan.pattern!r} hands it; "
                        f"it has {', '.join(taken) or 'none'}",
                    )
        return arguments

    def _first(self, parameters: list[inspect.Parameter]) -> str:
        """The parameter that gets the request if no other one is called so: the first one that says nothing else."""
        if any(parameter.name == REQUEST or _is_request(parameter.annotation) for parameter in parameters):
            return ""
        first = next((parameter for parameter in parameters if parameter.kind in _PLACED), None)
        if first is None or first.name in self.plan.names or first.default is not inspect.Parameter.empty:
            return ""
        says_nothing = first.annotation in (inspect.Parameter.empty, Any, object) or _is_connection(first.annotation)
        return first.name if says_nothing else ""

    def _variable(self, function: Any, parameter: inspect.Parameter, chain: tuple[Any, ...], first: str) -> str | None:
        """The variable that has the value of a parameter; `None` if it keeps its default."""
        name, annotation, default = parameter.name, parameter.annotation, parameter.default
        if first:
            return first
        if name == REQUEST:
            return REQUEST
        if _is_request(annotation):
            self.plan.finds_request = True
            return REQUEST
        if _is_connection(annotation):
            return CONNECTION
        marker, annotation = _marker(annotation, default)
        if isinstance(marker, Depends):
            return self._dependency(function, name, marker.function or annotation, chain)
        if isinstance(default, Marker):
            default = inspect.Parameter.empty if default.default is ... else default.default
        elif marker is not None and default is inspect.Parameter.empty and marker.default is not ...:
            default = marker.default
        if name in self.plan.names and (marker is None or isinstance(marker, Path)):
            return self._of_path(function, name, annotation, marker)
        if isinstance(marker, Path):
            if not self.whole:
                return _path(name)
            raise mistake(
                function,
                f"{name_of(function)}() wants {name!r} of the path, but the route {self.plan.pattern!r} has no such parameter",
            )
        if marker is None and annotation in (inspect.Parameter.empty, Any, object):
            if default is not inspect.Parameter.empty or (not self.whole and not chain):
                return None
            raise mistake(
                function,
                f"{name_of(function)}() wants {name!r}, but the route {self.plan.pattern!r} has no such parameter; "
                f"an annotation says where it comes from: a model, a simple type for the query, or Annotated[…, Depends(…)]",
            )
        if not self.whole and marker is None and isinstance(annotation, Unresolved):
            return None
        kind = self._kind(function, name, annotation, marker)
        return self._of_request(
            function, name, kind, annotation, MISSING if default is inspect.Parameter.empty else default, marker
        )

    def _kind(self, function: Any, name: str, annotation: Any, marker: Marker | None) -> Kind:
        if isinstance(annotation, Unresolved):
            raise mistake(
                function,
                f"the annotation {annotation.text!r} of {name!r} cannot be resolved when the program runs: {annotation.error}; "
                f"define or import it at the top of the module, outside of `if TYPE_CHECKING`",
            )
        try:
            kind = self.plan.describer.kind(Any if annotation is inspect.Parameter.empty else annotation)
        except Undescribable as error:
            raise mistake(
                function,
                f"{name_of(function)}() cannot take {name!r}: {error}. A model is a dataclass, a TypedDict, a msgspec.Struct, an attrs "
                f"class or a pydantic model; a value made by a function is Annotated[{shown(annotation)}, Depends(…)]",
            ) from None
        notes = notes_of([marker] if marker is not None else [])
        return Bounded(kind, notes) if notes.bounds or notes.words else kind

    def _of_path(self, function: Any, name: str, annotation: Any, marker: Marker | None) -> str:
        plain = annotation in (inspect.Parameter.empty, Any, object, str) or isinstance(annotation, Unresolved)
        if (plain or name in self._converters) and marker is None:
            return _path(name)
        kind = self._kind(function, name, annotation, marker)
        variable = f"of_path_{name}"
        if all(step.variable != variable for step in self.plan.steps):
            self.plan.steps.append(Step(variable, sources.of_path(name, kind, marker), given=_path(name)))
        return variable

    def _of_request(self, function: Any, name: str, kind: Kind, annotation: Any, default: Any, marker: Marker | None) -> str:
        written = (marker.alias if marker else None) or (name.replace("_", "-") if isinstance(marker, Header) else name)
        if isinstance(marker, Body) and annotation is bytes:
            return self._body(function, name, annotation, sources.of_content(default, kind, marker))
        if isinstance(marker, Body) or (marker is None and is_model(kind) and not _is_file(kind)):
            return self._body(function, name, annotation, sources.of_body(kind, default, marker, takes_form=marker is None))
        if isinstance(marker, Form) and isinstance(kind, Model):
            return self._body(function, name, annotation, sources.of_form(written, kind, default, marker))
        takes_model = isinstance(marker, Query) and isinstance(kind, Model)
        if marker is not None and is_model(kind) and not takes_model and not _is_file(kind):
            place = "a form" if isinstance(marker, Form) else f"a {marker.place}"
            raise mistake(
                function,
                f"{name_of(function)}() cannot take {name!r}: {shown(annotation)} has no form as text, which is all that {place} has; "
                f"take a simple type, or a list of such",
            )
        if isinstance(marker, File) or _is_file(kind):
            self._forms.append(name)
            source = sources.of_file(written, kind, default, marker)
        elif isinstance(marker, Form):
            self._forms.append(name)
            source = sources.of_form(written, kind, default, marker)
        elif isinstance(marker, Header):
            source = sources.of_header(written, kind, default, marker)
        elif isinstance(marker, Cookie):
            source = sources.of_cookie(written, kind, default, marker)
        else:
            source = sources.of_query(written, kind, default, marker if isinstance(marker, Query) else None)
        return self._step(source)

    def _step(self, source: Source) -> str:
        variable = f"v{len(self.plan.steps)}"
        self.plan.steps.append(Step(variable, source))
        return variable

    def _body(self, function: Any, name: str, annotation: Any, source: Source) -> str:
        for _, other, variable, _ in self._bodies:
            if other == annotation:
                return variable
        variable = self._step(source)
        self._bodies.append((name, annotation, variable, function))
        return variable

    def _dependency(self, asking: Any, name: str, function: Any, chain: tuple[Any, ...]) -> str:
        function = self.overrides.get(function, function) if _is_hashable(function) else function
        if function is inspect.Parameter.empty or isinstance(function, Unresolved) or not callable(function):
            raise mistake(asking, f"Depends() of {name!r} has no function to call: write Depends(function)")
        if any(other is function for other in chain):
            circle = [*chain[next(i for i, other in enumerate(chain) if other is function) :], function]
            way = " → ".join(f"{name_of(one)}() ({where(one)})" for one in circle)
            raise mistake(asking, f"these functions depend on one another in a circle: {way}")
        key = function if _is_hashable(function) else id(function)
        if (known := self._called.get(key)) is not None:
            return known
        arguments = self.arguments(function, (*chain, function), REQUEST)
        variable = f"d{len(self.plan.steps)}"
        self.plan.steps.append(Step(variable, call=Call(function, arguments, variable)))
        self._called[key] = variable
        return variable

    def check(self) -> None:
        """Refuses what no request could fill: two models of the same content."""
        function, bodies = self.plan.function, self._bodies
        if len(bodies) > 1:
            told = " and ".join(f"{name!r} ({shown(annotation)})" for name, annotation, _, _ in bodies)
            raise mistake(
                function, f"{name_of(function)}() asks for two bodies, {told}, but a request has one: make one model of both"
            )
        if bodies and self._forms:
            raise mistake(
                function,
                f"{name_of(function)}() asks for the body {bodies[0][0]!r} and for fields of a form, {', '.join(map(repr, self._forms))}: "
                f"a request has one content; put the fields into the model",
            )


def _marker(annotation: Any, default: Any) -> tuple[Any, Any]:
    """The marker of a parameter, and its type without it. A marker may stand in the place of the default too, as in FastAPI."""
    if isinstance(default, (Marker, Depends)):
        return default, annotation
    if get_origin(annotation) is not Annotated:
        return None, annotation
    inner, *notes = get_args(annotation)
    found: Any = None
    others = []
    for note in notes:
        if isinstance(note, (Marker, Depends)):
            found = note
        elif isinstance(note, type) and issubclass(note, (Marker, Depends)):
            found = note()
        else:
            others.append(note)
    return found, Annotated[(inner, *others)] if others else inner


def _is_request(annotation: Any) -> bool:
    if isinstance(annotation, Unresolved):
        return re.fullmatch(r"['\"]?([\w.]+\.)?Request(\[.*\])?['\"]?", annotation.text) is not None
    cls = get_origin(annotation) or annotation
    return isinstance(cls, type) and issubclass(cls, Request)


def _is_connection(annotation: Any) -> bool:
    from .._handlers.websocket import AsyncWebSocketConnection

    if isinstance(annotation, Unresolved):
        return annotation.text.rpartition(".")[2] in ("WebSocketConnection", "AsyncWebSocketConnection")
    return isinstance(annotation, type) and issubclass(annotation, (WebSocketConnection, AsyncWebSocketConnection))


def _is_file(kind: Kind) -> bool:
    members = getattr(kind, "members", [getattr(kind, "item", getattr(kind, "inner", kind))])
    return any(member.name == "file" or getattr(getattr(member, "item", None), "name", "") == "file" for member in members)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _path(name: str) -> str:
    return f"path_{name}"


def _converters(pattern: str) -> set[str]:
    """The parameters of the pattern that the engine converts."""
    found = re.findall(r"<(\w+):(\w+)>|\{(\w+):(\w+)\}", pattern)
    return {name or other for _, name, other, _ in found}
