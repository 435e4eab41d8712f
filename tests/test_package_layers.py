"""The sub-packages of `python/outside` import downwards only, in the order of the table in ARCHITECTURE.md, and no files in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "outside"


def layers() -> list[str]:
    """The rows of the table, from the top."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    _, found, table = text.partition("| sub-package |")
    assert found
    rows = table.partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in row.split("|")[1].replace("`", "").replace(" ", "").split(",")]


def layer(module: str) -> str:
    """The part of a module's name that stands in the table: `_dev`, `_server`, or `__init__` for the public names."""
    first = module.partition(".")[0]
    return first if first in layers() else "__init__"


def modules() -> dict[str, Path]:
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, everywhere: bool) -> Iterator[str]:
    """The modules of this package that a file imports, those of functions too if `everywhere`; types alone do not count."""
    depth = len(path.relative_to(PACKAGE).parts)
    base = ".".join(path.relative_to(PACKAGE).parts[:-1])
    pending: list[ast.AST] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= depth, path
            above = "" if node.level == depth else base
            start = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                full = f"{start}.{alias.name}".strip(".")
                yield full if full in modules() or not start else start
        elif everywhere or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str) -> None:
    order = layers()
    here = order.index(layer(module))
    for imported in imports(modules()[module], everywhere=True):
        assert order.index(layer(imported)) >= here, f"{module} imports {imported}, which stands above it"


def test_no_files_import_each_other_in_a_circle() -> None:
    found = {module: set(imports(path, everywhere=False)) & set(modules()) for module, path in modules().items()}
    while leaves := {module for module, named in found.items() if not named & set(found) - {module}}:
        for module in leaves:
            del found[module]
    assert not found, f"a circle goes through {sorted(found)}"


def test_every_sub_package_stands_in_the_table() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(layers())
