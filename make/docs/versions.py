"""`make site-versions OUT=folder`: lays target/site into the folder, as the version that it documents, beside the versions that are there.

The folder has one folder for each version (2.0, 2.1, …), `versions.json`, from which the pages fill their list of versions, and an
`index.html` that leads to the newest one, by a link where the browser does not follow by itself.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>outside</title>
<meta http-equiv="refresh" content="0; url={version}/index.html">
<p><a href="{version}/index.html">outside {version}</a></p>
</html>
"""


def main() -> int:
    """Copies the site; returns the exit status."""
    if len(sys.argv) != 2 or not sys.argv[1]:
        print("make site-versions OUT=folder: the folder in which the versions of the site lie side by side", file=sys.stderr)
        return 2
    lay(ROOT / "target/site", Path(sys.argv[1]), version((ROOT / "Cargo.toml").read_text("utf-8")))
    return 0


def version(manifest: str) -> str:
    """Major and minor version: fixes do not change the documents of a version."""
    found = re.search(r'^version = "(\d+\.\d+)\.\d+[^"]*"$', manifest, re.MULTILINE)
    if not found:
        raise ValueError("Cargo.toml has no version")
    return found[1]


def lay(site: Path, out: Path, name: str) -> None:
    """Puts a site into the folder under its name; the one of the same name that was there is replaced."""
    shutil.rmtree(out / name, ignore_errors=True)
    shutil.copytree(site, out / name)
    there = [path.name for path in out.iterdir() if re.fullmatch(r"\d+\.\d+", path.name)]
    there.sort(key=lambda name: [int(part) for part in name.split(".")], reverse=True)
    listed = [{"version": one, "title": one, "aliases": ["latest"] if one == there[0] else []} for one in there]
    (out / "versions.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    (out / "index.html").write_text(INDEX.format(version=there[0]), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
