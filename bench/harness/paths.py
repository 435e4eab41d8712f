"""The places the bench knows, all below the repository."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
PEERS = BENCH / "peers"
WORK = BENCH / "work"
LOGS = WORK / "logs"
RESULTS = BENCH / "results"
# Where runs go that are too short or too narrow to stand for the project.
LAST_LOOK = WORK / "last"
RUST_BIN = BENCH / "target" / "release"
LOAD = RUST_BIN / "bench-load"
H2LOAD = BENCH / "harness" / "http2.py"
# A certificate for 127.0.0.1 and its key.
CERTIFICATE, KEY = WORK / "certificate.pem", WORK / "key.pem"
# The files that the workloads of files ask for, at `/files` of every server.
FILES = WORK / "files"

# The peers' environment, the predecessor's (its package has the name of ours), and the project's own.
PEERS_PYTHON = BENCH / ".venv" / "bin" / "python"
OLD_PYTHON = WORK / "venv-old" / "bin" / "python"
OUR_PYTHON = ROOT / ".venv" / "bin" / "python"
OUR_RUST = ROOT / "target" / "release" / "examples" / "bench_server"
