"""The page of the Python API, made from the stub and the sources of the package, without importing them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

HEAD = """# Python

Everything that `from outside import …` offers, and `outside.testing`. Types that begin with an underscore are aliases for type
checkers: `_Answer` is anything that [a handler may return](../guide/answers.md), `_Handler` a function, an `async def`
function, a `FilePath`, a `Folder` or a `WebSocket`.
"""

SECTIONS = {
    "The server": ["OutsideHTTP", "Routes", "OutsideHTTP_Redirect"],
    "Metrics and logs": ["Counter", "Gauge", "Histogram", "JSONFormatter"],
    "Requests": ["Request", "MultiDict", "FormFile", "ContentError"],
    "Validated input": ["Query", "Path", "Header", "Cookie", "Body", "Form", "File", "Depends", "InputError"],
    "Answers": [
        "Response", "ResponseCookie", "redirect", "json_response", "html", "send_file", "event_stream", "Event",
        "FilePath", "Folder", "abort", "HTTPException", "HandlerTimeout",
    ],
    "Hosted applications": ["wsgi", "asgi"],
    "WebSockets": ["WebSocket", "WebSocketConnection", "AsyncWebSocketConnection", "TextMessage", "BinaryMessage", "WebSocketExit"],
    "Tests": ["TestClient", "TestResponse", "TestWebSocket", "ScheduledResponse"],
    "Applications": [
        "Templates", "url_for", "static_url", "Session", "flash", "flashes", "csrf_token", "basic_auth", "bearer", "Authorization",
    ],
    "Small functions": ["get_description", "get_insensitive_header"],
}  # fmt: skip
# Public, and needs no explanation.
LEFT_OUT = {"__version__"}

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def page(package: Path) -> str:
    """The page in Markdown."""
    found = _definitions(package)
    for name, path in _sources(package).items():
        # Other files may have a function of the same name.
        if not any(isinstance(node, ast.ClassDef) for node in found[name]):
            found[name] = _definitions(path)[name]
    public = _public(package / "__init__.py") | set(SECTIONS["Tests"])
    shown = {name for names in SECTIONS.values() for name in names}
    if public - LEFT_OUT != shown:
        raise ValueError(f"make/docs/api.py lists other names than the package has: {(public - LEFT_OUT) ^ shown}")
    lines = [HEAD]
    shown_in: dict[ast.stmt, str] = {}
    for section, names in SECTIONS.items():
        lines.append(f"\n## {section}\n")
        for name in names:
            lines.extend(_entry(name, found, shown_in))
    return "".join(lines)


def _public(init: Path) -> set[str]:
    for node in ast.parse(init.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return set(ast.literal_eval(node.value))
    raise ValueError(f"{init} has no __all__")


def _sources(package: Path) -> dict[str, Path]:
    """The file that each public name is imported from."""
    sources: dict[str, Path] = {}
    for node in ast.parse((package / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            module = package / node.module.replace(".", "/")
            for path in (module.with_suffix(".pyi"), module.with_suffix(".py"), module / "__init__.py"):
                if path.exists():
                    names = {alias.name for alias in node.names} & _definitions(path).keys()
                    sources.update(dict.fromkeys(names, path))
                    break
    return sources


def _definitions(package: Path) -> dict[str, list[_Definition]]:
    """Every class and function at the top of a file, or of a package's files, by name; those of the stub come first."""
    found: dict[str, list[_Definition]] = {}
    files = [package] if package.is_file() else [*package.rglob("*.py"), *package.rglob("*.pyi")]
    for path in sorted(files, key=lambda path: (path.suffix != ".pyi", str(path))):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, _Definition):
                found.setdefault(node.name, []).append(node)
    return found


