"""Open files of the server in processes that a program forks while it serves: a child has those of its own request alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import ExitStack

import pytest

from support.authority import Authority, needs_pebble, wait_for_certificate
from support.certificate_keeping import Keeping
from support.harness import PROGRAMS, Script, wait_until
from support.wire import Wire, fetch, parse_all, request_bytes

PROGRAM = PROGRAMS / "forking_files_app.py"
CONTENT = b"x" * (2 << 20)
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + CONTENT + b"\r\n--b--\r\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are looked at in /proc")


def files_of(pid: int) -> list[str]:
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return found


def all_open(pid: int, path: str) -> bool:
    """Whether a process has the file of the download and two nameless ones with content open."""
    files = files_of(pid)
    return path in files and sum(name.startswith("/") and name.endswith(" (deleted)") for name in files) >= 2


@pytest.fixture
def busy(tmp_path):
    """A server with a file on its way, content that is coming in, and content that a handler holds."""
    path = tmp_path / "large.bin"
    path.write_bytes(b"y" * (32 << 20))
    script = Script(str(PROGRAM), str(path))
    with ExitStack() as stack:
        downloading, uploading, holding = (stack.enter_context(Wire(script.address, window=4096)) for _ in range(3))
        downloading.send(request_bytes("/file"))
        uploading.send(request_bytes("/hold", "POST", {"Content-Length": str(8 << 20)}) + CONTENT)
        holding.send(request_bytes("/hold", "POST", body=CONTENT))
        wait_until(lambda: all_open(script.process.pid, str(path)), "the files to be open")
        yield script, str(path), holding
        if script.process.poll() is None:
            fetch(script.address, "/release")
            assert script.stop() == 0


@pytest.mark.parametrize("style", ["plain", "async"])
@pytest.mark.parametrize(("what", "body"), [("look", CONTENT), ("form", FORM), ("pieces", CONTENT)])
def test_a_child_has_the_files_of_its_own_request(busy, style, what, body):
    script, path, holding = busy
    headers = {"Content-Type": "multipart/form-data; boundary=b"} if what == "form" else {}
    files, length = json.loads(fetch(script.address, f"/{style}/{what}", "POST", headers, body).text)
    assert length == len(CONTENT)
    assert path not in files
    # Of a child that the asyncio loop has forked it is not known whose it is: the content that a handler holds stays.
    assert len(files) == (1 if style == "plain" else 2), files
    # The others go on.
    fetch(script.address, "/release")
    assert json.loads(holding.receive_answer().text)[1] == len(CONTENT)


def test_small_content_needs_no_file(busy):
    script, _, _ = busy
    files, length = json.loads(fetch(script.address, "/plain/look", "POST", {}, b"small").text)
    assert (files, length) == ([], 5)


@needs_pebble
def test_a_child_keeps_no_lock_of_a_certificate(tmp_path):
    """Another process takes the lead when the server has died, though the child lives."""
    authority = Authority(tmp_path / "authority")
    keeping = Keeping(tmp_path, authority)
    child = None
    try:
        context = authority.trusting()
        wait_for_certificate(authority.tls_port, context, "kept.example")
        wait_until(lambda: keeping.leader() is not None, "the lead")
        with (
            socket.create_connection(("127.0.0.1", authority.tls_port), 30) as sock,
            context.wrap_socket(sock, server_hostname="kept.example") as secure,
        ):
            secure.sendall(request_bytes("/child", headers={"Host": "kept.example", "Connection": "close"}))
            answer = b"".join(iter(lambda: secure.recv(65536), b""))
        child = int(parse_all(answer)[0].text)
        keeping.script.process.kill()
        keeping.script.process.wait(30)
        os.kill(child, 0)  # it lives
        wait_until(lambda: keeping.leader() is None, "the end of the lock")
    finally:
        if child is not None:
            os.kill(child, signal.SIGKILL)
        if keeping.script.process.poll() is None:
            keeping.stop()
        authority.stop()
