"""Content that is still coming in belongs to the process in which it arrives: a child that a handler forks gets an error, at once."""

from __future__ import annotations

import json
import sys

import pytest

from support.harness import PROGRAMS, Script
from support.wire import Wire, fetch, request_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are forked")

SENTENCE = "the request belongs to another process"


@pytest.fixture(scope="module")
def script():
    script = Script(str(PROGRAMS / "forking_uploads_app.py"))
    yield script
    if script.process.poll() is None:
        assert script.stop() == 0, script.errors


def upload(script: Script, target: str) -> str:
    """Sends the second half when the child has told; the answer."""
    with Wire(script.address) as wire:
        wire.send(request_bytes(target, "POST", {"Content-Length": "6"}) + b"abc")
        assert fetch(script.address, "/told").text == "True"
        return wire.send(b"def").receive_answer().text


@pytest.mark.parametrize("way", ["pieces", "content", "text", "json", "loop"])
@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_child_is_told_that_it_arrives_elsewhere(script, style, way):
    report, content = json.loads(upload(script, f"/{style}/{way}"))
    assert report.startswith("OSError: ") and SENTENCE in report, report
    # The parent has all of it.
    assert content == "abcdef"


def test_the_input_of_a_wsgi_application(script):
    report, _, content = upload(script, "/wsgi").partition("|")
    assert SENTENCE in report, report
    assert content == "abcdef"
