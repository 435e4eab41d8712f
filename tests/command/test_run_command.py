"""`outside run` and `outside routes`: which server is meant, which settings count, and the reload when a file changes."""

from __future__ import annotations

import json
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from outside import OutsideHTTP
from outside._dev.environment import settings_of
from support.harness import wait_until
from support.run_command import APP, OUTSIDE, Reloading, call_outside, program_folder, start_outside  # noqa: F401 - a fixture
from support.subprocesses import start_process
from support.wire import DEADLINE, fetch


class TestWhichServer:
    @pytest.mark.parametrize(
        ("target", "text"),
        [
            ("app:server", "one"),
            ("app.py:server", "one"),
            ("./app.py:server", "one"),
            ("app", "one"),
            ("app:make_server()", "made"),
            ("app:make_server('x', )", "x"),
            ("app:make_server(name='y')", "y"),
            ("shop.web.site:site", "two"),
            ("shop/web/site.py:site", "two"),
            ("shop.web.site:Holder.site", "two"),
        ],
    )
    def test_every_way_to_name_it(self, program_folder: Path, target: str, text: str):
        running = start_outside(program_folder, target)
        assert fetch(running.address, "/hello").body.decode() == text
        assert running.stop() == 0

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("app:sever", "app has no 'sever'; did you mean server?"),
            ("app:zzz", "app has no 'zzz'; its servers: server"),
            ("apq:server", "there is no module 'apq' here; did you mean app?"),
            ("shop.web.sight:site", "there is no module 'shop.web.sight' here"),
            ("shop/web/sit.py:site", "there is no file shop/web/sit.py; did you mean shop/"),
            ("app:hello", "app:hello is no server but a function; its servers: server"),
            ("app:OutsideHTTP", "app:OutsideHTTP is no server but the class OutsideHTTP"),
            ("app:make_server(x)", "no call with plain values"),
            ("app:server:more", "named as module:name or path/to/file.py:name"),
            ("a-b:server", "'a-b' is no name of a module"),
            ("shop.prices", "shop.prices has no server"),
        ],
    )
    def test_a_wrong_name_is_answered_with_the_right_one(self, program_folder: Path, target: str, said: str):
        status, output, errors = call_outside(program_folder, "run", target)
        assert status in (2, 3)
        assert output == ""
        assert errors.startswith("outside: ") and said in errors, errors
        assert "Traceback" not in errors

    def test_an_exception_of_a_program_is_shown_without_our_own_frames(self, program_folder: Path):
        for source, last in (("import nonsense", "ModuleNotFoundError: No module named 'nonsense'"), ("1 +", "SyntaxError")):
            (program_folder / "broken.py").write_text(source)
            status, _, errors = call_outside(program_folder, "run", "broken:server")
            assert status == 3
            assert last in errors and "broken.py" in errors
            assert errors.endswith("outside: broken cannot be imported\n")
            assert "target.py" not in errors and "importlib" not in errors

    def test_a_program_that_runs_itself_when_it_is_imported(self, program_folder: Path):
        (program_folder / "eager.py").write_text(APP + "server.run()\n")
        running = start_outside(program_folder, "eager:server")
        assert fetch(running.address, "/hello").body == b"one"
        assert running.stop() == 0
        assert "run() was called while the program was imported" in running.errors

    def test_reasons_not_to_start(self, program_folder: Path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            status, _, errors = call_outside(program_folder, "run", "app:server", "--port", port)
            assert (status, "Traceback" in errors) == (3, False)
            assert f"outside: cannot listen on 127.0.0.1:{port}" in errors
        status, _, errors = call_outside(program_folder, "run", "app:server", "--debug", "--host", "0.0.0.0")
        assert status == 3
        assert errors.startswith('outside: config["debug"] shows source lines')


class TestWhichSettings:
    """The command line counts before the environment, and that before the program."""

    @pytest.fixture
    def shows(self, program_folder: Path):
        (program_folder / "app.py").write_text(APP + "server.set_route('/config', lambda request: server.config)\n")

        def shows(*arguments: str, **environment: str) -> dict:
            running = start_outside(program_folder, "app:server", *arguments, **environment)
            config = json.loads(fetch(running.address, "/config").body)
            assert running.stop() == 0
            self.errors = running.errors
            return config

        return shows

    def test_the_port(self, shows):
        free = [self.free_port() for _ in range(3)]
        assert shows()["host"] == ["127.0.0.1", 0]
        assert shows(PORT=free[0])["host"] == ["127.0.0.1", int(free[0])]
        assert shows(PORT=free[0], OUTSIDE_PORT=free[1])["host"] == ["127.0.0.1", int(free[1])]
        assert shows("--port", free[2], PORT=free[0], OUTSIDE_PORT=free[1])["host"] == ["127.0.0.1", int(free[2])]

    def free_port(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return str(listener.getsockname()[1])

    def test_the_host(self, shows):
        assert shows(OUTSIDE_HOST="127.0.0.2")["host"] == ["127.0.0.2", 0]
        assert shows("--host", "127.0.0.3", OUTSIDE_HOST="127.0.0.2")["host"] == ["127.0.0.3", 0]

    def test_the_processes(self, shows):
        assert shows(WEB_CONCURRENCY="2")["processes"] == 2
        assert shows("-w", "1", WEB_CONCURRENCY="2", OUTSIDE_PROCESSES="3")["processes"] == 1

    def test_every_key(self, shows):
        config = shows(
            OUTSIDE_MAX_BODY_SIZE_MB="0.5", OUTSIDE_KEEP_ALIVE="no", OUTSIDE_HEALTH_ROUTE="/up", OUTSIDE_DEBUG="1",
            OUTSIDE_TRUSTED_PROXIES="10.0.0.0/8, ::1", OUTSIDE_SYMLINKS="never", OUTSIDE_MAX_CONNECTIONS="50",
        )  # fmt: skip
        wanted = {
            "max_body_size_mb": 0.5, "keep_alive": False, "health_route": "/up", "debug": True, "max_connections": 50,
            "trusted_proxies": ["10.0.0.0/8", "::1"], "symlinks": "never", "access_log": "off",
        }  # fmt: skip
        assert {key: config[key] for key in wanted} == wanted

    def test_the_log(self, shows):
        assert shows("--log", "common", OUTSIDE_ACCESS_LOG="json")["access_log"] == "common"

    def test_mistyped_names_are_warned_of_and_those_of_others_left_alone(self, shows):
        shows(OUTSIDE_PROT="1", OUTSIDE_TEMPERATURE="20")
        assert "OUTSIDE_PROT is no setting; did you mean OUTSIDE_PORT?" in self.errors
        assert "TEMPERATURE" not in self.errors

    def test_wrong_values_are_refused_by_name(self, program_folder: Path):
        status, _, errors = call_outside(
            program_folder, "run", "app:server", OUTSIDE_MAX_WORKERS="many", OUTSIDE_KEEP_ALIVE="perhaps"
        )
        assert status == 3
        for part in ('config["max_workers"] is "many"; allowed: a whole number', 'config["keep_alive"] is "perhaps"'):
            assert part in errors
        assert (
            call_outside(program_folder, "run", "app:server", PORT="http")[2]
            == "outside: PORT is a number from 0 to 65535, not 'http'\n"
        )

    def test_each_key_can_be_set(self):
        defaults = OutsideHTTP(("127.0.0.1", 0)).config
        written = {key: ",".join(value) if isinstance(value, list) else str(value) for key, value in defaults.items()}
        environment = {f"OUTSIDE_{key.upper()}": text for key, text in written.items() if key != "host" and defaults[key] != []}
        found, warnings = settings_of(environment, defaults)
        assert found == {key: value for key, value in defaults.items() if key != "host" and value != []}
        assert warnings == []


def test_routes_of_decorators_and_groups(program_folder: Path):
    (program_folder / "app.py").write_text(
        "from outside import OutsideHTTP, Routes\n"
        "server, api = OutsideHTTP(('127.0.0.1', 0)), Routes('/api')\n"
        "@api.route('/items/<int:number>', methods=['GET', 'PUT'])\n"
        "def item(number): ...\n"
        "@server.websocket('/chat/{room}')\n"
        "async def chat(connection, room): ...\n"
        "server.mount(api, '/v1')\n"
        "server.set_route('/', lambda request: '', host='admin.example')\n"
    )
    lines = call_outside(program_folder, "routes", "app:server")[1].splitlines()
    assert [re.split(r"  +", line) for line in lines] == [
        ["METHODS", "PATH", "HOST", "HANDLER"],
        ["WebSocket", "/chat/{room}", "WebSocket app.py:5"],
        ["GET, PUT", "/v1/api/items/<int:number>", "item", "app.py:3"],
        ["any", "/…", "admin.example", "<lambda>", "app.py:8"],
    ]


def test_routes(program_folder: Path):
    (program_folder / "app.py").write_text(
        APP
        + "from outside import FilePath, Folder, WebSocket\n"
        + "import pathlib\n"
        + "ws = WebSocket()\n"
        + "@ws.on_connection\n"
        + "async def talk(connection): ...\n"
        + "server.set_route('/ws', ws)\n"
        + "server.set_route('/', Folder('shop'))\n"
        + "server.set_route('/app.py', FilePath('app.py'))\n"
    )
    status, output, errors = call_outside(program_folder, "routes", "app:server")
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0].split() == ["METHODS", "PATH", "HANDLER"]
    assert [re.split(r"  +", line)[1:] for line in lines[1:]] == [
        ["/app.py/…", "file app.py"],
        ["/hello/…", "hello", "app.py:7"],
        ["/ws/…", "WebSocket talk", "app.py:21"],
        ["/…", "folder shop"],
    ]
    assert call_outside(program_folder, "routes", "app:sever")[0] == 3


class TestReload:
    @pytest.fixture
    def reloading(self, program_folder: Path) -> Iterator[Reloading]:
        running = Reloading(program_folder, "app:server", "--debug")
        yield running
        assert running.stop() == 0, running.said

    def replace(self, file: Path, before: str, after: str) -> None:
        """As editors do: a new file in place of the old one."""
        new = file.with_suffix(".new")
        new.write_text(file.read_text().replace(before, after))
        new.replace(file)

    @pytest.mark.timed
    def test_a_change_is_served_within_a_second(self, program_folder: Path, reloading: Reloading):
        assert reloading.get() == (200, "one")
        before = time.monotonic()
        self.replace(program_folder / "app.py", '"one"', '"new"')
        wait_until(lambda: reloading.get() == (200, "new"), "the new answer")
        took = time.monotonic() - before
        # A second on a machine that does nothing else; this one may.
        assert took < 5, took
        assert "outside: app.py changed" in reloading.said

    def test_no_request_is_refused_while_it_starts_again(self, program_folder: Path, reloading: Reloading):
        answers: list[str] = []
        failures: list[BaseException] = []
        end = threading.Event()

        def ask() -> None:
            while not end.is_set():
                try:
                    status, text = reloading.get()
                    answers.append(text if status == 200 else str(status))
                except OSError as error:
                    failures.append(error)
                    return

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(3):
            self.replace(program_folder / "app.py", f'"{("one", "n0", "n1")[number]}"', f'"n{number}"')
            wait_until(lambda wanted=f"n{number}": wanted in answers or failures, f"n{number}")
        end.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert failures == []
        assert set(answers) == {"one", "n0", "n1", "n2"}

    def test_a_syntax_error_is_shown_and_its_end_waited_for(self, program_folder: Path, reloading: Reloading):
        self.replace(program_folder / "app.py", "def hello(request):", "def hello(request:")
        wait_until(lambda: reloading.get()[0] == 500, "the error")
        text = reloading.get("/any")[1]
        assert "app.py" in text and "SyntaxError" in text
        assert "SyntaxError" in reloading.said and "app cannot be imported" in reloading.said
        self.replace(program_folder / "app.py", "def hello(request:", "def hello(request):")
        wait_until(lambda: reloading.get() == (200, "one"), "the program as it was")

    def test_a_module_that_is_missing_an_attribute_that_is_gone(self, program_folder: Path, reloading: Reloading):
        self.replace(program_folder / "app.py", "from outside import", "import nonsense\nfrom outside import")
        wait_until(lambda: "No module named 'nonsense'" in reloading.get()[1], "the error")
        self.replace(program_folder / "app.py", "import nonsense\n", "")
        wait_until(lambda: reloading.get() == (200, "one"), "the program as it was")
        self.replace(program_folder / "app.py", "server", "serve")
        wait_until(lambda: "did you mean serve?" in reloading.said, "the hint")
        assert reloading.get() == (500, "500 The program cannot be started\n")
        self.replace(program_folder / "app.py", "serve", "server")
        wait_until(lambda: reloading.get() == (200, "one"), "the program as it was")

    def test_a_program_that_ends_itself_badly_is_started_by_the_next_change(self, program_folder: Path, reloading: Reloading):
        self.replace(program_folder / "app.py", "server.set_route", "import os; os._exit(7)\nserver.set_route")
        wait_until(lambda: "ended with exit status 7; it is started again when a file changes" in reloading.said, "its end")
        self.replace(program_folder / "app.py", "import os; os._exit(7)\n", "")
        wait_until(lambda: reloading.get() == (200, "one"), "the program as it was")

    def test_the_address_may_change(self, program_folder: Path, reloading: Reloading):
        self.replace(program_folder / "app.py", '("127.0.0.1", 0)', '("127.0.0.2", 0)')
        line = reloading.read_line()
        match = re.search(r"http://(127\.0\.0\.2):(\d+)", line)
        assert match, line
        reloading.address = (match[1], int(match[2]))
        assert reloading.get() == (200, "one")

    def test_files_that_are_imported_below_and_later(self, program_folder: Path):
        (program_folder / "late.py").write_text("text = 'early'\n")
        self.replace(program_folder / "shop/web/site.py", "    return apple", "    import late\n    return apple + late.text")
        running = Reloading(program_folder, "shop.web.site:site")
        assert running.get() == (200, "twoearly")
        self.replace(program_folder / "shop/prices.py", "two", "three")
        wait_until(lambda: running.get() == (200, "threeearly"), "the change of a module of the package")
        # That it is watched now cannot be seen from here: it is changed until that is noticed.
        number = 0

        def noticed() -> bool:
            nonlocal number
            number += 1
            (program_folder / "late.py").write_text(f"text = 'late{number}'\n")
            return "late.py changed" in running.said

        wait_until(noticed, "the change of a module that was imported by a handler")
        assert running.stop() == 0

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_its_end(self, program_folder: Path, signum: int):
        (program_folder / "app.py").write_text(
            APP + "server.config['server_cleanup'] = lambda: print('cleaned up', flush=True)\n"
        )
        running = Reloading(program_folder, "app:server")
        assert running.get() == (200, "one")
        assert running.stop(signum) == 0
        assert running.read_line() == "cleaned up\n"
        with pytest.raises(ConnectionRefusedError):
            running.get()

    def test_no_child_is_left_behind_when_it_is_killed(self, program_folder: Path):
        running = Reloading(program_folder, "app:server")
        running.process.kill()
        running.process.wait(DEADLINE)

        def is_gone() -> bool:
            try:
                return running.get()[0] == 0
            except OSError:
                return True

        wait_until(is_gone, "the end of the child")

    def test_a_port_in_use_is_no_matter_for_waiting(self, program_folder: Path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            status, _, errors = call_outside(
                program_folder, "run", "app:server", "--reload", "--port", str(taken.getsockname()[1])
            )
        assert status == 3
        assert "cannot listen on" in errors

    def test_a_module_that_was_never_there(self, program_folder: Path):
        status, _, errors = call_outside(program_folder, "run", "apq:server", "--reload")
        assert (status, "did you mean app?" in errors) == (3, True)

    def test_not_with_several_processes(self, program_folder: Path):
        status, _, errors = call_outside(program_folder, "run", "app:server", "--reload", "--workers", "2")
        assert (status, errors) == (2, "outside: --reload is for one process, so it takes no --workers\n")

    def test_a_unix_socket_stays_where_it_is(self, program_folder: Path):
        path = program_folder / "app.sock"
        with start_process(
            [*OUTSIDE, "run", "app:server", "--reload", "--host", f"unix:{path}"],
            cwd=program_folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdout.readline().startswith(b"outside is serving")  # type: ignore[union-attr]
            self.replace(program_folder / "app.py", '"one"', '"new"')
            assert process.stdout.readline().startswith(b"outside is serving")  # type: ignore[union-attr]
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
                answer = b""
                while select.select([client], [], [], DEADLINE)[0] and (piece := client.recv(4096)):
                    answer += piece
            assert answer.endswith(b"\r\n\r\nnew")
            process.terminate()
            assert process.wait(DEADLINE) == 0
        assert not path.exists()
