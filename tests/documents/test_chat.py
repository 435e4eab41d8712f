"""The chat page of `examples/python` in a real browser: two tabs, a message crosses, one tab closes."""

from __future__ import annotations

import base64
import json
import struct
import sys
import urllib.request
from pathlib import Path

import pytest
from support.documents import Program
from support.harness import wait_until
from support.wire import DEADLINE
from test_file_clients import PICTURES, chromium, needs_chromium
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
pytestmark = needs_chromium


class Tab:
    """One tab, spoken to in Chromium's DevTools protocol."""

    def __init__(self, browser: str, url: str) -> None:
        request = urllib.request.Request(f"{browser}/json/new?{url}", method="PUT")
        with _opener.open(request, timeout=DEADLINE) as answer:
            self.target = json.load(answer)
        self.browser = browser
        self.wire = connect(self.target["webSocketDebuggerUrl"], proxy=None, max_size=None, compression=None)
        self.number = 0

    def call(self, method: str, **parameters: object) -> dict:
        self.number += 1
        self.wire.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (answer := json.loads(self.wire.recv(3 * DEADLINE))).get("id") != self.number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, script: str) -> object:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        script = f"Array.from(document.querySelectorAll({json.dumps(selector)}), element => element.innerText)"
        return self.evaluate(script)  # type: ignore[return-value]

    def wait_for_text(self, selector: str, text: str) -> None:
        wait_until(lambda: any(text in shown for shown in self.texts(selector)), f"{text!r} in {selector}")

    def say(self, text: str) -> None:
        """Types it and presses Enter, as a person does."""
        self.evaluate('document.getElementById("text").focus()')
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.call("Input.dispatchKeyEvent", type=kind, **(key if kind == "keyDown" else {"key": "Enter"}))

    def picture(self, path: Path, width: int, height: int, scheme: str) -> bytes:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.write_bytes(data)
        return data

    def close(self) -> None:
        self.wire.close()
        _opener.open(f"{self.browser}/json/close/{self.target['id']}", timeout=DEADLINE).close()


# No proxy stands between a test and a browser on the same machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def devtools(process: object) -> str:
    """Where a browser listens that was started with `--remote-debugging-port=0`."""
    folder = next(word for word in process.args if word.startswith("--user-data-dir="))  # type: ignore[attr-defined]
    path = Path(folder.partition("=")[2]) / "DevToolsActivePort"
    wait_until(lambda: path.exists() and "\n" in path.read_text(), "the browser")
    return f"http://127.0.0.1:{path.read_text().splitlines()[0]}"


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

        ada.say("The roses are out. <b>Come</b> and see! 🌹")
        grace.wait_for_text(".said", "The roses are out. <b>Come</b> and see! 🌹")
        ada.wait_for_text(".said.own", "The roses are out.")
        assert grace.texts(".said.own") == []
        grace.say("On my way, with a pot of tea and far too many biscuits for two people.")
        ada.wait_for_text(".said:not(.own)", "On my way")
        for number in range(30):
            grace.say(f"biscuit {number + 1}")
        ada.say("Stop! That is enough, and the last three are for the birds.")
        grace.say("Who is counting?")
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
        tab.say("here again")
        tab.wait_for_text(".said.own", "here again")
