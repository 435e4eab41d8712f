"""`outside run`: the command line as a program sees it, and how the program ends when its server cannot start."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from support.run_command import APP, call_outside, program_folder, start_outside  # noqa: F401 - a fixture
from support.wire import fetch

ARGUMENTS = "import sys\n" + APP + "\nbefore = list(sys.argv)\nserver.set_route('/argv', lambda request: [before, sys.argv])\n"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("app.py", "app.py"),
        ("./app.py:server", "./app.py"),
        ("app:server", "{folder}/app.py"),
        ("shop.web.tool:server", "{folder}/shop/web/tool.py"),
        ("shop/web/tool.py:server", "shop/web/tool.py"),
        ("shop.all:server", "{folder}/shop/all/__init__.py"),
    ],
)
def test_a_program_sees_its_own_name_alone(program_folder: Path, target: str, name: str):
    (program_folder / "shop/all").mkdir()
    for file in ("app.py", "shop/web/tool.py", "shop/all/__init__.py"):
        (program_folder / file).write_text(ARGUMENTS)
    running = start_outside(program_folder, target, "--port", "0", "--log", "off")
    assert json.loads(fetch(running.address, "/argv").body) == [[name.format(folder=program_folder)]] * 2
    assert running.stop() == 0


def test_a_program_that_reads_its_arguments(program_folder: Path):
    (program_folder / "app.py").write_text(APP + "import argparse\nargparse.ArgumentParser().parse_args()\n")
    for options in ([], ["--workers", "2"]):
        running = start_outside(program_folder, "app:server", "--port", "0", *options)
        assert fetch(running.address, "/hello").text == "one"
        assert running.stop() == 0
    assert call_outside(program_folder, "routes", "app:server")[0] == 0


@pytest.mark.parametrize("workers", ["1", "2", "auto"])
def test_a_reason_not_to_start_is_one_sentence(program_folder: Path, workers: str):
    def fault(*arguments: str, **environment: str) -> str:
        status, output, errors = call_outside(
            program_folder, "run", "app:server", "--workers", workers, *arguments, **environment
        )
        assert (status, output, errors.count("\n")) == (3, "", 1), errors
        return errors

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"outside: cannot listen on 127.0.0.1:{port}" in fault("--port", port)
    assert "none.pem" in fault("--certfile", "none.pem")
    assert "app.py" in fault("--host", "unix:app.py")
    assert "'max_workers' comes from OUTSIDE_MAX_WORKERS" in fault(OUTSIDE_MAX_WORKERS="many")


def test_threads_of_the_program_before_workers_are_forked(program_folder: Path):
    (program_folder / "app.py").write_text(
        APP + "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='mine', daemon=True).start()\n"
    )
    status, _, errors = call_outside(program_folder, "run", "app:server", "--workers", "2")
    assert (status, "Traceback" in errors, "mine" in errors) == (3, False, True), errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_exception_of_the_program_keeps_its_traceback(program_folder: Path, workers: str):
    (program_folder / "app.py").write_text(
        APP + "class Own(OutsideHTTP):\n    def run(self):\n        raise OSError('own')\nserver = Own(('127.0.0.1', 0))\n"
    )
    status, _, errors = call_outside(program_folder, "run", "app:server", "--workers", workers)
    assert (status, "Traceback" in errors, "OSError: own" in errors) == (1, True, True)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PORT": "abc"}, "PORT is a number from 0 to 65535, not 'abc'"),
        ({"PORT": "8080.5"}, "PORT is a number from 0 to 65535, not 8080.5"),
        ({"PORT": "65536"}, "PORT is a number from 0 to 65535, not 65536"),
        ({"OUTSIDE_PORT": "-1", "PORT": "80"}, "OUTSIDE_PORT is a number from 0 to 65535, not -1"),
        ({"WEB_CONCURRENCY": "many"}, "'processes' comes from WEB_CONCURRENCY"),
        ({"OUTSIDE_WORKERS": "0"}, "'processes' comes from OUTSIDE_WORKERS"),
        ({"OUTSIDE_PROCESSES": "0", "WEB_CONCURRENCY": "2"}, "'processes' comes from OUTSIDE_PROCESSES"),
        ({"OUTSIDE_KEEP_ALIVE": "perhaps"}, "'keep_alive' comes from OUTSIDE_KEEP_ALIVE"),
    ],
    ids=str,
)
def test_a_variable_that_is_wrong_is_named(program_folder: Path, environment: dict[str, str], said: str):
    status, _, errors = call_outside(program_folder, "run", "app:server", **environment)
    assert (status in (2, 3), "Traceback" in errors) == (True, False)
    assert said in errors


def test_a_variable_that_does_not_count_is_not_named(program_folder: Path):
    running = start_outside(program_folder, "app:server", "--port", "0", PORT="abc", WEB_CONCURRENCY="1")
    assert running.stop() == 0
    (program_folder / "app.py").write_text(APP + "server.config['processes'] = 'many'\n")
    assert "WEB_CONCURRENCY" not in call_outside(program_folder, "run", "app:server")[2]
