"""`outside cert`, and that the command never serves its own certificate or key, wherever they lie."""

from __future__ import annotations

import os
import shlex
import shutil
import ssl
import stat
from pathlib import Path

import pytest

from support.certificates import SecureWire, certificate
from support.command import binary, call_command, program  # noqa: F401 - fixtures
from support.harness import Script
from support.subprocesses import run_process
from support.wire import Answer, request_bytes


def ask(running: Script, certfile: Path | str, target: str, **headers: str) -> Answer:
    with SecureWire(running.address, ssl.create_default_context(cafile=str(certfile))) as wire:
        return wire.send(request_bytes(target, headers=headers)).receive_answer()


def test_it_writes_into_a_folder_for_its_owner_alone(program, tmp_path: Path):
    code, output, errors = call_command(program, "cert", "localhost", folder=tmp_path)
    assert (code, errors) == (0, "")
    folder = tmp_path / ".outside"
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}
    assert os.listdir(tmp_path) == [".outside"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes["localhost.key"] == oct(0o600)
    assert (folder / ".gitignore").read_text() == "*\n"
    assert "outside --certfile .outside/localhost.pem --keyfile .outside/localhost.key\n" in output


def test_the_command_that_it_prints_does_not_serve_them(program, tmp_path: Path):
    lines = call_command(program, "cert", "localhost", folder=tmp_path)[1].splitlines()
    command = next(shlex.split(line) for line in lines if line.startswith("outside "))
    running = Script(*command[1:], "--port", "0", "--listing", "--log", "off", program=program, folder=tmp_path)
    pem = tmp_path / ".outside/localhost.pem"
    for target in ("localhost.key", "localhost.pem", ".outside/localhost.key", ".outside/", "%2eoutside/localhost.key"):
        assert ask(running, pem, f"/{target}").status == 404, target
    assert ".outside" not in ask(running, pem, "/").text
    assert running.stop() == 0


def test_a_folder_that_is_there(program, tmp_path: Path):
    folder = tmp_path / ".outside"
    folder.mkdir(mode=0o755)
    assert call_command(program, "cert", "localhost", folder=tmp_path)[0] == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert call_command(program, "cert", "a.example", folder=tmp_path)[0] == 0
    code, _, errors = call_command(program, "cert", "a.example", folder=tmp_path)
    assert (code, ".outside/a.example.pem is there already" in errors) == (3, True)
    shutil.rmtree(folder)
    (tmp_path / "elsewhere").mkdir()
    for make in (lambda: folder.symlink_to("elsewhere"), folder.touch):
        make()
        code, _, errors = call_command(program, "cert", "localhost", folder=tmp_path)
        assert (code, ".outside is there already, and is no folder" in errors) == (3, True)
        folder.unlink()
    assert os.listdir(tmp_path / "elsewhere") == []


def test_its_own_are_not_served_under_any_name(program, tmp_path: Path):
    own = certificate(tmp_path / "made")
    site = tmp_path / "site"
    (site / "tls").mkdir(parents=True)
    pem, key = site / "tls/server.pem", site / "tls/server.key"
    shutil.move(own.certfile, pem)
    shutil.move(own.keyfile, key)
    os.link(key, site / "hard.txt")
    (site / "soft.txt").symlink_to("tls/server.key")
    shutil.copy(key, site / "page.txt.gz")
    os.remove(site / "page.txt.gz")
    (site / "page.txt").write_text("page\n" * 400)
    os.link(key, site / "page.txt.gz")
    (site / "other.key").write_text("another key\n")
    arguments = ["--certfile", "tls/server.pem", "--keyfile", "tls/server.key", "-lp0", "--log=off", "--spa=tls/server.key"]
    running = Script(*arguments, program=program, folder=site)
    for target in ("tls/server.key", "tls/server.pem", "hard.txt", "soft.txt", "page.txt.gz", "tls%2fserver.key", "hard.txt?x"):
        for headers in ({}, {"Range": "bytes=0-20"}, {"Accept": "text/html", "Accept-Encoding": "gzip"}):
            answer = ask(running, pem, f"/{target}", **headers)
            assert (answer.status, b"PRIVATE KEY" in answer.body) == (404, False), (target, headers)
    assert ask(running, pem, "/page.txt", **{"Accept-Encoding": "gzip;q=1, identity;q=0.5"}).body.find(b"PRIVATE KEY") == -1
    assert ask(running, pem, "/other.key").text == "another key\n"
    listed = ask(running, pem, "/").text + ask(running, pem, "/tls/").text
    assert "other.key" in listed
    assert not any(name in listed for name in ("hard.txt", "soft.txt", "server.key", "server.pem", "page.txt.gz"))
    # A renewed one is another file under the same name.
    shutil.copy(key, site / "tls/new.key")
    os.replace(site / "tls/new.key", key)
    assert ask(running, pem, "/tls/server.key").status == 404
    assert running.stop() == 0


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_over_http_2_and_from_a_program(tmp_path: Path):
    own = certificate(tmp_path)
    (tmp_path / "public").mkdir()
    for file in (own.certfile, own.keyfile):
        os.link(file, tmp_path / "public" / Path(file).name)
    (tmp_path / "program.py").write_text(
        "from outside import Folder, OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
        "server.config.update(access_log='off', ssl_certificates=[{'certfile': '.outside/localhost.pem', 'keyfile': '.outside/localhost.key'}], ssl_enabled=True)\n"
        "server.set_route('/files', Folder('public'))\nserver.run()\n"
    )
    running = Script("program.py", folder=tmp_path)
    for version in ("--http2", "--http1.1"):
        url = f"https://localhost:{running.address[1]}/files/localhost.key"
        command = ["curl", "--silent", version, "--cacert", own.certfile, "--write-out", "%{http_code}", url]
        told = run_process(command, capture_output=True, text=True, check=True, timeout=20).stdout
        assert (told[-3:], "PRIVATE" in told) == ("404", False)
    assert running.stop() == 0
