"""The page of the long runs, made from bench/results/runs.json, which `make record RUN=…` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

RECORDS = Path("bench/results/runs.json")

HEAD = """# Long runs

Runs that are too long for `make test` are made before a release, and by hand. Each row is the last run that was recorded: `make record RUN=soak` runs
one and writes its row, and a run that fails is recorded as well. How fast the server is beside others:
`bench/RESULTS.md` in the repository has the figures, with date, commit and machine.

| run | content | last | result |
|---|---|---|---|
"""


class Run(NamedTuple):
    """A run that takes minutes or hours."""

    command: str
    content: str


RUNS = {
    "soak": Run(
        "make soak", "10,000 connections, 1 GiB each way, 100 reloads under load, attacks, clients at the default deadlines"
    ),
    "storm": Run(
        "make storm", "a million requests with sleeps, errors, time-outs and vanished clients: none lost, doubled or crossed"
    ),
    "model": Run("make model", "the executor under a checker, 50,000 schedules for each trial"),
    "certificates": Run("make certificates", "100 new certificates during 10,000 handshakes"),
    "conformance": Run("make conformance", "the Autobahn TestSuite against the echo servers in Rust and Python"),
    "testssl": Run("make testssl", "testssl.sh: no finding above LOW"),
    "fuzz": Run("make fuzz FUZZ_SECONDS=300 FUZZ_JOBS=2", "each fuzz target for five minutes, two at a time"),
    "hosting-all": Run("make hosting-all", "Streamlit, Gradio, Dash and MCP as hosted applications"),
    "install-check": Run(
        "make wheel install-check", "the wheels in an empty environment of each CPython, the quick start served"
    ),
    "crate": Run("make crate", "the crate built from the files that the index of crates gets"),
    "bench": Run("make bench", "the comparison with the peers"),
}


def page(root: Path) -> str:
    """The page in Markdown."""
    recorded = json.loads((root / RECORDS).read_text("utf-8"))
    if unknown := recorded.keys() - RUNS.keys():
        raise ValueError(f"{RECORDS} has runs that make/docs/proof.py does not know: {unknown}")
    return HEAD + "".join(_row(run, recorded.get(name)) for name, run in RUNS.items())


def _row(run: Run, record: dict | None) -> str:
    if record is None:
        return f"| `{run.command}` | {run.content} | | not yet run |\n"
    result = record["result"].replace("|", "\\|")
    last = f"{record['date']}, {record['commit']}, {record['minutes']} min"
    return f"| `{record['command']}` | {run.content} | {last} | {result} |\n"
