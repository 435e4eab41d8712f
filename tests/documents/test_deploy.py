"""The files of `deploy/`: judged by the tools of others, shown by the pages of docs/deploy as they are, and of keys that exist."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from outside import OutsideHTTP
from support.harness import ROOT, Script
from support.subprocesses import run_process
from support.wire import fetch

DEPLOY = ROOT / "deploy"
FILES = {
    "docker/Dockerfile": "container.md",
    "compose/compose.yaml": "compose.md",
    "kubernetes/outside.yaml": "kubernetes.md",
    "systemd/outside.service": "systemd.md",
    "systemd/outside.socket": "systemd.md",
}


def tool(*arguments: str) -> None:
    done = run_process(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"


def beside_python(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_file(name: str):
    page = (ROOT / "docs/deploy" / FILES[name]).read_text("utf-8")
    assert f"\n{(DEPLOY / name).read_text('utf-8')}```\n" in page


def test_the_dockerfile():
    tool(beside_python("hadolint"), "--failure-threshold", "style", str(DEPLOY / "docker/Dockerfile"))


def test_the_compose_file():
    tool(beside_python("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose/compose.yaml"))


def test_the_manifests_of_kubernetes():
    tool(beside_python("kubernetes-validate"), "--strict", str(DEPLOY / "kubernetes/outside.yaml"))


def test_the_units_of_systemd(tmp_path: Path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = (DEPLOY / "systemd/outside.service").read_text("utf-8")
    # The program is not there; everything else is judged as it is.
    text = text.replace("/srv/notes/.venv/bin/outside", "/bin/true").replace(
        "WorkingDirectory=/srv/notes", "WorkingDirectory=/"
    )
    (tmp_path / "notes.service").write_text(text)
    shutil.copy(DEPLOY / "systemd/outside.socket", tmp_path / "notes.socket")
    units = [str(tmp_path / "notes.service"), str(tmp_path / "notes.socket")]
    done = run_process([analyze, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "notes." in line]) == (0, []), done.stderr
    # An exposure of 2.0 at most.
    tool(analyze, "security", "--offline=yes", "--threshold=20", units[0])


def test_the_keys_in_the_environment_exist():
    known = set(OutsideHTTP(("127.0.0.1", 0)).config) | {"port"}
    for name in FILES:
        for key in re.findall(r"\bOUTSIDE_([A-Z_]+)\b", (DEPLOY / name).read_text("utf-8")):
            assert key.lower() in known, f"{name}: OUTSIDE_{key}"


def test_the_program_of_the_image_is_served_as_the_image_says(tmp_path: Path):
    text = (DEPLOY / "docker/Dockerfile").read_text("utf-8")
    environment = dict(re.findall(r"(OUTSIDE_\w+)=(\S+)", text)) | {"OUTSIDE_PORT": "0", "OUTSIDE_HOST": "127.0.0.1"}
    command = re.search(r"^CMD \[(.*)\]$", text, re.MULTILINE)[1].replace('"', "").split(", ")
    shutil.copy(DEPLOY / "docker/app.py", tmp_path)
    script = Script("-m", "outside", "run", *command, folder=tmp_path, environment=environment)
    assert fetch(script.address).text == "Hello!"
    assert [fetch(script.address, path).text for path in ("/ready", "/live")] == ["ok\n", "ok\n"]
    assert script.stop() == 0
