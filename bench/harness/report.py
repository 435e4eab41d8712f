"""Results on paper: `results/latest.json`, `RESULTS.md`, one SVG per workload.

The JSON file holds every turn; the page holds medians and paired ratios, and the conditions under which they were made.
"""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import subprocess
from pathlib import Path

from . import chart, install, paths, ratios
from .measure import DISTURBED, Plan
from .peers import PEERS, Peer
from .workloads import Workload

RATIO_KEYS = ("requests_per_cpu_second", "requests_per_second", "p50_ms", "p99_ms", "memory_kib")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def conditions(plan: Plan, rounds: int) -> dict:
    """Where and when these results were made, and the versions."""
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed_files": len([line for line in _git("status", "--porcelain").splitlines() if " bench/" not in line]),
        "cpu": model[0] if model else platform.processor(),
        "cores": len(model),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rustc": subprocess.run(["rustc", "--version"], cwd=paths.BENCH, capture_output=True, text=True).stdout.strip(),
        "rounds": rounds,
        "warmup_seconds": plan.warmup,
        "measured_seconds": plan.seconds,
    }


def versions() -> dict[str, str]:
    crates = install.crate_versions()
    packages = {python: install.installed_versions(python) for python in (paths.PEERS_PYTHON, paths.OLD_PYTHON)}
    # Without --dirty, as this run's own pages change the tree; files changed elsewhere are counted in the conditions.
    own = _git("describe", "--always")
    found = {}
    for peer in PEERS.values():
        if peer.ours:
            found[peer.key] = own
        elif peer.packages:
            found[peer.key] = packages[peer.python].get(peer.packages[0].split("==")[0].lower(), "?")
        elif peer.program:
            found[peer.key] = install.program_version(*peer.program[:2])
        else:
            found[peer.key] = crates.get(peer.crate, "?")
    return found


def summary(workload: Workload, turns: dict[str, dict[int, dict]], failed: dict[str, str], reference: str) -> dict:
    """Medians and ratios of one workload; `turns` is peer key -> round -> result."""
    ours = turns.get(reference, {})
    rows = {}
    for key in workload.peers:
        found = turns.get(key, {})
        if not found:
            if key in failed:
                rows[key] = {"failed": failed[key]}
            continue
        results = list(found.values())
        row = {name: statistics.median(result[name] for result in results) for name in (
            "requests_per_cpu_second", "requests_per_second", "p50_ms", "p99_ms", "memory_kib", "peak_rss_kib",
            "server_busy", "load_busy", "disturbed",
        )}  # fmt: skip
        if workload.size:
            row["cpu_seconds_per_gb"] = 1e9 / (workload.size * row["requests_per_cpu_second"])
        row["max_ms"] = max(result["max_ms"] for result in results)
        row["errors"] = sum(result["errors"] for result in results)
        row["first_error"] = next((result["first_error"] for result in results if "first_error" in result), None)
        row["interval"] = ratios.estimate([result["requests_per_cpu_second"] for result in results]).as_dict()
        if "beside" in results[0]:
            row["beside"] = {
                name: statistics.median(result["beside"][name] for result in results)
                for name in ("requests_per_second", "p50_ms", "p99_ms", "errors")
            }
        if key != reference and ours:
            estimates = {name: ratios.paired(ours, found, name) for name in RATIO_KEYS}
            row["ratios"] = {name: value.as_dict() for name, value in estimates.items() if value}
        if key in failed:
            row["failed"] = failed[key]
        rows[key] = row
    return {"title": workload.title, "unit": workload.unit, "reference": reference, "rows": rows}


