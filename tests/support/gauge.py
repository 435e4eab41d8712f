"""The cost of a process, as the kernel counts it: memory and CPU time. Linux only; elsewhere the tests are skipped."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

MIB = 1 << 20


def need_proc() -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("needs /proc/PID/smaps_rollup")


def private_memory(pid: int) -> int:
    """Bytes that belong to this process alone and were written to: the memory of its own data."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return _kilobytes(text, "Private_Dirty")


def proportional_memory(pid: int) -> int:
    """Bytes of memory in use now; pages that several processes share count in part for each."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")


def resident_memory(pid: int) -> int:
    """Bytes of memory in use now, shared pages included."""
    return _kilobytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def forget_peak(pid: int) -> None:
    """`peak_memory` counts from now on (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory(pid: int) -> int:
    """The most bytes of memory that were ever in use at the same time."""
    return _kilobytes(Path(f"/proc/{pid}/status").read_text(), "VmHWM")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kilobytes(text: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert match, f"no {name} in {text!r}"
    return int(match[1]) << 10
