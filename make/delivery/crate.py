"""`make crate`: the engine as the index of crates gets it, named `outside-framework`, since another project's `outside` is there.

Cargo packages the crate as it is; the manifest of that package gets the other name, and the library keeps its own. The result, in
target/crate, is built from its files alone, as the registry's users and docs.rs build it. `cargo publish` is run there.

    python make/delivery/crate.py            packages, and builds the package
    python make/delivery/crate.py --list     names its files, and builds nothing
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = ROOT / "target/crate"
NAME = "outside-framework"
# A package that this project did not mean to publish is larger.
MOST_BYTES = 2_000_000


def main() -> int:
    """Makes the folder, then lists or builds the package; returns the exit status."""
    only_list = "--list" in sys.argv[1:]
    write(offline=only_list)
    if only_list:
        print("\n".join(sorted(str(path.relative_to(MADE)) for path in MADE.rglob("*") if path.is_file())))
        return 0
    # The target folder is shared, so that crates are not built again for each package.
    built = ["cargo", "package", "--allow-dirty", "--target-dir", str(ROOT / "target/packaged")]
    ended = subprocess.run(built, cwd=MADE, capture_output=True, text=True)
    if ended.returncode != 0 or "warning:" in ended.stderr:
        print(ended.stderr, file=sys.stderr)
        return 1
    size = max(path.stat().st_size for path in (ROOT / "target/packaged/package").glob("*.crate"))
    print(f"crate    {NAME}, {size / 1e6:.1f} MB packed, built from its own files")
    return 0 if size <= MOST_BYTES else 1


def write(offline: bool) -> None:
    """Writes the package's files to target/crate."""
    target = ROOT / "target/packaged"
    package = [
        "cargo",
        "package",
        "--quiet",
        "--allow-dirty",
        "--no-verify",
        "--package",
        "outside",
        "--target-dir",
        str(target),
    ]
    subprocess.run([*package, *(["--offline"] if offline else [])], check=True, cwd=ROOT)
    archive = max((target / "package").glob("outside-[0-9]*.crate"), key=os.path.getmtime)
    shutil.rmtree(MADE, ignore_errors=True)
    with tarfile.open(archive) as files:
        home = files.getnames()[0].partition("/")[0]
        for member in files.getmembers():
            member.name = member.name.removeprefix(f"{home}/")
            # Cargo writes these two anew; the lock file has the old name.
            if member.name not in ("Cargo.toml.orig", ".cargo_vcs_info.json", "Cargo.lock"):
                files.extract(member, MADE, filter="data")
    manifest = MADE / "Cargo.toml"
    text, renamed = re.subn(r'^name = "outside"$', f'name = "{NAME}"', manifest.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert renamed == 1 and re.search(r'^\[lib\]\nname = "outside"$', text, re.MULTILINE), (
        "cargo writes its manifests differently"
    )
    # It lies within this workspace, and is none of its members.
    manifest.write_text(text + "\n[workspace]\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
