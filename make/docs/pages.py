"""Writes the pages of docs/reference that are made from sources, so that no page repeats by hand what the code says.

The page of the configuration is made from the table of keys, that of the command from its help text, that of Python from the
stub and the package, that of the long runs from their records; the diagrams of docs/internals from their text sources, the chart of the
front page from that of the bench, once for each of the site's two schemes. `--check` writes nothing and fails if a file is
not as it would be written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import api
import diagram
import keys
import proof

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

MADE = "<!-- Made by `make docs-pages` from {source}; do not edit. -->\n\n"

COMMAND = """# The command

`outside --help` prints this. [The guide](../guide/command.md) has examples.

```text
{text}```
"""


def files() -> dict[Path, str]:
    """Every file that is made, with its text."""
    help_text = (ROOT / "crates/outside-cli/src/help.txt").read_text("utf-8")
    made = {
        DOCS / "reference/configuration.md": MADE.format(source="crates/outside/src/config/keys.rs") + keys.page(ROOT),
        DOCS / "reference/command.md": MADE.format(source="crates/outside-cli/src/help.txt") + COMMAND.format(text=help_text),
        DOCS / "proof.md": MADE.format(source="bench/results/runs.json") + proof.page(ROOT),
        DOCS / "reference/python.md": MADE.format(source="python/outside") + api.page(ROOT / "python/outside"),
    }
    chart = (ROOT / "bench/results/hello.svg").read_text("utf-8")
    for scheme in ("light", "dark"):
        made[DOCS / f"assets/hello-{scheme}.svg"] = in_scheme(chart, scheme)
    for source in sorted((DOCS / "internals/diagrams").glob("*.txt")):
        made[source.with_suffix(".svg")] = diagram.render(source.read_text("utf-8"))
    return made


def in_scheme(chart: str, scheme: str) -> str:
    """A chart that follows the reader's system, as it looks in one scheme: the site has a switch of its own."""
    rules = re.compile(r"^@media \(prefers-color-scheme: dark\) \{\n(.*?)^\}\n", re.MULTILINE | re.DOTALL)
    if not rules.search(chart):
        raise ValueError("bench/results/hello.svg has no rules for dark readers")
    return rules.sub(r"\1" if scheme == "dark" else "", chart)


def main() -> int:
    """Writes the files, or compares them; returns the exit status."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is older than its source: run `make docs-pages`", file=sys.stderr)
        return 1 if stale else 0
    made = files()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], "utf-8")
        print("wrote   ", path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
