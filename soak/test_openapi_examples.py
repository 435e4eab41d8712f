"""schemathesis asks every route of two examples for what their documents promise, with input that fits and input that does not."""

from __future__ import annotations

import sys

import pytest

from support.harness import ROOT, Script
from support.subprocesses import run_process

PROGRAMS = [ROOT / "examples/python/parcels.py", ROOT / "examples/python/fastapi_moved/outside_app.py"]
# Input that does not fit is refused, answers are as described, and nothing is a fault of the server.
CHECKS = (
    "not_a_server_error,content_type_conformance,response_schema_conformance,negative_data_rejection,positive_data_acceptance"
)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_keeps_its_promises(path, tmp_path):
    program = tmp_path / path.name
    program.write_text(path.read_text("utf-8").replace("8080", "0"), "utf-8")
    script = Script(str(program))
    url = f"http://127.0.0.1:{script.address[1]}/openapi.json"
    # A body that would fit is refused without the token of the example.
    token = ["--header", "Authorization: Bearer secret"] if "fastapi" in str(path) else []
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", url, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", "100", "--seed", "20261129", "--workers", "1", "--no-color", *token,
    ]  # fmt: skip
    try:
        done = run_process(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    finally:
        assert script.stop() == 0, script.errors
