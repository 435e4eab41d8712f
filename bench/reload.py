"""The time that `outside run --reload` takes: `python bench/reload.py [--changes N] [--modules N]`.

Measured from a change of the program's file to the first answer of the new program; a client asks again and again on new
connections, as a browser's reload would. The program imports as many modules as a small application. Standard library only.
"""

from __future__ import annotations

import argparse
import http.client
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import install, paths

APP = """\
{imports}
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", 0))


@server.get("/hello")
def hello():
    return "{answer}"
"""
# Seconds between two requests while the old program answers.
PAUSE = 0.005
DEADLINE = 20.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=10, help="changes that are measured (default 10)")
    parser.add_argument("--modules", type=int, default=20, help="other modules of the program (default 20)")
    return parser.parse_args()


def change(file: Path, text: str) -> None:
    """Replaces a file by a new one, as editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def ask(address: tuple[str, int]) -> bytes:
    connection = http.client.HTTPConnection(*address, timeout=DEADLINE)
    try:
        connection.request("GET", "/hello")
        return connection.getresponse().read()
    finally:
        connection.close()


def seconds_until(address: tuple[str, int], wanted: bytes, start: float) -> float:
    """The seconds from `start` to the first answer of the new program."""
    while ask(address) != wanted:
        if time.monotonic() - start > DEADLINE:
            sys.exit(f"bench-reload: {wanted!r} was not answered within {DEADLINE:.0f} s")
        time.sleep(PAUSE)
    return time.monotonic() - start


def measure(folder: Path, options: argparse.Namespace) -> list[float]:
    names = [f"module_{number}" for number in range(options.modules)]
    for name in names:
        (folder / f"{name}.py").write_text("import json\n\nvalue = json.dumps({})\n")
    imports = f"import {', '.join(names)}" if names else ""
    program = folder / "app.py"
    change(program, APP.format(imports=imports, answer="first"))
    command = [str(paths.OUR_PYTHON), "-m", "outside", "run", "app:server", "--reload"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline()
            found = re.search(r"http://([\d.]+):(\d+)", line)
            if not found:
                sys.exit(f"bench-reload: no address in {line!r}")
            address = (found[1], int(found[2]))
            seconds_until(address, b"first", time.monotonic())
            times = []
            for number in range(options.changes):
                text, answer = APP.format(imports=imports, answer=f"change {number}"), f"change {number}".encode()
                start = time.monotonic()
                change(program, text)
                times.append(seconds_until(address, answer, start))
            return times
        finally:
            process.terminate()


def main() -> int:
    options = arguments()
    if reason := install.our_python():
        sys.exit(f"bench-reload: {reason}")
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as folder:
        times = measure(Path(folder), options)
    print("each    ", " ".join(f"{seconds * 1000:.0f}" for seconds in times), "ms")
    print(f"reload   median {statistics.median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms of {len(times)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