def _ratio(row: dict, name: str) -> str:
    found = row.get("ratios", {}).get(name)
    return f"{found['median']:.2f} [{found['low']:.2f}, {found['high']:.2f}]" if found else "—"


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _table(summary_: dict, found_versions: dict[str, str]) -> list[str]:
    beside = any("beside" in row for row in summary_["rows"].values())
    reference = PEERS[summary_["reference"]].label
    unit = summary_["unit"]
    head = ["server", "version", f"{unit} per CPU-second", f"{reference} ÷ it", f"{unit}/s", f"{reference} ÷ it",
            "p50 ms", "p99 ms", "memory MiB", "core busy"]  # fmt: skip
    if beside:
        head += ["beside: requests/s", "beside: p99 ms"]
    by_size = any("cpu_seconds_per_gb" in row for row in summary_["rows"].values())
    if by_size:
        head += ["CPU-s per GB", "peak memory MiB"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    rows = sorted(summary_["rows"].items(), key=lambda item: -item[1].get("requests_per_cpu_second", 0))
    for key, row in rows:
        label = f"**{PEERS[key].label}**" if PEERS[key].ours else PEERS[key].label
        if "requests_per_cpu_second" not in row:
            lines.append(
                f"| {label} | {found_versions.get(key, '?')} | {row['failed'].replace('|', '/')} |" + " |" * (len(head) - 3)
            )
            continue
        cells = [
            label,
            found_versions.get(key, "?"),
            chart.number(row["requests_per_cpu_second"]),
            _ratio(row, "requests_per_cpu_second"),
            chart.number(row["requests_per_second"]),
            _ratio(row, "requests_per_second"),
            _milliseconds(row["p50_ms"]),
            _milliseconds(row["p99_ms"]),
            f"{row['memory_kib'] / 1024:.1f}",
            f"{row['server_busy'] * 100:.0f} %",
        ]
        if by_size:
            cells += [f"{row['cpu_seconds_per_gb']:.3f}", f"{row['peak_rss_kib'] / 1024:.1f}"]
        if beside:
            cells += [chart.number(row["beside"]["requests_per_second"]), _milliseconds(row["beside"]["p99_ms"])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _remarks(summary_: dict) -> list[str]:
    remarks = []
    for key, row in summary_["rows"].items():
        label = PEERS[key].label
        if row.get("errors"):
            remarks.append(f"- {label}: {row['errors']} {summary_['unit']} failed; the first: {row['first_error']}.")
        if row.get("failed") and "requests_per_cpu_second" in row:
            remarks.append(f"- {label} lost a round: {row['failed']}.")
        if row.get("load_busy", 0) > 0.95:
            remarks.append(f"- {label}: the load generator was at its limit ({row['load_busy'] * 100:.0f} % of its core).")
        if row.get("disturbed", 0) > DISTURBED:
            remarks.append(f"- {label}: others took {row['disturbed'] * 100:.0f} % of a core from it or the load (median).")
    return remarks


def _page(document: dict) -> str:
    facts = document["conditions"]
    changed = f" with {facts['changed_files']} changed files" if facts["changed_files"] else ""
    lines = [
        "# Results of `make bench`",
        "",
        "Written by `bench/run.py`; do not edit. How it is measured: [README](README.md).",
        "",
        f"{facts['date']}, commit {facts['commit']}{changed}. {facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, "
        f"Python {facts['python']}, {facts['rustc']}. {facts['rounds']} rounds in turns, {facts['measured_seconds']:.2f} s measured "
        f"after {facts['warmup_seconds']:.1f} s of warm-up each; the server on one core, the load on another.",
        "",
        "Values are medians over the rounds. “A ÷ B” is the median of the ratios within each round, with its 95 % bootstrap interval.",
        "Requests per CPU-second count the CPU time of the server's whole process tree: the figure to compare.",
    ]
    for key, summary_ in document["summaries"].items():
        lines += ["", f"## {summary_['title']}", "", f"![{summary_['title']}](results/{key}.svg)", ""]
        lines += _table(summary_, document["versions"])
        if remarks := _remarks(summary_):
            lines += ["", *remarks]
    lines += ["", "## How each server was run", ""]
    shown = {key for summary_ in document["summaries"].values() for key in summary_["rows"]}
    for peer in PEERS.values():
        if peer.key in shown:
            lines.append(f"- {peer.label} {document['versions'].get(peer.key, '')}: {peer.note}.")
    return "\n".join(lines) + "\n"


def _chart(summary_: dict) -> str:
    rows = []
    for key, row in summary_["rows"].items():
        if "interval" in row:
            peer: Peer = PEERS[key]
            interval = row["interval"]
            rows.append(chart.Bar(peer.label, interval["median"], interval["low"], interval["high"], peer.ours))
    return chart.bars(summary_["title"], f"{summary_['unit']} per CPU-second of the server; median and 95 % interval", rows)


def _without_places(text: str) -> str:
    """Reasons of failures quote paths; results are read on other machines."""
    for folder, name in ((f"{paths.ROOT}/", ""), (str(Path.home()), "~")):
        text = text.replace(folder, name)
    return text


def write(document: dict, folder: Path) -> Path:
    """Writes everything below `folder`; the page that it wrote."""
    document = json.loads(_without_places(json.dumps(document)))
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "latest.json").write_text(json.dumps(document, indent=1) + "\n")
    for key, summary_ in document["summaries"].items():
        (results / f"{key}.svg").write_text(_chart(summary_))
    page = folder / "RESULTS.md"
    page.write_text(_page(document))
    return page
