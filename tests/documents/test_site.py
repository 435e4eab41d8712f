"""The site of docs/: it builds strictly, loads nothing from another host, and its made pages are as their sources say.

Zensical itself finds links and anchors that lead nowhere. Images, and what the built pages load, are looked at here.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.subprocesses import run_process

ROOT = next(folder for folder in Path(__file__).parents if (folder / "zensical.toml").exists())
DOCS = ROOT / "docs"
# Rows of the threat table, as the code cites them: `docs/security.md S16 to S21`, `docs/security.md S7, S8`.
CITATION = re.compile(r"docs/security\.md((?:,? (?:to |and )?[SD]\d+)+)")


class Resources(HTMLParser):
    """Everything that a page loads or links to: `(tag, attribute, value)`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "srcset", "data", "poster", "action") and value:
                self.found.append((tag, value))
            elif name == "id" and value:
                self.ids.add(value)


def read(page: Path) -> Resources:
    resources = Resources()
    resources.feed(page.read_text("utf-8"))
    return resources


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, made from copies so that nothing in the tree changes."""
    project = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, project / "docs")
    shutil.copy(ROOT / "zensical.toml", project)
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict"]
    built = run_process(command, cwd=project, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, timeout=60)
    assert built.returncode == 0, built.stdout + built.stderr
    return project / "target/site"


def test_every_page_is_in_the_navigation_and_is_built(site: Path):
    navigation = (ROOT / "zensical.toml").read_text("utf-8")
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert f'"{name}"' in navigation, name
        assert (site / name).with_suffix(".html").exists(), name


def test_pages_load_nothing_from_another_host(site: Path):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = [(tag, value) for tag, value in read(page).found if tag != "a"]
        assert loaded
        foreign = [(tag, value) for tag, value in loaded if urlsplit(value).netloc]
        assert not foreign, page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", style.read_text("utf-8")), style


def test_every_link_and_image_leads_somewhere(site: Path):
    pages = {page: read(page) for page in site.rglob("*.html")}
    for page, resources in pages.items():
        if page.name == "404.html":  # its links count from wherever it is shown
            continue
        for tag, value in resources.found:
            parts = urlsplit(value)
            if parts.scheme or parts.netloc:
                continue
            goal = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            goal = goal / "index.html" if goal.is_dir() else goal
            assert goal.exists(), f"{page.relative_to(site)}: <{tag}> {value}"
            if parts.fragment and tag == "a" and goal in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[goal].ids, f"{page.relative_to(site)}: {value}"


def test_made_pages_and_diagrams_are_as_their_sources_say():
    made = run_process([sys.executable, ROOT / "make/docs/pages.py", "--check"], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr


def test_every_cited_row_of_the_threat_table_is_there():
    rows = set(re.findall(r"^\| ([SD]\d+) \|", (DOCS / "security.md").read_text("utf-8"), re.MULTILINE))
    assert {f"S{number}" for number in range(1, 47)} <= rows
    cited = 0
    for folder in ("crates", "python", "tests", "soak"):
        for path in [*(ROOT / folder).rglob("*.rs"), *(ROOT / folder).rglob("*.py")]:
            for citation in CITATION.findall(path.read_text("utf-8", errors="replace")):
                cited += 1
                assert set(re.findall(r"[SD]\d+", citation)) <= rows, path
    assert cited > 30


def test_every_test_that_a_page_names_is_there():
    there = {path.name for folder in ("tests", "soak") for path in (ROOT / folder).rglob("test_*.py")}
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        named = set(re.findall(r"\btest_\w+\.py\b", page.read_text("utf-8")))
        assert named <= there, page


def test_the_glossary_is_short():
    """Somebody who knows HTTP servers can keep it in mind."""
    page = (DOCS / "internals/index.md").read_text("utf-8")
    words = re.findall(r"^\| (?!word|-)([\w ]+) \|", page, re.MULTILINE)
    assert 10 < len(words) <= 25


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
