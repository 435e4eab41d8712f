"""`outside run` with applications of other interfaces, and with what people type for other servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.run_command import call_outside, start_outside
from support.wire import fetch

APP = """\
import os


class App:
    def __init__(self, text="app"):
        self.text = text

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        shown = (self.text, environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["wsgi.multithread"], os.environ.get("COLOUR"))
        return [repr(shown).encode()]


app = App()


def make():
    return App("made")


def needs(argument):
    return App(argument)


def asgi2(scope):
    pass


async def odd(scope):
    pass


text = "text"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(APP)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "inner.py").write_text(APP.replace('"app"', '"inner"'))
    (tmp_path / "only.py").write_text(APP.replace("app = App()", "wanted = App('only')"))
    (tmp_path / "factory.py").write_text(APP.replace("app = App()\n", "").replace("def make()", "def create_app()"))
    (tmp_path / ".env").write_text("# colours\nexport COLOUR='dark red'\n")
    return tmp_path


def shown(text: str = "app", script: str = "", path: str = "/x", threads: bool = True, colour: str | None = None) -> str:
    return repr((text, script, path, threads, colour))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["main:app"], shown()),
        (["main"], shown()),
        (["main.py:app"], shown()),
        (["main:make()"], shown("made")),
        (["main:make", "--factory"], shown("made")),
        (["main:needs('it')"], shown("it")),
        (["only"], shown("only")),
        (["factory"], shown("made")),
        (["."], shown()),
        (["inner:app", "--app-dir", "src"], shown("inner")),
        (["inner:app", "--chdir", "src"], shown("inner")),
        (["main:app", "--threads", "1", "-k", "gthread", "--log-level", "info"], shown(threads=False)),
        (["main:app", "-k", "sync", "--timeout", "30", "--preload"], shown(threads=False)),
        (["main:app", "--root-path", "/api", "--interface", "wsgi"], shown(script="/api")),
        (["main:app", "--env-file", ".env"], shown(colour="dark red")),
        (["main:app", "-e", "COLOUR=blue", "--lifespan", "auto"], shown(colour="blue")),
    ],
)
def test_what_people_type(folder: Path, arguments: list[str], expected: str):
    running = start_outside(folder, *arguments, "--port", "0", "--log", "off")
    assert fetch(running.address, "/x").text == expected
    assert running.stop() == 0


def test_a_proxy_that_keeps_the_path_and_one_that_takes_it_away(folder: Path):
    running = start_outside(folder, "main:app", "--port", "0", "--log", "off", "--root-path=/api/")
    for target, path in (("/api/x%20y", "/x y"), ("/x%20y", "/x y"), ("/apix", "/apix"), ("/api", "")):
        assert fetch(running.address, target).text == shown(script="/api", path=path)
    assert running.stop() == 0


def test_places(folder: Path):
    running = start_outside(folder, "main:app", "-b", "127.0.0.1:0", "--no-access-log", "-w", "2")
    assert fetch(running.address, "/x").text == shown()
    assert running.stop() == 0


def test_clients_wait_for_the_few_threads_of_an_application(folder: Path):
    """Other servers let them wait too: 503 would be an error that the application has never made."""
    (folder / "slow.py").write_text(
        "import time\n" + APP.replace("        shown =", "        time.sleep(0.02)\n        shown =")
    )
    running = start_outside(folder, "slow:app", "--threads", "2", "--log", "off")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: fetch(running.address, "/x").status, range(200)))
    assert answers == [200] * 200
    assert running.stop() == 0


def test_a_file_of_gunicorn_is_read_and_not_run(folder: Path):
    (folder / "gunicorn.conf.py").write_text(
        "import os\nbind = '127.0.0.1:0'\nworkers = 1\nthreads = 1\nkeepalive = 5\nworker_class = 'gthread'\n"
        "def on_starting(server):\n    os._exit(9)\nname = os.getcwd()\n"
    )
    running = start_outside(folder, "main:app", "-c", "gunicorn.conf.py", "--log", "off")
    assert fetch(running.address, "/x").text == shown(threads=False)
    assert running.stop() == 0


def test_pyproject_and_django(folder: Path):
    (folder / "pyproject.toml").write_text('[tool.outside]\napp = "only:wanted"\n')
    running = start_outside(folder, ".", "--port", "0", "--log", "off")
    assert fetch(running.address, "/x").text == shown("only")
    assert running.stop() == 0
    (folder / "pyproject.toml").unlink()
    (folder / "site1").mkdir()
    (folder / "site1" / "__init__.py").touch()
    (folder / "site1" / "settings.py").write_text("WSGI_APPLICATION = 'site1.wsgi.application'\n")
    (folder / "site1" / "wsgi.py").write_text(APP.replace("app = App()", "application = App('django')"))
    (folder / "manage.py").write_text("os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n")
    running = start_outside(folder, ".", "--port", "0", "--log", "off")
    assert fetch(running.address, "/x").text == shown("django")
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["main:text"], ["main:text is no server but a str", "it cannot be called", "WSGI applications", "ASGI 3"]),
        (["main:App"], ["the class App", "an instance of it may be one"]),
        (["main:make"], ["takes no argument", "name it as main:make()"]),
        (["main:needs"], ["takes one argument", "ASGI 2 is not hosted", "name it as main:needs()"]),
        (["main:needs", "--factory"], ["main:needs() has failed"]),
        (["main:asgi2"], ["ASGI 2 is not hosted"]),
        (["main:odd"], ["async function of 1 arguments"]),
        (["main:app", "-k", "gevent"], ["-k gevent: green threads are not supported", "--threads"]),
        (["main:app", "--interface", "asgi2"], ["ASGI 2 is not hosted"]),
        (["main:app", "--interface", "rsgi"], ["auto, wsgi or asgi", "'rsgi'"]),
        (["main:app", "--daemon"], ["systemd"]),
        (["main:app", "--threads", "many"], ["--threads is a whole number, not 'many'"]),
        (["main:app", "--app-dir", "none"], ["there is no such folder"]),
        (["main:app", "--env-file", "none"], ["--env-file none"]),
        (["main:app", "-b", "unix:a", "-c", "none.py"], ["none.py"]),
        (["main:app", "--workers-lifetime", "100"], ["workers are not replaced after a time"]),
        (["main:app", "--fcatory"], ["there is no option"]),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(folder: Path, arguments: list[str], parts: list[str]):
    status, output, errors = call_outside(folder, "run", *arguments, "--port", "0")
    assert status in (2, 3) and output == ""
    for part in parts:
        assert part in errors, errors


def test_a_platform_is_obeyed(folder: Path):
    running = start_outside(folder, "main:app", "--log", "off", PORT="0", RENDER="true")
    assert running.address[0] == "0.0.0.0"
    assert fetch(("127.0.0.1", running.address[1]), "/x").text == shown()
    assert running.stop() == 0
