"""The server that a command line means: `module:attribute` or `path/to/file.py:attribute`, found and imported."""

from __future__ import annotations

import ast
import difflib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .._debug.page import without_ours
from .._hosting.find import NATIVE, NotHosted, interface_of, is_hostable, is_instance_to_host
from .._outside import OutsideHTTP, OutsideHTTP_Redirect

# Exit statuses, as in crates/outside-cli.
USAGE = 2
NOT_STARTED = 3

_SERVERS = (OutsideHTTP, OutsideHTTP_Redirect)
# Names under which programs have their application, and functions that make it.
_USUAL_NAMES = ("app", "application", "api", "server")
_USUAL_FACTORIES = ("create_app", "make_app")
_USUAL_FILES = ("main.py", "app.py", "api.py", "wsgi.py", "app/main.py", "app/app.py", "app/api.py")


class Fault(Exception):
    """Why there is no server: the exit status and a sentence for the terminal."""

    def __init__(self, status: int, text: str, cause: BaseException | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.cause = cause


@dataclass(frozen=True)
class Found:
    """A server, or an application that is to be hosted."""

    app: Any
    interface: str
    # As it is named on the command line.
    name: str


def find(target: str, interface: str | None = None, factory: bool = False) -> Found:
    """Imports the program and gives its server or application.

    `interface` is that of the application, if it is not to be found out; `factory`: the name is that of a function that makes
    it. Raises a `Fault`; its `cause` is the exception of the program itself.
    """
    place, colon, attribute = target.partition(":")
    if target.count(":") > 1 or not place:
        raise Fault(USAGE, f"a server is named as module:name or path/to/file.py:name, not {target!r}")
    module = _imported(place)
    if not colon:
        attribute = _likeliest(module, place)
    if factory and not attribute.endswith(")"):
        attribute += "()"
    found, found_interface = _server_of(module, attribute, place, interface)
    return Found(found, found_interface, f"{place}:{attribute}")


def here() -> str:
    """The program in this folder, where the command line names none: of `pyproject.toml`, of Django, or by the usual names of
    files."""
    own = _tool("outside", "app") or _tool("fastapi", "entrypoint")
    if own is not None:
        return own
    if (django := _django()) is not None:
        return django
    for name in _USUAL_FILES:
        if Path(name).is_file():
            return name
    if target := os.environ.get("FLASK_APP"):
        return target
    raise Fault(
        NOT_STARTED,
        "there is no program here: neither [tool.outside] app in pyproject.toml, nor a manage.py, nor one of "
        + ", ".join(_USUAL_FILES),
    )


def _tool(tool: str, key: str) -> str | None:
    """A setting of a tool in `pyproject.toml`."""
    file = Path("pyproject.toml")
    if not file.is_file():
        return None
    try:
        import tomllib
    except ImportError:  # Python 3.10
        return None
    try:
        found = tomllib.loads(file.read_text()).get("tool", {}).get(tool, {}).get(key)
    except (OSError, ValueError) as error:
        raise Fault(NOT_STARTED, f"pyproject.toml cannot be read: {error}") from None
    return found if isinstance(found, str) else None


def _django() -> str | None:
    """The WSGI application of the Django project here: as its settings name it, else that of the settings' package."""
    settings = os.environ.get("DJANGO_SETTINGS_MODULE")
    manage = Path("manage.py")
    if settings is None and manage.is_file():
        named = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)", manage.read_text())
        settings = named.group(1) if named else None
    if settings is None:
        return None
    _put_first(os.getcwd())
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    try:
        named_app = getattr(importlib.import_module(settings), "WSGI_APPLICATION", None)
    except Exception as error:
        raise Fault(NOT_STARTED, f"{settings} cannot be imported", error) from error
    if isinstance(named_app, str):
        module, _, attribute = named_app.rpartition(".")
        return f"{module}:{attribute}"
    return f"{settings.rpartition('.')[0]}.wsgi:application"


def _imported(place: str) -> ModuleType:
    # The words of the command line are for the command: the program sees its own name alone, as if Python had been given its
    # file or module.
    sys.argv[:] = [place]
    if place.endswith(".py") or os.sep in place:
        name = _module_of_file(place)
    else:
        name = place
        # As `python -m` does.
        _put_first(os.getcwd())
        if not all(part.isidentifier() for part in name.split(".")):
            raise Fault(USAGE, f"{name!r} is no name of a module; a file is named as path/to/file.py:server")
    try:
        with _running_later():
            if name == place and (found := importlib.util.find_spec(name)) and found.origin:
                sys.argv[:] = [found.origin]
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Its own name, or a package above it; the modules that it imports itself are another matter.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Fault(NOT_STARTED, f"there is no module {name!r} here{_nearest(name, _modules_here())}") from None
        raise Fault(NOT_STARTED, f"{place} cannot be imported", error) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Fault(NOT_STARTED, f"{place} cannot be imported", error) from error


def _module_of_file(place: str) -> str:
    """The module that this file is, with the folder where its outermost package lies on the path."""
    file = Path(place).resolve()
    if file.suffix != ".py" and not file.is_dir() and file.with_suffix(".py").is_file():
        file = file.with_suffix(".py")
    if file.is_dir():
        file /= "__init__.py"
    if not file.is_file():
        here = (str(other.relative_to(Path.cwd())) for other in _python_files(Path.cwd()))
        raise Fault(NOT_STARTED, f"there is no file {place}{_nearest(place, here)}")
    parts = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        folder = folder.parent
    _put_first(str(folder))
    return ".".join(reversed(parts))


