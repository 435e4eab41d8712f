"""The distribution is `outside-framework` and the module `outside`: every document says so, and pip names the Pythons that it supports."""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from support.harness import ROOT
from support.subprocesses import run_process

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

sys.path.append(str(ROOT / "make/delivery"))

import build_wheel
import folder_index
import pythons

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [*(ROOT / "python").rglob("*.py"), *(ROOT / "examples").rglob("*.py"), *(ROOT / "crates").rglob("*.rs")]


def test_no_text_tells_to_install_a_strangers_package():
    told = 0
    for path in [*DOCUMENTS, *SOURCES]:
        text = path.read_text("utf-8")
        for asked in re.findall(r"pip install [^\n`]*", text):
            assert not re.search(r"(?<![\w./-])outside(?!-framework)\b(?!/)", asked), f"{path}: {asked}"
            told += "outside-framework" in asked
        assert not re.search(r"cargo add outside(?!-framework)\b", text), path
    assert told >= 5


def test_the_first_line_of_the_readme_says_the_names():
    first = (ROOT / "README.md").read_text("utf-8").split("\n\n")[1]
    assert "pip install outside-framework" in first and "import outside" in first


def test_the_names_and_the_version():
    assert PROJECT["name"] == "outside-framework"
    version = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]["package"]["version"]
    assert version.startswith("2.")
    assert {"app", "docs"} <= PROJECT["optional-dependencies"].keys()
    tools = (ROOT / "make/docs-tools.txt").read_text("utf-8").splitlines()
    assert PROJECT["optional-dependencies"]["docs"] == [line for line in tools if line and not line.startswith("#")]


def test_every_place_supports_the_same_pythons():
    """pyproject.toml, the search of make, `make wheel` and the workflow of releases."""
    minors = range(pythons.OLDEST[1], pythons.NEWEST[1] + 1)
    assert PROJECT["requires-python"] == f">=3.{minors[0]}"
    prefix = "Programming Language :: Python :: 3."
    classified = {int(name.removeprefix(prefix)) for name in PROJECT["classifiers"] if name.startswith(prefix)}
    assert classified == set(minors)
    search = (ROOT / "make/find-python.sh").read_text("utf-8")
    assert {int(minor) for minor in re.findall(r"python3\.(\d+)\b", search)} == set(minors)
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    built = re.search(r"INTERPRETERS: (.*)", workflow)[1].split()
    assert {name for name in built if not name.endswith("t")} == {f"3.{minor}" for minor in minors}


def empty_wheel(folder: Path) -> Path:
    """A wheel of the distribution's name and needs, for every Python, with nothing in it."""
    path = folder / "outside_framework-2.0.0-py3-none-any.whl"
    home = "outside_framework-2.0.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        fields = (
            f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: 2.0.0\nRequires-Python: {PROJECT['requires-python']}\n"
        )
        archive.writestr(f"{home}/METADATA", fields)
        archive.writestr(f"{home}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{home}/RECORD", "")
    return path


def test_pip_says_which_pythons_are_supported(tmp_path: Path):
    """An older Python, on an index that tells `Requires-Python` as the public one does."""
    older = [python for python in pythons.found() if python.version < (3, 10)]
    if not older:
        pytest.skip("this machine has no Python older than 3.10")
    address = folder_index.write(tmp_path, [empty_wheel(tmp_path)])
    asked = [older[0].path, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--target", str(tmp_path / "there")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    ended = run_process(
        [*asked, "--index-url", address, "outside-framework>=2"], capture_output=True, text=True, timeout=60, env=clean
    )
    assert ended.returncode != 0
    assert "Requires-Python >=3.10" in ended.stderr, ended.stderr


def test_a_python_without_a_lock_is_taken_where_there_is_no_other(tmp_path: Path):
    """The search of make, among programs that answer as Pythons do."""

    def found(*names: str) -> str:
        folder = tmp_path / "-".join(names)
        folder.mkdir()
        for name in names:
            program = folder / name
            has_gil, minor = int(not name.endswith("t")), re.sub(r"\D", "", name.partition(".")[2])
            program.write_text(f"#!/bin/sh\necho ok {has_gil}.3.{minor}.0 /there/{name}\n")
            program.chmod(0o755)
        for tool in ("sh", "sort", "head", "cut"):
            (folder / tool).symlink_to(shutil.which(tool))
        search = [shutil.which("sh"), str(ROOT / "make/find-python.sh")]
        ended = run_process(
            search,
            capture_output=True,
            text=True,
            timeout=20,
            env={"PATH": str(folder), "PYENV_ROOT": str(folder), "HOME": "/"},
        )
        return ended.stdout.strip()

    assert found("python3.12", "python3.13") == "/there/python3.13"
    assert found("python3.14t", "python3.11") == "/there/python3.11"
    assert found("python3.14t", "python3.15t") == "/there/python3.15t"


