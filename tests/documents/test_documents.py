"""README and docs/ are programs: what they show is run as it stands, and must do what they say.

A ```python block is a whole program. If a ```console block follows, it is a server and that is the transcript: each `$ curl …`
is sent to it, and the lines below must be the answer (with nothing below, any 2xx will do). Other programs must end by
themselves, and a ```text block after one is its output. A block with a title is a file of that name for the programs behind it, such
as a template. The only change made to the text of a server is its port: 8080
becomes 0, and the address that the program prints takes its place in the transcript. Rust blocks are compiled as
documentation tests of the crate; the first one of docs/guide/rust.md is also built and served here.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import outside
from support.documents import Block, Program, blocks, commands, curl, follow, masked, write_files
from support.harness import ROOT
from support.subprocesses import run_process

# The Python that runs the programs: `make install-check INSTALL=--documents` names one in which a wheel was installed.
INTERPRETER = os.environ.get("OUTSIDE_DOCUMENTS_PYTHON", sys.executable)
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = [(block, after) for path in DOCUMENTS for block, after in follow(blocks(path), "python")]
SERVERS = [(block, after) for block, after in PYTHON if after and after.language == "console"]
SCRIPTS = [(block, after) for block, after in PYTHON if not after or after.language == "text"]
EXAMPLES = sorted((ROOT / "examples/python").glob("*.py"))


def test_there_is_something_to_run():
    """A broken fence would hide a program, and a hidden program would pass."""
    assert len(SERVERS) > 5
    fences = sum(path.read_text("utf-8").count("```") for path in DOCUMENTS)
    assert fences == 2 * sum(len(blocks(path)) for path in DOCUMENTS)


@pytest.mark.parametrize(("block", "after"), SERVERS, ids=[block.name for block, _ in SERVERS])
def test_server_of_the_documents(block: Block, after: Block, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(block.text.replace("8080", "0"), "utf-8")
    write_files(block, DOCUMENTS, tmp_path)
    skip_without_packages(block.text)
    if "localhost.pem" in block.text:
        write = [INTERPRETER, "-m", "outside", "cert", "localhost"]
        run_process(write, cwd=tmp_path, check=True, capture_output=True, timeout=30)
    with Program([INTERPRETER, str(program)], tmp_path) as server:
        address = server.wait_for_url()
        for command, expected in commands(after.text, address):
            status, output = curl(command, tmp_path)
            if expected:
                assert masked(output) == masked(expected), command
            else:
                assert 200 <= status < 300, output
    assert server.code == 0, server.output


@pytest.mark.parametrize(("block", "after"), SCRIPTS, ids=[block.name for block, _ in SCRIPTS])
def test_script_of_the_documents(block: Block, after: Block | None, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(block.text, "utf-8")
    write_files(block, DOCUMENTS, tmp_path)
    skip_without_packages(block.text)
    ended = run_process([INTERPRETER, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    if after:
        assert ended.stdout.strip() == after.text.strip()


SKETCHES = [block for path in DOCUMENTS for block in blocks(path) if block.language == "py" and "import " in block.text]


@pytest.mark.parametrize("block", SKETCHES, ids=[block.name for block in SKETCHES])
def test_sketch_of_the_documents(block: Block):
    """A program that needs a database, or more than one page has: it is compiled, and its names of this package exist."""
    tree = ast.parse(block.text)
    compile(tree, block.name, "exec")
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "outside"
        for alias in node.names
    ]
    assert all(hasattr(outside, name) for name in names), names


def skip_without_packages(text: str) -> None:
    """Programs of the cookbook use packages that not every environment has."""
    for name in ("sqlalchemy", "PIL"):
        if f"from {name} import" in text:
            pytest.importorskip(name)


SHELL = [block for path in DOCUMENTS for block in blocks(path) if block.language == "sh"]
LINES = [line for block in SHELL for line in block.text.splitlines()]
# Those that serve something.
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for line in LINES
    if line.startswith("outside") and not line.startswith(("outside cert", "outside status"))
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_of_the_documents(arguments: list[str], tmp_path: Path):
    for name in ("photos", "dist"):
        (tmp_path / name).mkdir()
    (tmp_path / "dist/index.html").write_text("Hello")
    (tmp_path / "app.py").write_text("from outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 8080))\n")
    (tmp_path / "myflask.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite/wsgi.py").write_text("from flask import Flask\napplication = Flask(__name__)\n")
    with Program([sys.executable, "-m", "outside", *arguments, "--port", "0"], tmp_path) as server:
        assert server.wait_for_url()
    assert server.code == 0, server.output


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(path: Path, tmp_path: Path):
    """Each example starts and answers the request that its doc shows."""
    text = path.read_text("utf-8")
    shown = re.findall(r"^ *(\$ curl .*)$", text, re.MULTILINE)
    assert shown, "the doc of an example shows a curl command"
    shutil.copytree(path.parent / "templates", tmp_path / "templates")
    program = tmp_path / path.name
    program.write_text(text.replace("8080", "0"), "utf-8")
    with Program([sys.executable, str(program)], tmp_path) as server:
        address = server.wait_for_url()
        for command, _ in commands("\n".join(shown), address):
            status, output = curl(command)
            assert 200 <= status < 400, output
    assert server.code == 0, server.output


def test_make_run_serves_the_quick_start():
    """The first program of the README and the one behind `make run` are the same, but for the types."""
    example = (ROOT / "examples/python/hello.py").read_text("utf-8")
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    typed = first.text.replace("(request):", "(request: Request) -> Response:").replace("HTTP, Resp", "HTTP, Request, Resp")
    assert example.split('"""\n', 1)[1].strip() == typed.strip()


def test_the_table_names_every_config_key():
    from outside import OutsideHTTP

    rows = re.findall(
        r"^\| `(\w+)` \| `?(.*?)`? \|", (ROOT / "docs/reference/configuration.md").read_text("utf-8"), re.MULTILINE
    )
    shown = {key: default for key, default in rows if key != "host"}
    config = OutsideHTTP(("127.0.0.1", 8080)).config
    assert shown == {key: repr(value).replace("'", '"') for key, value in config.items() if key != "host"}


@pytest.mark.timeout(700)
def test_rust_quick_start_from_another_project(tmp_path: Path):
    """A package that depends on the crate by its path, as `cargo add --path` writes it, serves the Rust quick start."""
    rust = next(block for block in blocks(ROOT / "docs/guide/rust.md") if block.language.startswith("rust"))
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text(rust.text.replace("8080", "0"), "utf-8")
    manifest = '[package]\nname = "quick-start"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n'
    manifest += f'outside = {{ path = "{ROOT / "crates/outside"}" }}\n\n[profile.dev]\ndebug = "line-tables-only"\n'
    manifest += "\n[profile.test]\nopt-level = 1\n\n[profile.test.package.outside]\nopt-level = 0\n"
    (tmp_path / "Cargo.toml").write_text(manifest, "utf-8")
    (tmp_path / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())
    (tmp_path / "rust-toolchain.toml").write_bytes((ROOT / "rust-toolchain.toml").read_bytes())
    # The target folder and the profile of the Rust tests: crates that they have built are not built again.
    target = ROOT / "target"
    build = ["cargo", "build", "--quiet", "--offline", "--profile", "test", "--target-dir", str(target)]
    run_process(build, cwd=tmp_path, check=True, timeout=600)
    with Program([str(target / "debug/quick-start")], tmp_path) as server:
        status, output = curl(f"curl {server.wait_for_url()}/hello")
        assert (status, output) == (200, "Hello, World!")
    assert server.code == 0, server.output
