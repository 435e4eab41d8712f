"""Every figure that was measured and that a document tells is in bench/results, with the commit and the day if they are known.

`latest.json` has the figures of the last `make bench`, `measured.json` those of other commands: a row for each row of a table with a column
"measured", and the figures of speed in running text. `runs.json` has the long runs (docs/proof.md is made from it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import ROOT

RESULTS = ROOT / "bench/results"
LATEST = json.loads((RESULTS / "latest.json").read_text("utf-8"))
MEASURED = json.loads((RESULTS / "measured.json").read_text("utf-8"))
# docs/reference is made from sources.
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in path.parts)]
# A rate, or a ratio to another server: figures that grow old.
SPEED = re.compile(
    r"(?<![\w.])(\d[\d,.]*(?:–\d[\d,.]*)?) ?(k?)\s+(?:thousand )?(?:requests|messages|answers)(?:/s|\s+per\s+(?:CPU-)?second)"
    r"|(?<![\w.])(\d[\d,.]*) ?(k?)/s\b|(?<![\w.])(\d[\d,.]*) ?()×"
)


def tables(page: Path) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The head and the rows of each table."""
    lines = page.read_text("utf-8").splitlines()
    cells = lambda line: [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for number, line in enumerate(lines):
        if re.match(r"^\|[-:| ]+\|$", line) and number and lines[number - 1].startswith("|"):
            rows = []
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            yield cells(lines[number - 1]), rows


def measured_rows() -> list[tuple[str, str, str, str]]:
    """Page, event, figure, and the command that repeats it."""
    return [
        (page.relative_to(ROOT).as_posix(), row[0], row[head.index("measured")], row[-1])
        for page in PAGES
        for head, rows in tables(page)
        if "measured" in head
        for row in rows
    ]


def test_there_are_rows_to_look_at():
    assert len(measured_rows()) > 30


@pytest.mark.parametrize(("page", "event", "measured", "command"), measured_rows(), ids=lambda text: text[:40])
def test_a_measured_row_is_recorded(page: str, event: str, measured: str, command: str):
    recorded = [row for row in MEASURED["rows"] if (row["page"], row["event"]) == (page, event)]
    assert recorded, f"bench/results/measured.json has no row for {event!r}"
    assert (recorded[0]["measured"], recorded[0]["command"]) == (measured, command)


def test_no_recorded_row_is_left_over():
    told = {(page, event) for page, event, *_ in measured_rows()}
    assert {(row["page"], row["event"]) for row in MEASURED["rows"]} == told
    for row in MEASURED["rows"]:
        assert {"commit", "date"} <= row.keys(), row["event"]


def test_commands_of_measured_rows_exist():
    targets = set()
    for path in [ROOT / "Makefile", *(ROOT / name for name in ("bench", "soak", "fuzz", "make/delivery", "crates/outside"))]:
        for file in [path] if path.is_file() else path.glob("*.mk"):
            targets |= set(re.findall(r"^([a-z-]+):", file.read_text("utf-8"), re.MULTILINE))
    for _, event, _, command in measured_rows():
        asked = re.search(r"make ([a-z-]+)", command)
        assert (asked and asked[1] in targets) or "cargo test" in command, f"{event}: {command}"


def spoken() -> list[tuple[str, str]]:
    """Page and figure of each speed in running text and tables."""
    found = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for match in SPEED.finditer(text):
            number, thousands = next((match[group], match[group + 1]) for group in (1, 3, 5) if match[group])
            found.append((page.relative_to(ROOT).as_posix(), f"{number}{' k' if thousands else ''}"))
    return found


def latest_figures() -> Iterator[float]:
    """All numbers of the last whole bench."""
    pending = [LATEST["summaries"]]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield float(value)


def test_every_speed_in_the_documents_was_measured():
    """As it is told: a figure of the bench rounded to its digits, or one that is recorded for the page."""
    figures = list(latest_figures())
    told = {(row["page"], figure) for row in MEASURED["told"] for figure in row["figures"]}
    in_rows = {
        (page, figure)
        for page, figure in spoken()
        for row in MEASURED["rows"]
        if row["page"] == page and figure in row["measured"]
    }
    for page, figure in spoken():
        if (page, figure) in told | in_rows:
            continue
        digits = figure.removesuffix(" k").replace(",", "")
        scale = 1000.0 if figure.endswith(" k") else 1.0
        places = len(digits.partition(".")[2])
        assert any(f"{value / scale:.{places}f}" == digits for value in figures), f"{page}: {figure} is in no result"


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.svg")))
def test_a_chart_shows_the_last_bench(name: str):
    """The figure beside each bar."""
    drawn = (RESULTS / f"{name}.svg").read_text("utf-8")
    rows = LATEST["summaries"][name]["rows"]
    shown = set(re.findall(r">([\d.]+(?: [kM])?)</text>", drawn))
    for key, row in rows.items():
        rate = row["requests_per_cpu_second"]
        forms = {
            f"{rate:.0f}",
            f"{rate:.1f}",
            f"{rate / 1e3:.0f} k",
            f"{rate / 1e3:.1f} k",
            f"{rate / 1e6:.1f} M",
            f"{rate / 1e6:.2f} M",
        }
        assert forms & shown, f"{name}: {key} has {rate:.0f}, the chart shows {sorted(shown)}"
