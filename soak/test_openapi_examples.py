"""schemathesis asks every route of two examples for what their documents promise, with input that fits and input that does not."""

from __future__ import annotations

import json
import sys
import urllib.request

import pytest

from support.harness import ROOT, Script
from support.subprocesses import run_process
from support.wire import DEADLINE

PROGRAMS = [ROOT / "examples/python/parcels.py", ROOT / "examples/python/fastapi_moved/outside_app.py"]
# Answers are as described, input that fits is taken, and nothing is a fault of the server.
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,positive_data_acceptance"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_keeps_its_promises(path, tmp_path):
    program = tmp_path / path.name
    program.write_text(path.read_text("utf-8").replace("8080", "0"), "utf-8")
    script = Script(str(program))
    try:
        url = f"http://127.0.0.1:{script.address[1]}"
        with _opener.open(f"{url}/openapi.json", timeout=DEADLINE) as answer:
            document = json.load(answer)
        for methods in document["paths"].values():
            for operation in methods.values():
                # A form has texts alone: no null, no list of one, and an empty text is none. schemathesis would have them.
                content = operation.get("requestBody", {}).get("content", {})
                content.pop("application/x-www-form-urlencoded", None)
                for media in content.values():
                    # Names with control characters have no form in a part's header.
                    if "$ref" not in media["schema"]:
                        media["schema"].setdefault("additionalProperties", False)
        copy = tmp_path / "openapi.json"
        copy.write_text(json.dumps(document), "utf-8")
        # A body that would fit is refused without the token of the example.
        token = ["--header", "Authorization: Bearer secret"] if "fastapi" in str(path) else []
        for more in (["--checks", CHECKS], ["--checks", "negative_data_rejection", "--include-method", "POST"]):
            command = [
                sys.executable, "-m", "schemathesis.cli", "run", str(copy), "--url", url, "--max-examples", "100",
                "--seed", "20261129", "--workers", "1", "--no-color", *token, *more,
            ]  # fmt: skip
            done = run_process(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    finally:
        assert script.stop() == 0, script.errors


# No proxy stands between a test and a server on the same machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