def _put_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


class Sought(importlib.abc.MetaPathFinder):
    """The modules that were looked for and not found anywhere, with the folders that were searched: it is asked last."""

    def __init__(self) -> None:
        self.names: list[tuple[str, list[str]]] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        self.names.append((name, [str(folder) for folder in (sys.path if path is None else path)]))

    def __enter__(self) -> Sought:
        sys.meta_path.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def places(self) -> set[str]:
        """Where files would be if the modules came into being."""
        endings = [*importlib.machinery.all_suffixes(), "", *(f"/__init__{end}" for end in importlib.machinery.all_suffixes())]
        return {
            os.path.abspath(os.path.join(folder, name.rpartition(".")[2] + ending))
            for name, folders in self.names
            for folder in folders
            for ending in endings
        }


@contextmanager
def _running_later() -> Iterator[None]:
    """While a program is imported, its own `run()` does nothing: the command runs the server."""
    import outside

    def run(self: Any) -> None:
        print(
            'outside: run() was called while the program was imported, and did nothing; it belongs under `if __name__ == "__main__":`',
            file=sys.stderr,
        )

    classes: set[Any] = {outside.OutsideHTTP, *_SERVERS}
    before = {each: each.__dict__.get("run") for each in classes}
    for each in classes:
        each.run = run
    try:
        yield
    finally:
        for each, own in before.items():
            if own is None:
                del each.run
            else:
                each.run = own


def _server_of(module: ModuleType, attribute: str, place: str, interface: str | None) -> tuple[Any, str]:
    name, call, arguments = attribute.partition("(")
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            near = _nearest(
                part, (other for other in vars(found) if not other.startswith("_")) if hasattr(found, "__dict__") else ()
            )
            raise Fault(NOT_STARTED, f"{place} has no {name!r}{near or _those_there(module)}")
        found = getattr(found, part)
    if call:
        found = _made(found, call + arguments, place, attribute)
    if isinstance(found, _SERVERS):
        return found, NATIVE
    try:
        found_interface = interface_of(found)
    except NotHosted as error:
        hint = f"; if it makes the server, name it as {place}:{name}()" if inspect.isfunction(found) and not call else ""
        there = _those_there(module) or hint
        raise Fault(NOT_STARTED, f"{place}:{attribute} is no server but {_kind(found)}{there}; {error}") from None
    return found, interface or found_interface


def _made(function: Any, call: str, place: str, attribute: str) -> Any:
    """The return value of a function of the program: `app:make_server()`, `app:make_server("test")`."""
    try:
        tree = ast.parse(f"f{call}", mode="eval").body
        assert isinstance(tree, ast.Call)
        arguments = [ast.literal_eval(argument) for argument in tree.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords if keyword.arg}
    except (SyntaxError, ValueError, AssertionError):
        raise Fault(USAGE, f"{attribute!r} is no name and no call with plain values, such as make_server()") from None
    try:
        with _running_later():
            return function(*arguments, **named)
    except Exception as error:
        raise Fault(NOT_STARTED, f"{place}:{attribute} has failed", error) from error


def _likeliest(module: ModuleType, place: str) -> str:
    """The name of the server, or of the application, where none was typed."""
    names = _servers_in(module)
    if len(names) > 1:
        raise Fault(USAGE, f"{place} has several servers; which one? " + ", ".join(f"{place}:{name}" for name in names))
    if names:
        return names[0]
    for name in _USUAL_NAMES:
        if is_hostable(getattr(module, name, None)):
            return name
    hostable = [name for name, value in vars(module).items() if not name.startswith("_") and is_instance_to_host(value)]
    if len(hostable) == 1:
        return hostable[0]
    if len(hostable) > 1:
        raise Fault(USAGE, f"{place} has several applications; which one? " + ", ".join(f"{place}:{name}" for name in hostable))
    for name in _USUAL_FACTORIES:
        if callable(getattr(module, name, None)):
            return f"{name}()"
    raise Fault(
        NOT_STARTED,
        f"{place} has no server: no name in it is an OutsideHTTP(...), nor an application that is called {', '.join(_USUAL_NAMES)}",
    )


def _servers_in(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, _SERVERS)]


def _those_there(module: ModuleType) -> str:
    names = _servers_in(module)
    return f"; its servers: {', '.join(names)}" if names else ""


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _modules_here() -> Iterator[str]:
    for file in _python_files(Path.cwd()):
        parts = list(file.relative_to(Path.cwd()).with_suffix("").parts)
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _python_files(folder: Path) -> Iterator[Path]:
    """Those of this folder and of the folders in it, but not without end."""
    yield from sorted(folder.glob("*.py"))
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.name.startswith((".", "_")) and below.name not in ("node_modules", "venv", "target"):
            yield from sorted(below.glob("*.py"))


def tell(fault: Fault) -> None:
    """Prints a fault on standard error: the program's own traceback first."""
    if fault.cause is not None:
        traceback.print_exception(without_ours(fault.cause))
    print(f"outside: {fault}", file=sys.stderr)
