"""The page of the configuration, made from the table of keys in crates/outside/src/config/keys.rs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

HEAD = """# Configuration

`server.config` is a dictionary, changed before `run()`. An unknown key or a wrong type is refused at `run()`, in one message
that names each of them and the nearest right name. [The guide](../guide/logging.md#configuration) has an example.

`outside run` also takes every key from the environment: `OUTSIDE_` and the name in capitals
(`OUTSIDE_MAX_BODY_SIZE_MB=64`; lists with commas). A program that calls `run()` itself reads no environment.

Sizes in `_mb` are MiB, times are seconds.
"""

# Each section begins with this key; the table in the code has this order.
SECTIONS = {
    "host": "Listening",
    "max_workers": "Handlers",
    "processes": "Processes",
    "recv_size": "Connections",
    "max_body_size_mb": "Bodies of requests",
    "cors": "Answers",
    "allowed_hosts": "Hosts and proxies",
    "ssl_enabled": "HTTPS",
    "big_definition_mb": "Hooks and the log",
    "header_timeout": "Slow clients",
    "max_request_line": "Heads of requests, and HTTP/2",
    "max_connections": "Numbers of connections",
    "debug": "While you work",
}


class Key(NamedTuple):
    """One row of the table."""

    name: str
    default: str
    allowed: str
    meaning: str


def read(source: str) -> list[Key]:
    """The rows of the table, in their order."""
    constants = dict(re.findall(r'^const (\w+): &str = ("(?:[^"\\]|\\.)*");', source, re.MULTILINE))
    text = r'"(?:[^"\\]|\\.)*"'
    row = re.compile(
        rf'\bname: "(\w+)",\s+meaning: ({text}),\s+default: (.*?),\s+allowed: ({text}|[A-Z_]+),\s+apply:', re.DOTALL
    )
    rows = [
        Key(name, _python(default), _text(constants.get(allowed, allowed)), _text(meaning))
        for name, meaning, default, allowed in row.findall(source)
    ]
    if len(rows) != source.count("    Key {\n"):
        raise ValueError(f"{source.count('    Key {' + chr(10))} keys, {len(rows)} of them understood")
    return rows


def _text(literal: str) -> str:
    """The text of a literal of Rust; a backslash at the end of a line swallows the white space behind it."""
    joined = re.sub(r"\\\n\s*", "", literal)
    return str(ast.literal_eval(joined))


def _python(value: str) -> str:
    """A default as Python writes it."""
    kind, _, inner = value.removeprefix("Value::").partition("(")
    inner = inner.removesuffix(")")
    if kind == "None":
        return "None"
    if kind == "Bool":
        return inner.capitalize()
    if kind == "Integer":
        return inner.replace("_", "")
    return inner.removeprefix("&")


def page(root: Path) -> str:
    """The page in Markdown."""
    rows = read((root / "crates/outside/src/config/keys.rs").read_text("utf-8"))
    unknown = SECTIONS.keys() - {key.name for key in rows}
    if unknown:
        raise ValueError(f"make/docs/keys.py begins sections with keys that are not there: {unknown}")
    lines = [HEAD]
    for key in rows:
        if key.name in SECTIONS:
            lines.append(f"\n## {SECTIONS[key.name]}\n\n| key | default | meaning |\n|---|---|---|\n")
        default = "the constructor's" if key.name == "host" else f"`{key.default}`"
        allowed = key.allowed.replace("|", "\\|")
        meaning = key.meaning.replace("|", "\\|")
        lines.append(f"| `{key.name}` | {default} | {meaning} <br>*Allowed:* {allowed} |\n")
    return "".join(lines)
