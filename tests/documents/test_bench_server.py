"""The example `bench_server`, which other harnesses drive too: `bench_server PORT [CERT KEY]`, with `/static` from `BENCH_FILES`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.cargo import built
from support.certificates import certificate
from support.harness import Script
from support.subprocesses import run_process

pytestmark = [pytest.mark.timeout(700), pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")]


@pytest.fixture(scope="module")
def server() -> str:
    return str(built() / "examples/bench_server")


def start(server: str, folder: Path, *arguments: str) -> Script:
    # Its address is a line of standard error.
    return Script(
        "-c", 'exec "$@" 2>&1', "-", server, "0", *arguments, program=["sh"], environment={"BENCH_FILES": str(folder)}
    )


def curl(*arguments: str) -> str:
    return run_process(
        ["curl", "-s", *arguments, "-w", " %{http_version}"], capture_output=True, text=True, check=True, timeout=20
    ).stdout


def test_files_tls_and_versions(server: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text("a file")
    plain = start(server, tmp_path)
    url = f"http://localhost:{plain.address[1]}"
    assert curl(f"{url}/static/a.txt") == "a file 1.1"
    assert curl("--http2-prior-knowledge", f"{url}/hello") == "Hello, World! 2"
    assert plain.stop() == 0
    own = certificate(tmp_path / "tls")
    secure = start(server, tmp_path, own.certfile, own.keyfile)
    url = f"https://localhost:{secure.address[1]}"
    for version, number in (("--http1.1", "1.1"), ("--http2", "2")):
        assert curl(version, "--cacert", own.certfile, f"{url}/static/a.txt") == f"a file {number}"
    assert secure.stop() == 0


@pytest.mark.parametrize("arguments", [[], ["http"], ["1", "cert"], ["1", "cert", "key", "more"]], ids=str)
def test_a_mistake_in_its_arguments_is_named(server: str, arguments: list[str]):
    ended = run_process([server, *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, "bench_server PORT [CERT KEY]" in ended.stderr) == (1, True)
