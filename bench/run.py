"""The bench: `python bench/run.py [--quick] [--only WORKLOADS] [--peers PEERS] [--rounds N]`.

Installs the peers, builds the Rust parts, then measures in turns (A B C A B C …), so that a change on the machine
meets every server alike. A whole run writes `bench/RESULTS.md` and `bench/results/`; a shorter or narrower one
writes the same below `bench/work/last/`. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time

from harness import files, install, measure, paths, report, secure
from harness.measure import Plan
from harness.peers import PEERS
from harness.server import ServerFailed
from harness.workloads import WORKLOADS, Workload


def chosen(text: str, allowed: dict, what: str) -> list[str]:
    if text == "all":
        return list(allowed)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in allowed]
    if unknown or not names:
        sys.exit(f"bench: no such {what}: {', '.join(unknown) or '(none given)'}; there are {', '.join(allowed)}")
    return names


def arguments() -> argparse.Namespace:
    usual = [key for key, workload in WORKLOADS.items() if workload.usual]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about 5 minutes: 2 rounds of 1 s; a first look, no proof")
    parser.add_argument("--rounds", type=int, help="rounds (default 5, quick 2)")
    parser.add_argument("--seconds", type=float, help="seconds measured per turn (default 1.75, quick 1)")
    parser.add_argument("--only", default=",".join(usual), help="all, or workloads, comma-separated: " + ", ".join(WORKLOADS))
    parser.add_argument("--peers", default=",".join(PEERS), help="servers, comma-separated: " + ", ".join(PEERS))
    parser.add_argument("--reference", help="the server that the others are compared with (default: ours)")
    parser.add_argument("--no-install", action="store_true", help="use the peers that are installed")
    options = parser.parse_args()
    options.only = chosen(options.only, WORKLOADS, "workload")
    options.peers = chosen(options.peers, PEERS, "server")
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 1.75)
    if options.reference:
        chosen(options.reference, PEERS, "server")
    return options


def is_whole(options: argparse.Namespace) -> bool:
    """Whether a run may replace the published results: every usual question to every server, at full length."""
    usual = {key for key, workload in WORKLOADS.items() if workload.usual}
    whole = usual <= {*options.only} and {*options.peers} == {*PEERS} and not options.reference
    return whole and options.rounds >= 5 and options.seconds >= 1.5


def say(text: str) -> None:
    print(text, flush=True)


def prepare(options: argparse.Namespace, used: list[str]) -> dict[str, str]:
    """Installs and builds; returns the reason for each server that cannot run."""
    failed: dict[str, str] = {}
    if not options.no_install:
        failed.update(install.peers([PEERS[key] for key in used], say))
    # What is ours is built in any case: a program of an earlier commit would be published under the name of this one.
    if reason := install.programs(say):
        sys.exit(f"bench: the Rust parts cannot be built: {reason}")
    for key in used:
        if PEERS[key].ours and PEERS[key].python and (reason := install.our_python()):
            failed[key] = reason
    if "outside-rust" in used and (reason := install.our_rust(say)):
        failed["outside-rust"] = f"not built: {reason}"
    paths.WORK.mkdir(exist_ok=True)
    files.make()
    for workload in (WORKLOADS[key] for key in options.only):
        if workload.body:
            workload.body_file.write_bytes(workload.body)
    if any(WORKLOADS[key].is_secure for key in options.only):
        secure.make()
    return failed


def plan_of(options: argparse.Namespace) -> Plan:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("bench: two cores are needed, one for the server and one for the load")
    # This program sleeps while it measures; its little work runs on the core of the load.
    os.sched_setaffinity(0, {cores[1]})
    return Plan(warmup=min(1.0, options.seconds / 4), seconds=options.seconds, server_core=cores[0], load_core=cores[1])


def line_of(result: dict) -> str:
    each = result["requests_per_cpu_second"]
    text = (
        f"{f'{each / 1000:8.1f} k' if each >= 1000 else f'{each:8.1f}  '}/CPU-s {result['requests_per_second']:9.0f}/s  "
        f"p50 {result['p50_ms']:7.2f}  p99 {result['p99_ms']:7.2f} ms {result['memory_kib'] / 1024:7.1f} MiB  "
        f"core {result['server_busy'] * 100:3.0f} %  load {result['load_busy'] * 100:3.0f} %"
    )
    if "beside" in result:
        text += f"  beside {result['beside']['requests_per_second']:.0f}/s p99 {result['beside']['p99_ms']:.1f} ms"
    if result["disturbed"] > measure.DISTURBED:
        text += f"  disturbed {result['disturbed'] * 100:.0f} %"
    if result["errors"]:
        text += f"  {result['errors']} ERRORS: {result.get('first_error')}"
    return text


def document_of(options: argparse.Namespace, plan: Plan, rounds: int, turns: dict, failed: dict) -> dict:
    summaries = {}
    for key in options.only:
        workload = WORKLOADS[key]
        reference = options.reference or workload.reference
        summaries[key] = report.summary(workload, turns[key], failed[key], reference)
    return {
        "conditions": report.conditions(plan, rounds),
        "versions": report.versions(),
        "summaries": summaries,
        "turns": turns,
    }


def main() -> int:
    options = arguments()
    # An exit, so that the server of the running turn is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    workloads: list[Workload] = [WORKLOADS[key] for key in options.only]
    used = [key for key in options.peers if any(key in workload.peers for workload in workloads)]
    absent = prepare(options, used)
    for key, reason in absent.items():
        say(f"absent   {key}: {reason}")
    plan = plan_of(options)
    folder = paths.BENCH if is_whole(options) else paths.LAST_LOOK
    failed = {workload.key: dict(absent) for workload in workloads}
    turns: dict[str, dict[str, dict[int, dict]]] = {workload.key: {} for workload in workloads}
    total = options.rounds * sum(key in used and key not in absent for workload in workloads for key in workload.peers)
    number = 0
    started = time.monotonic()
    for round_number in range(options.rounds):
        for workload in workloads:
            for key in workload.peers:
                if key not in used or key in absent:
                    continue
                number += 1
                label = f"[{number:3}/{total}] round {round_number + 1} {workload.key:14} {key:14}"
                if key in failed[workload.key] and key not in turns[workload.key]:
                    continue
                try:
                    result = measure.turn(PEERS[key], workload, plan)
                except ServerFailed as error:
                    failed[workload.key][key] = str(error)
                    say(f"{label} FAILED: {error}")
                    continue
                turns[workload.key].setdefault(key, {})[round_number] = result
                say(f"{label} {line_of(result)}")
        # After each round, so that a run that is broken off has its results too.
        page = report.write(document_of(options, plan, round_number + 1, turns, failed), folder)
    say(f"done     in {(time.monotonic() - started) / 60:.1f} minutes; see {page.relative_to(paths.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
