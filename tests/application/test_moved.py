"""Names of Flask and FastAPI: an import of one says what stands in its place."""

from __future__ import annotations

import importlib
import sys

import pytest

import outside
from outside._application.moved import FASTAPI, FLASK
from support.harness import ROOT
from support.subprocesses import run_process


@pytest.mark.parametrize("moved", [*FLASK, *FASTAPI], ids=lambda moved: moved.name)
def test_the_sentence_names_ours(moved):
    if moved.name in outside.__all__:
        return
    with pytest.raises(ImportError) as raised:
        exec(f"from outside import {moved.name}")
    assert moved.name in str(raised.value) and moved.ours.replace("`", "") in str(raised.value)


@pytest.mark.parametrize(("page", "table"), [("from-flask", FLASK), ("from-fastapi", FASTAPI)])
def test_the_page_has_the_same_table(page, table):
    text = (ROOT / f"docs/guide/{page}.md").read_text("utf-8").partition("\n## Names\n")[2]
    rows = {row[0]: row[1] for line in text.splitlines() if len(row := [part.strip() for part in line.split("|")[1:-1]]) == 2}
    for moved in table:
        assert moved.ours.replace("`", "") in rows[f"`{moved.name}`"].replace("`", ""), moved.name


def test_a_name_that_neither_has():
    with pytest.raises(ImportError, match="cannot import name 'jsonfy'"):
        exec("from outside import jsonfy")
    assert not hasattr(outside, "jsonfy")


@pytest.mark.parametrize("name", sorted(outside._LATER))
def test_each_part_is_imported_when_it_is_first_used(name):
    assert getattr(outside, name) is getattr(importlib.import_module(f"outside._application.{outside._LATER[name]}"), name)
    assert name in outside.__all__


def test_a_program_without_the_application_layer_does_not_import_it():
    program = (
        "import outside, sys; server = outside.OutsideHTTP(('127.0.0.1', 0)); server.get('/')(lambda: 'x'); "
        "c = server.test_client(); c.get('/'); print([name for name in sys.modules if name.startswith('outside._application')], 'jinja2' in sys.modules)"
    )
    ended = run_process([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.strip() == "[] False", ended.stderr