def test_mistakes_of_make_wheel_name_what_is_allowed():
    there = [
        pythons.Python("/a", (3, 13, 0), False),
        pythons.Python("/b", (3, 13, 1), True),
        pythons.Python("/c", (3, 11, 0), False),
        pythons.Python("/d", (3, 9, 0), False),
    ]
    with pytest.raises(SystemExit, match=r"--python 3\.8: this machine has 3\.13, 3\.11$"):
        build_wheel.choose(there, ["3.8"], False)
    assert [python.path for python in build_wheel.choose(there, [], False)] == ["/a", "/c"]
    assert [python.path for python in build_wheel.choose(there, [], True)] == ["/a"]
    with pytest.raises(SystemExit, match="no suitable CPython"):
        build_wheel.choose(there[2:], [], True)


def test_a_wheel_with_a_fault_is_named(tmp_path: Path, monkeypatch):
    good = tmp_path / "outside_framework-2.0.0-cp313-cp313-manylinux_2_17_x86_64.whl"
    names = ["outside/__init__.py", "outside/_outside.pyi", "outside/py.typed", "outside/_outside.abi3.so"]
    with zipfile.ZipFile(good, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    assert build_wheel.check(good) == []
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr("tests/secret.py", "")
        archive.writestr("outside/_outside.cpython-313.so", "")
    assert [fault.partition(" has ")[2] for fault in build_wheel.check(good)] == [
        "2 modules outside/_outside: ['outside/_outside.abi3.so', 'outside/_outside.cpython-313.so']",
        "files of others: ['tests/secret.py']",
    ]
    monkeypatch.setattr(build_wheel, "MOST_BYTES", 10)
    assert "10 are allowed" in build_wheel.check(good)[0]


def test_bytes_count_for_the_feature_of_their_crate():
    import shares

    listing = """
0000000000000010 0000000000000400 t <outside::protocol::http1::Codec as core::fmt::Debug>::fmt
0000000000000020 0000000000000100 t core::ptr::drop_in_place<rustls::conn::Connection>
0000000000000030 0000000000000200 T aws_lc_0_42_0_EVP_sha256
0000000000000040 0000000000000080 t ZSTD_compressBlock_fast
0000000000000050 0000000000000040 t std::rt::lang_start
                 U malloc
"""
    assert shares.count(listing) == {
        "the engine": 0x400,
        "TLS: rustls": 0x100,
        "TLS: aws-lc": 0x200,
        "zstd": 0x80,
        "standard library": 0x40,
    }


def test_the_workflow_of_releases_is_closed():
    """No right that a job does not need, no action that can be changed, no secret."""
    yaml = pytest.importorskip("yaml")
    text = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert "secrets." not in text
    for name, job in workflow["jobs"].items():
        rights = job["permissions"]
        assert ("id-token" in rights) == (name in ("pypi", "crates-io")), name
        assert ("environment" in job) == (name in ("pypi", "crates-io")), name
        for step in job["steps"]:
            if used := step.get("uses"):
                assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used
                assert not used.startswith("actions/checkout@") or step["with"]["persist-credentials"] is False, name
    targets = workflow["jobs"]["linux"]["strategy"]["matrix"]
    assert targets == {"libc": ["manylinux2014", "musllinux_1_2"], "target": ["x86_64", "aarch64"]}
    published = next(step for step in workflow["jobs"]["pypi"]["steps"] if "gh-action-pypi-publish" in step.get("uses", ""))
    assert published["with"] == {"attestations": True}


def test_the_crate_has_its_sources_and_nothing_else():
    """The files that the index of crates would get: no test, no corpus, nothing of this machine."""
    listed = run_process(
        [sys.executable, ROOT / "make/delivery/crate.py", "--list"], capture_output=True, text=True, timeout=120
    )
    assert listed.returncode == 0, listed.stderr
    names = listed.stdout.split()
    assert {"Cargo.toml", "LICENSE", "README.md", "src/lib.rs", "examples/hello.rs"} <= set(names)
    assert [name for name in names if not name.startswith(("src/", "examples/"))] == ["Cargo.toml", "LICENSE", "README.md"]
    manifest = tomllib.loads((ROOT / "target/crate/Cargo.toml").read_text("utf-8"))
    package = manifest["package"]
    assert (package["name"], manifest["lib"]["name"]) == ("outside-framework", "outside")
    for wanted in ("description", "license", "repository", "documentation", "readme", "keywords", "categories", "rust-version"):
        assert package.get(wanted), wanted
    assert package["metadata"]["docs"]["rs"]["all-features"] is True
    assert not [name for name, asked in manifest["dependencies"].items() if "path" in asked]
