"""The chat page of `examples/python` in a real browser: two tabs, a message crosses, one tab closes."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium
from support.documents import Program
from support.harness import ROOT, wait_until

pytestmark = needs_chromium


@pytest.fixture
def chat(tmp_path):
    program = tmp_path / "chat.py"
    program.write_text((ROOT / "examples/python/chat.py").read_text("utf-8").replace("8080", "0"), "utf-8")
    with Program([sys.executable, str(program)], tmp_path) as server:
        yield server.wait_for_url()
    assert server.code == 0, server.output
    assert "Traceback" not in server.output


def test_two_tabs(chat, tmp_path):
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        browser = devtools(process)
        ada = Tab(browser, f"{chat}/?room=garden%26name=Ada")
        ada.wait_for_text("#people", "only you")
        grace = Tab(browser, f"{chat}/?room=garden%26name=Grace")
        ada.wait_for_text(".note", "Grace is here")
        ada.wait_for_text("#people", "2 people")
        stranger = Tab(browser, f"{chat}/?room=cellar%26name=Stranger")
        stranger.wait_for_text("#people", "only you")

        ada.type_text("The roses are out. <b>Come</b> and see! 🌹")
        grace.wait_for_text(".said", "The roses are out. <b>Come</b> and see! 🌹")
        ada.wait_for_text(".said.own", "The roses are out.")
        assert grace.texts(".said.own") == []
        grace.type_text("On my way, with a pot of tea and far too many biscuits for two people.")
        ada.wait_for_text(".said:not(.own)", "On my way")
        for number in range(30):
            grace.type_text(f"biscuit {number + 1}")
        ada.type_text("Stop! That is enough, and the last three are for the birds.")
        grace.type_text("Who is counting?")
        ada.wait_for_text(".said", "Who is counting?")
        assert ada.evaluate("log.scrollHeight - log.scrollTop - log.clientHeight < 5"), "the newest is in sight"
        assert stranger.texts(".said") == []

        sizes = {}
        for scheme in ("light", "dark"):
            for kind, width, height in (("phone", 390, 844), ("desktop", 1280, 800)):
                path = Path(PICTURES or tmp_path) / f"chat-{kind}-{scheme}.png"
                data = ada.picture(path, width, height, scheme)
                assert struct.unpack(">II", data[16:24]) == (width, height)
                assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
                sizes[kind, scheme] = data
        assert sizes["phone", "light"] != sizes["phone", "dark"]
        assert min(map(len, sizes.values())) > 8_000, "an empty page packs to less"

        grace.close()
        ada.wait_for_text(".note", "Grace left")
        ada.wait_for_text("#people", "only you")
        assert ada.evaluate("socket.readyState") == 1


def test_the_page_comes_back(chat, tmp_path):
    """The server closes the connection; the page connects anew by itself."""
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), f"{chat}/?name=Ada")
        tab.wait_for_text("#people", "only you")
        tab.evaluate('socket.send("x".repeat(9000))')
        back = lambda: tab.evaluate("socket.readyState") == 1 and len(tab.texts(".note")) > 1
        wait_until(back, "a new connection")
        tab.type_text("here again")
        tab.wait_for_text(".said.own", "here again")
