"""The site of docs/: it builds strictly, loads nothing from another host, and its made pages are as their sources say.

Zensical itself finds links and anchors that lead nowhere. Images, and the files that the built pages load, are looked at here, in Chromium too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from outside import Folder
from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium
from support.harness import wait_until
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
        # Scripts have addresses of hosts that only features of other sites ask; a page that does name them would show here.
        assert not re.search(r"fonts\.(googleapis|gstatic)|unpkg\.com|jsdelivr|googletagmanager", page.read_text("utf-8")), page
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


@pytest.fixture
def shown(site: Path, serve, tmp_path: Path) -> Iterator[tuple[Tab, str]]:
    """A tab of Chromium, and the address of the site."""
    running = serve({"/": Folder(str(site))})
    address = "http://{}:{}/".format(*running.address)
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        yield Tab(devtools(process), address + "index.html"), address


def go(tab: Tab, address: str, scheme: str = "light") -> None:
    """Loads a page, to its last picture, for a reader whose system has the scheme."""
    tab.call("Page.navigate", url="about:blank")
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.call("Page.navigate", url=address)
    wait_until(lambda: tab.evaluate(f"document.readyState == 'complete' && location.href == '{address}'"), address)


@needs_chromium
def test_pages_fit_a_desktop_and_a_phone_in_both_schemes(shown: tuple[Tab, str], tmp_path: Path):
    tab, address = shown
    for name in ("index", "proof", "reference/python", "reference/configuration", "deploy/limits", "internals/index"):
        for scheme in ("light", "dark"):
            go(tab, f"{address}{name}.html", scheme)
            for kind, width, height in (("phone", 390, 844), ("desktop", 1280, 800)):
                picture = Path(PICTURES or tmp_path) / f"site-{name.replace('/', '-')}-{kind}-{scheme}.png"
                assert len(tab.picture(picture, width, height, scheme)) > 5_000, "an empty page packs to less"
                assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than a {kind}"
        loaded = tab.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded and all(one.startswith(address) for one in loaded), loaded


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_front_page_has_the_chart_of_the_scheme(shown: tuple[Tab, str], scheme: str):
    tab, address = shown
    go(tab, address + "index.html", scheme)
    wait_until(
        lambda: tab.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme], scheme
    )
    there = (
        "[...document.querySelectorAll('img[src*=hello-]')].filter(one => one.offsetParent).map(one => one.naturalWidth > 0)"
    )
    assert tab.evaluate(there) == [True]
    assert tab.evaluate(there.replace("hello-", f"hello-{scheme}")) == [True]
    assert len(tab.texts("pre code")) >= 6


@needs_chromium
def test_the_search_finds_a_page(shown: tuple[Tab, str]):
    tab, address = shown
    go(tab, address + "index.html")
    tab.evaluate("document.querySelector('.md-search__button').click()")
    # The dialog lies in a shadow root.
    root = "[...document.querySelectorAll('div')].map(one => one.shadowRoot).find(root => root?.querySelector('dialog input'))"
    wait_until(lambda: tab.evaluate(f"!!{root}"), "the dialog")
    tab.evaluate(f"{root}.querySelector('input').focus()")
    tab.call("Input.insertText", text="drain_delay")
    wait_until(
        lambda: tab.evaluate(f"!!{root}.querySelector('a[href*=\"processes.html\"]')"), "a result that leads to its page"
    )


@needs_chromium
def test_pages_are_read_without_a_script(shown: tuple[Tab, str]):
    tab, address = shown
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    go(tab, address + "deploy/processes.html")
    assert any('config["processes"]' in text for text in tab.texts("pre"))
    assert "Health" in tab.texts("h2")[3]
    links = tab.evaluate(
        "[...document.querySelectorAll('nav a[href$=\"systemd.html\"]')].filter(one => one.offsetParent).length"
    )
    assert links >= 1, "no navigation without a script"


def test_the_site_names_its_version(site: Path):
    manifest = (ROOT / "Cargo.toml").read_text("utf-8")
    version = re.search(r'^version = "(.*)"$', manifest, re.MULTILINE)[1]
    assert f"outside {version}" in (site / "index.html").read_text("utf-8")


def test_versions_lie_side_by_side(tmp_path: Path):
    sys.path.append(str(ROOT / "make/docs"))
    import versions

    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("a page")
    for name in ("2.0", "2.10", "2.9", "2.9"):
        versions.lay(tmp_path / "site", tmp_path / "out", name)
    listed = json.loads((tmp_path / "out/versions.json").read_text("utf-8"))
    assert [one["version"] for one in listed] == ["2.10", "2.9", "2.0"]
    assert [one["aliases"] for one in listed] == [["latest"], [], []]
    assert '<a href="2.10/index.html">' in (tmp_path / "out/index.html").read_text("utf-8")
    assert versions.version('[workspace.package]\nversion = "2.3.1"\n') == "2.3"


def test_a_long_run_is_recorded_with_its_end():
    sys.path.append(str(ROOT / "make/docs"))
    import proof
    import record

    row = record.record("make soak", "abc1234", 0, ["collected", "=== 41 passed in 613.2s ===", "done"], 613.2)
    assert (row["minutes"], row["result"]) == (10, "passed: 41 passed in 613.2s")
    assert record.record("make soak", "abc1234", 2, ["boom"], 1.0)["result"] == "FAILED (exit status 2)"
    text = proof.page(ROOT)
    for run in proof.RUNS.values():
        assert f"| {run.content} | " in text


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


def test_links_of_the_repository_lead_somewhere():
    """Those of the documents that lie outside the site, to files and their headings."""
    looked = 0
    for page in [*ROOT.glob("*.md"), ROOT / "bench/README.md"]:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if urlsplit(link).scheme:
                continue
            name, _, heading = link.partition("#")
            goal = page.parent / unquote(name) if name else page
            assert goal.exists(), f"{page.name}: {link}"
            if heading and goal.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", goal.read_text("utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
                assert heading in anchors, f"{page.name}: {link}"
            looked += 1
    assert looked > 20


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