def _entry(name: str, found: dict[str, list[_Definition]], shown: dict[ast.stmt, str]) -> Iterator[str]:
    nodes = found[name]
    first = nodes[0]
    documented = next((doc for node in nodes if (doc := ast.get_docstring(node))), "")
    yield f"\n### `{name}`\n\n"
    if not isinstance(first, ast.ClassDef):
        yield _fence(_signature(name, first, is_method=False))
        yield f"\n{_prose(documented)}\n"
        return
    members = _members(name, found)
    maker = members.pop("__init__", members.pop("__new__", None))
    if maker:
        yield _fence(_signature(name, maker, is_method=True)) + "\n"
    yield f"{_prose(documented)}\n"
    elsewhere: dict[str, list[str]] = {}
    for member, (node, doc) in members.items():
        if node in shown:
            elsewhere.setdefault(shown[node], []).append(f"`{member}`")
            continue
        shown[node] = name
        yield f"\n{_member(member, node)}\n"
        if doc:
            yield f": {_prose(doc, indent=4)}\n"
    for other, names in elsewhere.items():
        yield f"\nAs of `{other}`: {', '.join(names)}.\n"


def _members(name: str, found: dict[str, list[_Definition]]) -> dict:
    """The members that a class has for its users, with those of its bases in the package."""
    members: dict = {}
    for node in found.get(name, []):
        if not isinstance(node, ast.ClassDef):
            continue
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                own = child.name
                if own in ("__init__", "__new__"):
                    arguments = [argument.arg for argument in child.args.posonlyargs + child.args.args]
                    if own == "__new__" and child.args.vararg:
                        continue
                    if len(arguments) > 0:
                        members.setdefault(own, child)
                    continue
            elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                own = child.target.id
            else:
                continue
            if own.startswith("_") or _is_setter(child):
                continue
            doc = ast.get_docstring(child) or "" if not isinstance(child, ast.AnnAssign) else ""
            if own not in members or (doc and not members[own][1]):
                members[own] = (child, doc)
        for base in node.bases:
            inner = base.value if isinstance(base, ast.Subscript) else base
            if isinstance(inner, ast.Name) and inner.id in found and inner.id != name:
                for own, member in _members(inner.id, found).items():
                    if own not in ("__init__", "__new__"):
                        members.setdefault(own, member)
    return members


def _is_setter(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(decorator, ast.Attribute) and decorator.attr == "setter" for decorator in decorators)


def _is_property(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in decorators)


def _member(name: str, node: ast.stmt) -> str:
    if isinstance(node, ast.AnnAssign):
        return f"`{name}: {ast.unparse(node.annotation)}`"
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if _is_property(node):
        return f"`{name}`" + (f" → `{ast.unparse(node.returns).strip(chr(39))}`" if node.returns else "")
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    gives = ast.unparse(node.returns).strip("'") if node.returns else "None"
    return f"`{prefix}{_signature(name, node, is_method=True)}`" + (f" → `{gives}`" if _is_told(gives) else "")


def _is_told(kind: str) -> bool:
    """Whether a reader learns something from this type: no type variable, and no decorator's function."""
    return kind not in ("None", "Any") and not kind.startswith("_") and "Callable" not in kind


def _signature(name: str, node: ast.stmt | None, *, is_method: bool) -> str:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{name}()" if node is None else name
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(every) - len(arguments.defaults)) + list(arguments.defaults)
    parts = []
    for argument, default in list(zip(every, defaults, strict=True))[1 if is_method else 0 :]:
        parts.append(_argument(argument, default))
    if arguments.vararg:
        parts.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        parts.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_argument(argument, default))
    if arguments.kwarg:
        parts.append(f"**{arguments.kwarg.arg}")
    return f"{name}({', '.join(parts)})"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = ast.unparse(argument.annotation).strip("'") if argument.annotation else ""
    known = kind and "Any" not in kind and "Callable" not in kind and not kind.startswith("_")
    text = f"{argument.arg}: {kind}" if known else argument.arg
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if known else f"{text}={ast.unparse(default)}"


def _fence(signature: str) -> str:
    if len(signature) > 100:
        head, _, rest = signature.partition("(")
        parts, depth, start = [], 0, 0
        for index, letter in enumerate(rest):
            depth += (letter in "([{") - (letter in ")]}")
            if letter == "," and depth == 0:
                parts.append(rest[start:index].strip())
                start = index + 1
        parts.append(rest[start:].strip().removesuffix(")"))
        signature = f"{head}(\n" + "".join(f"    {part},\n" for part in parts) + ")"
    return f"```py\n{signature}\n```\n"


def _prose(doc: str, indent: int = 0) -> str:
    """A docstring as Markdown, for an entry of a list if it is indented."""
    text = inspect.cleandoc(doc)
    return textwrap.indent(text, " " * indent).lstrip()
