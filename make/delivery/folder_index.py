"""A package index in a folder, as PEP 503 has it: pip reads it as it reads the public one, `Requires-Python` included."""

from __future__ import annotations

import html
import re
import zipfile
from email.parser import Parser
from pathlib import Path


def write(folder: Path, wheels: list[Path], sources: list[Path] | None = None) -> str:
    """Writes the pages of these wheels, and of source distributions of theirs; returns the address for `--index-url`."""
    pages: dict[str, list[str]] = {}
    for wheel in wheels:
        known = metadata(wheel)
        project = re.sub(r"[-_.]+", "-", known["Name"]).lower()
        needs = html.escape(known["Requires-Python"], quote=True)
        line = f'<a href="{wheel.resolve().as_uri()}" data-requires-python="{needs}">{wheel.name}</a><br>'
        pages.setdefault(project, []).append(line)
        for source in sources or []:
            if re.sub(r"[-_.]+", "-", source.name).lower().startswith(project + "-"):
                pages[project].append(
                    f'<a href="{source.resolve().as_uri()}" data-requires-python="{needs}">{source.name}</a><br>'
                )
    for project, lines in pages.items():
        page = folder / "simple" / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!doctype html>\n" + "\n".join(lines) + "\n", "utf-8")
    return (folder / "simple").resolve().as_uri()


def metadata(wheel: Path) -> dict[str, str]:
    """The fields of a wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return dict(Parser().parsestr(archive.read(name).decode("utf-8")).items())
