"""The command `outside`: one program behind the binary, the script of the package and `python -m outside`."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

from outside import __version__
from support.command import binary, call_command, program  # noqa: F401 - fixtures
from support.harness import ROOT, Script, wait_until
from support.log_lines import HOSTILE
from support.subprocesses import run_process, start_process
from support.wire import DEADLINE, Wire, fetch

# The first one builds the command, on a machine that may be busy.
pytestmark = pytest.mark.timeout(700)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a page, a text and a folder without a page."""
    (tmp_path / "index.html").write_text("<h1>Hello</h1>", "utf-8")
    (tmp_path / "notes.txt").write_text("milk, bread\n", "utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/photo.png").write_bytes(b"\x89PNG")
    return tmp_path


def url(running: Script, path: str = "/") -> str:
    host, port = running.address
    return f"http://{host}:{port}{path}"


def test_help_and_version(program):
    code, output, errors = call_command(program, "--help")
    assert (code, errors) == (0, "")
    assert output == (ROOT / "crates/outside-cli/src/help.txt").read_text("utf-8")
    assert call_command(program, "-h") == (code, output, errors)
    assert call_command(program, "--version") == (0, f"outside {__version__}\n", "")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_until_a_signal(program, folder, signum):
    running = Script("--port", "0", program=program, folder=folder)
    assert running.line == f'outside is serving "{folder}" on {url(running, "")} (Ctrl+C stops it)\n'
    with urllib.request.urlopen(url(running, "/notes.txt"), timeout=DEADLINE) as answer:
        assert answer.read() == b"milk, bread\n"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert fetch(running.address, "/").body == b"<h1>Hello</h1>"
    assert fetch(running.address, "/empty/").status == 404
    assert running.stop(signum) == 0
    assert (running.output, "Traceback" in running.errors) == ("", False)


def test_another_folder(program, folder):
    running = Script("empty", "-p0", "--log", "off", program=program, folder=folder)
    assert running.line.startswith(f'outside is serving "{folder}/empty" on ')
    assert fetch(running.address, "/photo.png").status == 200
    assert fetch(running.address, "/../notes.txt").status == 404
    assert running.stop() == 0
    # There is nothing at / itself, and that is said.
    assert running.output.startswith("Note: there is no index.html in it")
    assert running.output.count("\n") == 1
    assert running.errors == ""


def test_options_of_a_folder(program, folder):
    running = Script(
        "-lp0", "--spa=notes.txt", "--cache-control", "*.txt=no-cache", "--no-compression", program=program, folder=folder
    )
    assert b"photo.png" in fetch(running.address, "/empty/").body
    assert fetch(running.address, "/some/page", headers={"Accept": "text/html"}).body == b"milk, bread\n"
    assert fetch(running.address, "/notes.txt").header("Cache-Control") == "no-cache"
    assert running.stop() == 0
    assert running.output == ""


def test_compression_can_be_left_out(binary, folder):
    (folder / "long.txt").write_text("long " * 1000, "utf-8")
    for arguments, coding in [((), "gzip"), (("--no-compression",), None)]:
        running = Script("-p0", *arguments, program=[binary], folder=folder)
        answer = fetch(running.address, "/long.txt", headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.header("Content-Encoding")) == (200, coding)
        assert running.stop() == 0


def test_redirect(program):
    running = Script("redirect", "https://example.com/base", "--port=0", program=program)
    answer = fetch(running.address, "/a?b=c", "POST")
    assert (answer.status, answer.header("Location")) == (308, "https://example.com/base/a?b=c")
    assert running.stop(signal.SIGINT) == 0
    assert "https://example.com/base" in running.line


