"""Chromium without a window, and one of its tabs, spoken to in the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.harness import wait_until
from support.subprocesses import Process, start_process
from support.wire import DEADLINE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (make clients)")
# Where pictures of pages go, for people to look at; nowhere unless asked for.
PICTURES = os.environ.get("OUTSIDE_TEST_PICTURES")


@contextlib.contextmanager
def chromium(*arguments: str) -> Iterator[Process]:
    """A browser without a window, in a profile of its own; ended with its helpers."""
    profile = tempfile.mkdtemp(prefix="outside-test-")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio", "--hide-scrollbars",
        "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}", *arguments,
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        process = start_process(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
            shutil.rmtree(profile, ignore_errors=True)


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

    def type_text(self, text: str) -> None:
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
