"""`make install-check`: the wheels of target/wheels, in an empty virtual environment of each CPython of this machine.

Each environment installs by name from an index in a folder, without a network. Then pip finds nothing broken, the command tells its
version, the quick start of the README is served, and ends in order. A Python that is too old is told which are supported.

    make install-check INSTALL=--documents       then also the extra [app], from the public index, in an environment of this Python, and
                                                 all programs of README, front page and tutorial in it, word by word
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import folder_index
import pythons

ROOT = Path(__file__).resolve().parents[2]
NAME = "outside-framework"
DEADLINE = 60.0


def main() -> int:
    """Checks every Python, or the one named by `--only`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make install-check", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="PATH", help="the one Python to check")
    parser.add_argument("--documents", action="store_true", help="also run the programs of README, front page and tutorial")
    given = parser.parse_args()
    only = given.only
    chosen = [pythons.ask(only)] if only else pythons.found()
    wheels = sorted((ROOT / "target/wheels").glob("outside_framework-*.whl"))
    if not wheels:
        print("install-check: target/wheels has no wheel; `make wheel` builds them", file=sys.stderr)
        return 1
    failed = False
    with tempfile.TemporaryDirectory(prefix="install-check-") as folder:
        # As on the public index: an old pip learns of `Requires-Python` from the source distribution alone.
        sources = sorted((ROOT / "target/wheels").glob("outside_framework-*.tar.gz"))
        address = folder_index.write(Path(folder), wheels, sources)
        for python in chosen:
            if python is None:
                raise SystemExit(f"install-check: {only} is no released CPython that can make a virtual environment")
            version = ".".join(map(str, python.version)) + ("t" if python.is_free_threaded else "")
            try:
                said = check(python, address, Path(folder) / version)
            except (AssertionError, OSError, subprocess.SubprocessError) as fault:
                failed, said = True, f"FAILED: {fault}"
            print(f"install  Python {version}: {said}", flush=True)
        if given.documents and not failed:
            follow_documents(wheels[0].parent, Path(folder) / "documents")
    return 1 if failed else 0


def follow_documents(wheels: Path, folder: Path) -> None:
    """Installs as the tutorial says, where the wheels lie beside the public index, and runs the programs of the documents."""
    run([sys.executable, "-m", "venv", str(folder)])
    python = folder / "bin/python"
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    run([str(python), "-m", "pip", "install", "--find-links", str(wheels), f"{NAME}[app]=={version[1]}"], keeps_pip=True)
    run([str(python), "-m", "pip", "check"])
    programs = [
        str(ROOT / "tests/documents/test_documents.py"),
        "-k",
        "(server_of or script_of) and (README or index or tutorial)",
    ]
    run([sys.executable, "-m", "pytest", *programs], folder=ROOT, more={"OUTSIDE_DOCUMENTS_PYTHON": str(python)})
    print("install  README, front page and tutorial: every program does as it says", flush=True)


def check(python: pythons.Python, address: str, folder: Path) -> str:
    """Checks one Python in a new folder; returns a sentence, or raises `AssertionError`."""
    run([python.path, "-m", "venv", str(folder / "venv")])
    inside = folder / "venv/bin"
    install = [str(inside / "python"), "-m", "pip", "--isolated", "install", "--no-cache-dir", "--no-deps", "--only-binary", ":all:",
               "--index-url", address, NAME]  # fmt: skip
    if not python.is_supported:
        refused = run([word for word in install if word not in ("--only-binary", ":all:")], may_fail=True)
        assert refused.returncode != 0, "it was installed on a Python that is not supported"
        if python.is_free_threaded:
            return "refused: PyO3 knows no free-threaded build before 3.14"
        # Those of Python 3.7 and before say nothing, and the others need the source distribution in the index.
        told = re.search(r"Requires-Python\s*>=3\.10|requires a different Python|>=3\.10", refused.stdout + refused.stderr)
        assert told or python.version < (3, 8), f"it was not told which Pythons are supported: {refused.stdout}{refused.stderr}"
        return "refused, and told that >=3.10 is needed" if told else "refused; its pip does not say why"
    run(install)
    run([str(inside / "python"), "-m", "pip", "--isolated", "check"])
    version = run([str(inside / "outside"), "--version"]).stdout.strip()
    home = run([str(inside / "python"), "-c", "import outside; print(outside.__file__)"], folder=folder).stdout.strip()
    assert Path(home).is_relative_to(folder.resolve()) or Path(home).is_relative_to(folder), f"imported from {home}"
    serve(inside / "python", folder)
    return f"installed, {version}, the quick start is served"


def serve(python: Path, folder: Path) -> None:
    """The quick start of the README, on a free port."""
    text = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert text, "README.md has no program"
    program = folder / "hello.py"
    program.write_text(text[1].replace("8080", "0"), "utf-8")
    process = subprocess.Popen(
        [python, str(program)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
    )
    try:
        assert process.stdout
        line = next((line for line in process.stdout if "http://" in line), "")
        found = re.search(r"http://[\w.:]+", line)
        assert found, "the quick start printed no address"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{found[0]}/hello", timeout=DEADLINE) as answer:
            assert answer.read() == b"Hello, World!"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0, f"it ended with {process.returncode}"
    finally:
        process.kill()
        process.wait()


def run(
    command: list[str],
    *,
    folder: Path | None = None,
    may_fail: bool = False,
    keeps_pip: bool = False,
    more: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself; `AssertionError` has its output."""
    given = {name: value for name, value in os.environ.items() if keeps_pip and name.startswith("PIP_")}
    environ = environment() | given | (more or {})
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, env=environ)
    assert may_fail or ended.returncode == 0, f"{' '.join(command[1:4])}: {ended.stdout}{ended.stderr}"
    return ended


def environment() -> dict[str, str]:
    """Without the settings of another environment, and of pip."""
    left_out = ("PYTHON", "PIP_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


if __name__ == "__main__":
    sys.exit(main())