def test_unix_socket(program, tmp_path):
    arguments = [*program, "redirect", "https://example.com", "--host", "unix:a.sock", "--log=off"]
    with start_process(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "http+unix:a.sock" in process.stdout.readline()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(DEADLINE)
                connection.connect(str(tmp_path / "a.sock"))
                connection.sendall(get("/"))
                assert connection.recv(12) == b"HTTP/1.1 301"
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    assert not (tmp_path / "a.sock").exists()


def test_a_second_signal_cuts(program):
    running = Script("redirect", "https://example.com", "-p0", program=program)
    with Wire(running.address) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        assert fetch(running.address, "/").status == 301
        running.process.send_signal(signal.SIGINT)
        wait_until(lambda: not is_accepting(running.address), "the end")
        assert running.process.poll() is None, "what had begun was not waited for"
        assert running.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("is_ignored", [False, True])
def test_sighup_does_not_end_it(program, is_ignored):
    prefix = ["sh", "-c", 'trap "" HUP; exec "$@"', "-"] if is_ignored else []
    running = Script("redirect", "https://example.com", "-p0", "--log=off", program=[*prefix, *program])
    running.process.send_signal(signal.SIGHUP)
    if not is_ignored:
        readable, _, _ = select.select([running.process.stderr], [], [], DEADLINE)
        assert readable, "nothing was said"
    assert fetch(running.address, "/").status == 301
    assert running.stop() == 0
    assert (
        "SIGHUP: there are no certificates; a single process does not load its program again" in running.errors
    ) != is_ignored


def is_accepting(address: tuple) -> bool:
    try:
        socket.create_connection(address, DEADLINE).close()
    except ConnectionError:
        return False
    return True


def test_a_busy_port(program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output, errors = call_command(program, "--port", str(port))
    assert (code, output) == (3, "")
    assert errors.count("\n") == 1
    for part in (f"127.0.0.1:{port}", "another program", "--port"):
        assert part in errors


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["nowhere"], 3, ["there is no folder", "nowhere"]),
        (["rnu"], 3, ["there is no folder", "rnu", "did you mean outside run?"]),
        (["app:server"], 3, ["there is no folder", "outside run app:server"]),
        (["rnu", "app:server"], 2, ["there is no command", "rnu", "did you mean run?"]),
        (["notes.txt"], 3, ["notes.txt", "no folder"]),
        (["notes.txt/x"], 3, ["notes.txt/x", "no folder"]),
        (["--host", "192.0.2.1"], 3, ["192.0.2.1", "--host"]),
        (["--host", "name.invalid"], 3, ["name.invalid", "--host"]),
        (["--host", "127.0.0.1:80"], 3, ["--host 127.0.0.1 --port 80"]),
        (["--host", "unix:nowhere/a.sock"], 3, ["nowhere/a.sock"]),
        (["--prot", "80"], 2, ["--prot", "did you mean --port?", "--help"]),
        (["--port", "http"], 2, ["0 to 65535", "http"]),
        (["a", "b"], 2, ["one argument too many"]),
        (["redirect"], 2, ["URL", "./redirect"]),
        (["redirect", "example.com"], 2, ["http://", "example.com"]),
        (["redirect", "https://a b"], 2, ["https://a b"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(binary, folder, arguments, code, parts):
    ended, output, errors = call_command([binary], *arguments, folder=folder)
    assert (ended, output) == (code, "")
    assert re.fullmatch(r"outside: .*\n", errors), errors
    for part in parts:
        assert part in errors


def test_faults_end_the_python_faces_the_same_way(program):
    for arguments, expected in [(["--prot"], 2), (["nowhere"], 3)]:
        code, output, errors = call_command(program, *arguments)
        assert (code, output) == (expected, "")
        assert re.fullmatch(r"outside: .*\n", errors), errors


def test_a_folder_that_may_not_be_read(binary):
    with tempfile.TemporaryDirectory() as folder:
        secret, program = Path(folder, "secret"), shutil.copy(binary, folder)
        secret.mkdir(mode=0o000)
        os.chmod(folder, 0o755)
        # Root may read everything.
        user = {"user": 65534} if os.geteuid() == 0 else {}
        ended = run_process([program, secret], capture_output=True, text=True, timeout=DEADLINE, **user)
    assert ended.returncode == 3
    assert re.fullmatch(rf'outside: no permission .*"{secret}"\n', ended.stderr), ended.stderr


CALLED_FROM_PYTHON = """
import os, re, signal, sys, threading, urllib.request
from outside._outside import command

heard, told = os.pipe()
printed = os.dup(1)
os.dup2(told, 1)

def visit():
    line = os.read(heard, 4096).decode()
    url = re.search(r"http://[\\d.:]+", line)[0]
    with urllib.request.urlopen(url + "/notes.txt") as answer:
        os.write(printed, answer.read())
    os.kill(os.getpid(), signal.SIGINT)

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
for _ in range(2):
    visitor = threading.Thread(target=visit)
    visitor.start()
    assert command(["outside", "--port", "0", "--log", "off", "."]) == 0
    visitor.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
"""


def test_python_goes_on_beside_it_and_gets_its_signals_back(folder):
    """Other threads of the program run meanwhile, and it can be called again."""
    code, output, errors = call_command([sys.executable], "-c", CALLED_FROM_PYTHON, folder=folder)
    assert (code, output, errors) == (0, "milk, bread\n" * 2, "")


class Terminal:
    """A terminal in place of standard error."""

    def __init__(self) -> None:
        self._screen, self.descriptor = os.openpty()

    def read(self, count: int) -> list[str]:
        """This many lines, waiting for them."""
        text = b""
        while text.count(b"\n") < count:
            readable, _, _ = select.select([self._screen], [], [], DEADLINE)
            assert readable, text
            text += os.read(self._screen, 65536)
        return text.decode().split("\r\n")[:-1]


SHORT = re.compile(r"\d\d:\d\d:\d\dZ (\d{3}) +([\d.]+ k?B) +([\d.]+ m?s|-)  (.*) 127\.0\.0\.1")
COLOURS = re.compile(r"\x1b\[(\d+)m(.*?)\x1b\[0m")


def lines_on_a_terminal(program: list[str], folder: Path, requests: list[bytes], *arguments: str, **environment: str):
    terminal = Terminal()
    environment = {"TERM": "xterm", "NO_COLOR": "", **environment}
    running = Script(*arguments, program=program, folder=folder, stderr=terminal.descriptor, environment=environment)
    for raw in requests:
        with Wire(running.address) as wire:
            wire.send(raw).send_end().receive_answer()
    lines = terminal.read(len(requests))
    assert running.stop() == 0
    return lines


def get(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def test_a_terminal_shows_colours(program, folder):
    requests = [get("/notes.txt"), get("/nothing?a"), get("/empty"), b"nonsense\r\n\r\n"]
    lines = lines_on_a_terminal(program, folder, requests, "-lp0")
    for line, (status, colour, request) in zip(
        lines,
        [(200, 32, "GET /notes.txt"), (404, 33, "GET /nothing?a"), (301, 36, "GET /empty"), (400, 33, "-")],
        strict=True,
    ):
        assert (str(colour), str(status)) in COLOURS.findall(line), line
        shown = SHORT.fullmatch(COLOURS.sub(r"\2", line))
        assert shown, line
        assert (shown[1], shown[4]) == (str(status), request)
    assert "12 B" in lines[0]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_colours_can_be_refused(binary, folder, environment):
    (line,) = lines_on_a_terminal([binary], folder, [get("/notes.txt")], "-p0", **environment)
    assert SHORT.fullmatch(line), line


@pytest.mark.parametrize("colour", ["", "1"])
def test_nothing_from_outside_controls_the_terminal(binary, folder, colour):
    # A warning that names the limit comes before the lines.
    hostile = {name: raw for name, raw in HOSTILE.items() if not name.startswith("too long")}
    lines = lines_on_a_terminal([binary], folder, list(hostile.values()), "-p0", "--allowed-host=*", NO_COLOR=colour)
    assert len(lines) == len(hostile)
    for name, line in zip(hostile, lines, strict=True):
        assert re.fullmatch(r"[\x20-\x7e]+", COLOURS.sub(r"\2", line)), (name, line)


def test_a_form_that_was_asked_for_has_no_colours(binary, folder):
    (line,) = lines_on_a_terminal([binary], folder, [get("/notes.txt")], "-p0", "--log", "common")
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /notes.txt HTTP/1.1" 200 12', line), line


def test_elsewhere_than_on_a_terminal_it_is_json(binary, folder):
    running = Script("-p0", program=[binary], folder=folder, environment={"FORCE_COLOR": "1"})
    assert fetch(running.address, "/notes.txt").status == 200
    assert running.stop() == 0
    assert running.errors.startswith('{"time":')


SERVER = """
import logging, os, sys
from outside import OutsideHTTP
if sys.argv[1:]:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
server = OutsideHTTP(("127.0.0.1", 0))
server.set_route("/", lambda request: "Hello!")
server.run()
"""


def test_records_of_logging_have_no_colours(folder):
    """It may end in a file."""
    (line,) = lines_on_a_terminal([sys.executable, "-c", SERVER], folder, [get("/")])
    assert SHORT.fullmatch(COLOURS.sub(r"\2", line)), line
    assert "\x1b" in line
    (line,) = lines_on_a_terminal([sys.executable, "-c", SERVER, "by logging"], folder, [get("/")])
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET / HTTP/1.1" 200 6', line), line
