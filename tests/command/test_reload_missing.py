"""`outside run --reload`: files and modules that were missing when the program was imported, and then come into being."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.harness import wait_until
from support.run_command import APP, Reloading, call_outside, program_folder  # noqa: F401 - a fixture

CASES = {
    "a module": ("import later", lambda program_folder: (program_folder / "later.py").write_text("")),
    "a module of a package": ("import shop.later", lambda program_folder: (program_folder / "shop/later.py").write_text("")),
    "a name from a package": (
        "from shop import later",
        lambda program_folder: (program_folder / "shop/later.py").write_text(""),
    ),
    "a package": ("import later", lambda program_folder: make_package(program_folder / "later")),
    "a folder without a file of its own": ("import later.part", lambda program_folder: make_part(program_folder / "later")),
    "a file that is read": ("open('later.txt')", lambda program_folder: (program_folder / "later.txt").write_text("")),
}


def make_package(path: Path) -> None:
    path.mkdir()
    (path / "__init__.py").write_text("")


def make_part(path: Path) -> None:
    path.mkdir()
    (path / "part.py").write_text("")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("at_first", [True, False])
def test_it_is_noticed(program_folder: Path, case: str, at_first: bool):
    line, make = CASES[case]
    if at_first:
        (program_folder / "app.py").write_text(f"{line}\n{APP}")
        running = First(program_folder, make)
        assert running.get() == (200, "one")
    else:
        running = Reloading(program_folder, "app:server")
        (program_folder / "app.py").write_text(f"{line}\n{APP}")
        wait_until(lambda: "app cannot be imported" in running.said, "the error")
        make(program_folder)
        wait_until(lambda: running.get() == (200, "one"), "the program")
    assert running.stop() == 0, running.said


class First(Reloading):
    """A program that cannot start before a missing file is made: the file is made as soon as the program has said so."""

    def __init__(self, program_folder: Path, make: Callable[[Path], object]) -> None:
        self.make, self.folder, self.said = make, program_folder, ""
        super().__init__(program_folder, "app:server")

    def read_line(self) -> str:
        if self.make:
            make, self.make = self.make, None
            while b"app cannot be imported" not in (said := self.process.stderr.readline()):
                assert said
            make(self.folder)
        return super().read_line()


def test_a_module_that_may_be_missing(program_folder: Path):
    """The program goes on without it, and has it as soon as it is there."""
    (program_folder / "app.py").write_text(
        "try:\n    from later import text\nexcept ImportError:\n    text = 'without'\n" + APP.replace('"one"', "text")
    )
    running = Reloading(program_folder, "app:server")
    assert running.get() == (200, "without")
    (program_folder / "later.py").write_text("text = 'with'\n")
    wait_until(lambda: running.get() == (200, "with"), "the program with the module")
    assert running.stop() == 0


def test_a_server_that_is_not_there_is_not_waited_for(program_folder: Path):
    assert call_outside(program_folder, "run", "apq:server", "--reload")[0] == 3
