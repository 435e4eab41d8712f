"""`make record RUN=soak`: runs one of the long runs, and records its end in bench/results/runs.json for the page docs/proof.md.

    make record RUN=soak
    make record RUN=fuzz COMMAND="make fuzz FUZZ_SECONDS=60"      the command that is run and recorded in its place

The result is the exit status, and the last line of the output that counts something, such as `812 passed in 613.20s`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pages
import proof

ROOT = Path(__file__).resolve().parents[2]
COUNTS = re.compile(r"\b\d[\d,.]* (passed|failed|schedules|requests|handshakes|cases|findings|runs|skipped)\b|test result:")
MOST_CHARACTERS = 160


def main() -> int:
    """Runs, records, makes the page again; returns the exit status of the run."""
    parser = argparse.ArgumentParser(prog="make record", description=__doc__.partition("\n")[0])
    parser.add_argument("run", choices=proof.RUNS, metavar="RUN", help=", ".join(proof.RUNS))
    parser.add_argument("--command", help="another command than that of the page")
    given = parser.parse_args()
    command = given.command or proof.RUNS[given.run].command
    began, tried, lines = time.monotonic(), commit(), []
    process = subprocess.Popen(
        command,
        shell=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # progress, line by line
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.strip())
    status = process.wait()
    # What was built may be of the beginning, and what was read later of the end.
    tried = tried if commit() == tried else f"{tried}, changed meanwhile"
    write(given.run, record(command, tried, status, lines, time.monotonic() - began))
    sys.argv = sys.argv[:1]
    pages.main()
    return status


def record(command: str, tried: str, status: int, lines: list[str], seconds: float) -> dict[str, str | int]:
    """The row of a run that has ended."""
    counted = next((line for line in reversed(lines) if COUNTS.search(line)), "")
    said = re.sub(r"=+ ?", "", counted).strip()[:MOST_CHARACTERS]
    verdict = "passed" if status == 0 else f"FAILED (exit status {status})"
    today = datetime.datetime.now(datetime.timezone.utc).date()
    return {
        "command": command,
        "commit": tried,
        "date": today.isoformat(),
        "minutes": max(1, round(seconds / 60)),
        "result": f"{verdict}: {said}" if said else verdict,
    }


def commit() -> str:
    """The commit of the working tree, and whether it was changed."""
    ask = lambda *words: subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    changed = ask("status", "--porcelain", "--untracked-files=no")
    return ask("rev-parse", "--short=7", "HEAD") + (" with changed files" if changed else "")


def write(name: str, row: dict[str, str | int]) -> None:
    """Puts the row into the file, in the order of the page."""
    path = ROOT / proof.RECORDS
    rows = json.loads(path.read_text("utf-8")) | {name: row}
    ordered = {name: rows[name] for name in proof.RUNS if name in rows}
    path.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
