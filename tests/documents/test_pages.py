"""The pages of `examples/python` in a real browser: a form with files, uploads that stream, server-sent events."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium
from support.documents import Program
from support.harness import ROOT, wait_until

pytestmark = needs_chromium
NAMES = ["plain.txt", "naïve – €.bin", "sp ace (1).dat"]


def start(name: str, folder: Path, *arguments: str) -> Program:
    program = folder / name
    program.write_text((ROOT / "examples/python" / name).read_text("utf-8").replace("8080", "0"), "utf-8")
    return Program([sys.executable, str(program), *arguments], folder)


def choose(tab: Tab, paths: list[Path]) -> None:
    """Chooses files in the page's file input, as a person does in the dialogue."""
    document = tab.call("DOM.getDocument")["root"]["nodeId"]
    node = tab.call("DOM.querySelector", nodeId=document, selector="#files")["nodeId"]
    tab.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def take_pictures(tab: Tab, name: str, folder: Path) -> None:
    for scheme in ("light", "dark"):
        for kind, width, height in (("phone", 390, 844), ("desktop", 1280, 800)):
            data = tab.picture(Path(PICTURES or folder) / f"{name}-{kind}-{scheme}.png", width, height, scheme)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"
            assert len(data) > 5_000, "an empty page packs to less"


@pytest.mark.parametrize("way", ["form", "script"])
def test_files_go_up(tmp_path, way):
    """By the form alone, as without a script, and by the script, each file by itself."""
    kept, sources = tmp_path / "kept", []
    kept.mkdir()
    (tmp_path / "source").mkdir()
    for number, name in enumerate(NAMES):
        path = tmp_path / "source" / name
        path.write_bytes(os.urandom(10 ** (2 * number + 2)))
        sources.append(path)
    with start("upload.py", tmp_path, str(kept)) as server, chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), server.wait_for_url())
        tab.wait_for_text(".none", "Nothing yet.")
        if way == "form":
            # The name has characters that the example refuses: those are the page's own business.
            sources = [sources[0], sources[2]]
        else:
            sources[1] = sources[1].rename(sources[1].with_name("naive.bin"))
        choose(tab, sources)
        tab.evaluate("form.submit()" if way == "form" else "form.requestSubmit()")
        for path in sources:
            tab.wait_for_text("li", path.name)
            assert (kept / path.name).read_bytes() == path.read_bytes()
        take_pictures(tab, f"upload-{way}", tmp_path)
    assert server.code == 0, server.output
    assert "Traceback" not in server.output


SEEN = """
import hashlib, json
from outside import OutsideHTTP, html
server = OutsideHTTP(("127.0.0.1", 8080))

def page(request):
    if request.method == "POST":
        files = {one.filename: [one.name, one.type, one.size, hashlib.sha256(one.read()).hexdigest()]
                 for one in request.files.get_all("files")}
        return html("<pre>" + json.dumps({"form": request.form, "tags": request.form.get_all("tag"), "files": files}) + "</pre>")
    return html(\"\"\"<!doctype html><meta charset=utf-8><form id=form method=post enctype=multipart/form-data>
<input name=text value='&quot;quoted&quot; &amp; ü €'><input name=tag value=a><input name=tag value=b>
<textarea name=lines>one\ntwo</textarea><input type=file id=files name=files multiple></form>\"\"\")

server.set_route("/", page)
server.run()
"""


def test_a_handler_sees_the_form_as_the_browser_sent_it(tmp_path):
    import hashlib

    program = tmp_path / "seen.py"
    program.write_text(SEEN.replace("8080", "0"), "utf-8")
    names = ["a.txt", "naïve €.png", 'quo"te.bin', "back\\slash.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"\r\n--boundary\r\n" * 1000 + name.encode())
    with (
        Program([sys.executable, str(program)], tmp_path) as server,
        chromium("--remote-debugging-port=0", "about:blank") as process,
    ):
        tab = Tab(devtools(process), server.wait_for_url())
        wait_until(lambda: tab.evaluate("!!document.getElementById('form')"), "the page")
        choose(tab, [tmp_path / name for name in names])
        tab.evaluate("document.getElementById('form').submit()")
        tab.wait_for_text("pre", "tags")
        seen = json.loads(tab.texts("pre")[0])
    assert seen["form"] == {"text": '"quoted" & ü €', "tag": "a", "lines": "one\r\ntwo"}
    assert seen["tags"] == ["a", "b"]
    for name in names:
        content = (tmp_path / name).read_bytes()
        # A quote is sent as %22 (WHATWG); nothing else is changed.
        sent = name.replace('"', "%22")
        _, media_type, size, digest = seen["files"][sent]
        assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert media_type == {".txt": "text/plain", ".png": "image/png"}.get(name[-4:], "application/octet-stream")


def test_events_reach_a_page_and_it_comes_back(tmp_path):
    program = start("events.py", tmp_path)
    with program as server, chromium("--remote-debugging-port=0", "about:blank") as process:
        url = server.wait_for_url()
        browser = devtools(process)
        ada, grace = Tab(browser, url), Tab(browser, url)
        for tab in (ada, grace):
            tab.wait_for_text("#clock", ":")
        ada.evaluate('document.getElementById("text").value = "The roses <b>are</b> out 🌹"; form.requestSubmit()')
        for tab in (ada, grace):
            tab.wait_for_text("li", "The roses <b>are</b> out 🌹")
        # A page that was away gets the events that it has missed, once.
        grace.evaluate("source.close()")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for text in ("first", "second"):
            opener.open(urllib.request.Request(f"{url}/tell", data=text.encode()), timeout=10).close()
        ada.wait_for_text("li", "second")
        assert len(ada.texts("li")) == 3
        take_pictures(ada, "events", tmp_path)
    assert server.code == 0, server.output
    assert "Traceback" not in server.output
