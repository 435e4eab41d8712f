"""schemathesis asks every route of two examples for what their documents promise, with input that fits and input that does not."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator

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
        whole = tmp_path / "openapi.json"
        whole.write_text(json.dumps(document), "utf-8")
        for schema in forms_of(document):
            # A name with control characters has no form in the header of a part.
            schema["additionalProperties"] = False
        strict = tmp_path / "strict.json"
        strict.write_text(json.dumps(document), "utf-8")
        # A body that would fit is refused without the token of the example.
        token = ["--header", "Authorization: Bearer secret"] if "fastapi" in str(path) else []
        unfit = ["--checks", "negative_data_rejection", "--include-method", "POST"]
        for copy, *more in ((strict, "--checks", CHECKS), (whole, *unfit)):
            command = [
                sys.executable, "-m", "schemathesis.cli", "run", str(copy), "--url", url, "--max-examples", "100",
                "--seed", "20261129", "--workers", "1", "--no-color", *token, *more,
            ]  # fmt: skip
            done = run_process(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    finally:
        assert script.stop() == 0, script.errors


def forms_of(document: dict) -> Iterator[dict]:
    """The schemas of forms with files."""
    for methods in document["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {})
            yield from (media["schema"] for media in content.values() if "$ref" not in media["schema"])


# No proxy stands between a test and a server on the same machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
