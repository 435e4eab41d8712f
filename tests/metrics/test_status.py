"""The status page: the overview as JSON, the stacks of calls that last, the command, and the page in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.browser import PICTURES, Tab, chromium, devtools, needs_chromium
from support.certificates import certificate
from support.harness import PROGRAMS, wait_until
from support.metrics import stop
from support.subprocesses import run_process, start_process
from support.timing import Judge
from support.wire import Wire, fetch, request_bytes

APP = (PROGRAMS / "metrics_app.py").read_text().splitlines()


def line_of(mark: str) -> int:
    return next(number for number, line in enumerate(APP, 1) if line.endswith(f"# {mark}"))


def running(script, path: str) -> list[dict]:
    return [row for row in script.status()["running"] if row["path"] == path]


def wait_for_running(script, path: str) -> dict:
    """The row of a call that has run for a second."""
    found: list[dict] = []
    wait_until(lambda: found.extend(running(script, path)) or found, f"{path} runs for a second")
    return found[0]


def stack(script, row: dict) -> str:
    answer = script.ask(f"/status/stack?pid={row['pid']}&call={row['call']}&thread={row['thread'] or ''}")
    assert answer.status == 200, answer
    return answer.text


def test_the_overview(start_measured):
    script = start_measured(processes=2, status_page=True, health_route="/health")
    script.wait_for_workers(2)
    for _ in range(30):
        fetch(script.address, "/users/1")
    fetch(script.address, "/status/503")
    fetch(script.address, "/nothing?token=secret")
    wait_until(lambda: script.status()["totals"]["requests"] == 32, "all are counted")
    # Rates need two moments.
    wait_until(lambda: script.status()["seconds"] > 0, "a second sample")
    found = script.status()
    assert found["totals"]["failures"] == 1
    assert {row["route"] for row in found["routes"]} == {"/users/{number:int}", "/status/{code:int}", None}
    by_route = {row["route"]: row for row in found["routes"]}
    assert by_route["/users/{number:int}"]["requests"] == 30
    assert by_route["/status/{code:int}"]["failures"] == 1
    wait_until(lambda: all(row["memory"] > 1 << 20 for row in script.status()["workers"]), "vital signs")
    for row in script.status()["workers"]:
        assert row["state"] == "serving" and row["threads"] > 1 and row["files"] > 3 and row["generation"] == 1
    assert "secret" not in json.dumps(script.status())
    wait_until(lambda: len(script.status()["history"]) > 1, "a history")
    history = script.status()["history"]
    assert sum(point[1] for point in history) > 0 and history[-1][0] <= time.time() + 1


# What a call does, its path, the mark of the line where it is, and the function there.
CALLS = {
    "sleep": ("/sleep", "sleep", "sleep"),
    "a Python loop": ("/loop", "loop", "loop"),
    "an await for ever": ("/await", "await", "deeper"),
    "a thread of the pool": ("/pooled", "pooled", "pooled"),
    "a WebSocket, blocking": ("/socket", "socket", "connected"),
    "a WebSocket, async def": ("/async_socket", "async_socket", "async_connected"),
    "a WebSocket, callbacks": ("/callback_socket", "callback_socket", "called"),
    "an ASGI application that waits": ("/asgi/await", "asgi_await", "deeper_asgi"),
    "a WSGI application": ("/wsgi", "wsgi", "wsgi_app"),
    # These keep Python's lock, or the loop of async def handlers, from all others: each has a server of its own.
    "a regular expression in C": ("/regex", "regex", "regex"),
    "C that holds Python's lock": ("/hold", "hold", "hold"),
    "an async def handler that blocks": ("/block", "block", "block"),
    "an ASGI application that blocks": ("/asgi/block", "asgi_block", "asgi_app"),
}
TOGETHER = list(CALLS)[:9]
SOCKETS = ("/socket", "/async_socket", "/callback_socket")


@pytest.mark.parametrize("names", [TOGETHER, *([name] for name in list(CALLS)[9:])], ids=lambda names: names[-1])
def test_the_stack_is_right_to_the_line(start_measured, names):
    script = start_measured(processes=2, status_page=True)
    script.wait_for_workers(2)
    host, port = script.address
    wires, clients, judge, slowest = [], {}, Judge(), 0.0
    for path, *_ in (CALLS[name] for name in names):
        if path in SOCKETS:
            clients[path] = connect(f"ws://{host}:{port}{path}?token=secret", proxy=None)
        else:
            wires.append(Wire(script.address).send(request_bytes(f"{path}?token=secret")))
    if "/callback_socket" in clients:
        clients["/callback_socket"].send("wait")
    for name in names:
        path, mark, function = CALLS[name]
        row = wait_for_running(script, path)
        method = "WebSocket" if path in SOCKETS else "GET"
        assert (row["method"], row["client"]) == (method, "127.0.0.1") and row["seconds"] >= 1, name
        assert "secret" not in json.dumps(row)
        begun = time.monotonic()
        shown = stack(script, row)
        slowest = max(slowest, time.monotonic() - begun)
        frames = re.findall(r'File "([^"]+)", line (\d+),? in (\w+)', shown)
        own = [(int(line), where) for file, line, where in frames if file.endswith("metrics_app.py")]
        # A loop is at one of its two lines.
        lines = {line_of(mark), line_of(mark) - 1} if mark == "loop" else {line_of(mark)}
        assert own and own[-1][1] == function and own[-1][0] in lines, f"{name}: {shown}"
    if "/socket" in clients:
        clients["/socket"].send("end")
        wait_until(lambda: not running(script, "/socket"), "it has ended")
    for client in clients.values():
        client.socket.close()
    del wires
    judge.at_most(slowest, 1, "a stack")


def texts(script) -> list[str]:
    return [event["text"] for event in script.status()["events"]]


def test_events_and_restarts(start_measured, tmp_path):
    own = certificate(tmp_path / "first")
    script = start_measured(processes=2, status_page=True, **own.config)
    assert script.status()["events"] == []
    victim = script.wait_for_workers(2)[1]
    os.kill(victim, signal.SIGKILL)
    script.wait_for_workers(2, without=victim)
    died = f"worker 1 (process {victim}) was killed by SIGKILL; it is replaced at once"
    states: list[dict] = []
    wait_until(lambda: states.append(script.status()) or states[-1]["ends"] == {"signal": 1}, "its end is told")
    (event,) = states[-1]["events"]
    assert event["text"] == died
    assert (event["level"], event["worker"]) == ("warning", None) and 0 <= time.time() - event["time"] < 60
    own.replace(certificate(tmp_path / "second"))
    found: list[dict] = []
    is_new = lambda event: "new certificates are in use" in event["text"]
    wait_until(lambda: found.extend(filter(is_new, script.status()["events"])) or found, "a new certificate")
    renewed = found[0]
    assert (renewed["level"], renewed["worker"] in (0, 1)) == ("info", True)
    script.process.send_signal(signal.SIGHUP)
    wait_until(lambda: script.status()["reloads"] == {"served": 1}, "a reload")

    def told() -> bool:
        # Each worker process shares an overview for a tenth of a second: another's may be older.
        said = texts(script)
        serves = any(text.startswith("the new generation (process ") and text.endswith(" serves") for text in said)
        return serves and "SIGHUP: a new generation is being started" in said and died in said

    wait_until(told, "the reload and its end are told")
    times = [event["time"] for event in script.status()["events"]]
    assert times == sorted(times, reverse=True)


def test_worker_dies_while_asked_for_a_stack(start_measured):
    script = start_measured(processes=2, status_page=True)
    script.wait_for_workers(2)
    wire = Wire(script.address)
    wire.send(request_bytes("/sleep"))
    row = wait_for_running(script, "/sleep")
    stop(row["pid"])
    answer = script.ask(f"/status/stack?pid={row['pid']}&call={row['call']}&thread={row['thread']}")
    assert (answer.status, "does not answer" in answer.text) == (404, True), answer
    os.kill(row["pid"], signal.SIGKILL)
    answer = script.ask(f"/status/stack?pid={row['pid']}&call={row['call']}&thread={row['thread']}")
    assert (answer.status, "has ended" in answer.text) == (404, True), answer
    for query in ("", "pid=1", "pid=x&call=1", "pid=1&call=../x", f"pid={os.getpid()}&call=1"):
        assert script.ask(f"/status/stack?{query}").status in (400, 404), query
    script.wait_for_workers(2, without=row["pid"])


def test_the_command(start_measured, tmp_path):
    script = start_measured(processes=2, status_page=True)
    outside = [sys.executable, "-m", "outside", "status"]
    said = run_process([*outside, script.place, "--json"], capture_output=True, text=True)
    assert said.returncode == 0 and json.loads(said.stdout)["workers"], said
    named = {**os.environ, "OUTSIDE_METRICS": script.place}
    assert run_process([*outside, "--json"], capture_output=True, text=True, env=named).returncode == 0
    for arguments, words in [
        ([], "lacks the place"),
        (["nonsense"], "is no place"),
        ([f"unix:{tmp_path}/nothing"], "no server tells its metrics"),
        (["--reload"], "takes the place"),
    ]:
        said = run_process([*outside, *arguments], capture_output=True, text=True)
        assert said.returncode in (2, 3) and words in said.stderr, said
    # The page of a Unix socket, by a port of its own.
    screenless = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    process = start_process([*outside, script.place], stdout=subprocess.PIPE, text=True, env=screenless)
    try:
        url = process.stdout.readline().split(" at ")[1].strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert b"<title>outside" in opener.open(url, timeout=10).read()
        assert json.loads(opener.open(url + ".json", timeout=10).read())["workers"]
        base = url.rpartition("/")[0].rpartition("/")[0]
        for wrong in (f"{base}/status.json", f"{base}/{'0' * 32}/status.json"):
            with pytest.raises(urllib.error.HTTPError):
                opener.open(wrong, timeout=10)
        request = urllib.request.Request(url, headers={"Host": "example.com"})
        with pytest.raises(urllib.error.HTTPError):
            opener.open(request, timeout=10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_server_without_the_page_says_so(start_measured):
    script = start_measured()
    said = run_process([sys.executable, "-m", "outside", "status", script.place], capture_output=True, text=True)
    assert (said.returncode, "status_page" in said.stderr) == (3, True), said


@needs_chromium
def test_the_page_in_a_browser(start_measured, tmp_path):
    script = start_measured(processes=2, status_page=True, metrics=["127.0.0.1", 0])
    for number in range(200):
        fetch(script.address, f"/users/{number}")
    fetch(script.address, "/status/503")
    wire = Wire(script.address)
    wire.send(request_bytes("/sleep"))
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), "about:blank")
        tab.call("Page.enable")
        tab.call("Log.enable")
        tab.call("Page.navigate", url=f"{script.place}/status")
        tab.wait_for_text("#routes td", "/users/{number:int}")
        tab.wait_for_text("#workers td", "serving")
        tab.wait_for_text("#events", "Nothing has happened yet.")
        tab.wait_for_text("#running td", "/sleep")
        tab.evaluate('document.querySelector("#running button").click()')
        tab.wait_for_text("#running pre", f"line {line_of('sleep')}, in sleep")
        asked = running(script, "/sleep")[0]["pid"]
        number, victim = next((number, pid) for number, pid in script.workers().items() if pid != asked)
        os.kill(victim, signal.SIGKILL)
        tab.wait_for_text("#events td", f"worker {number} (process {victim}) was killed by SIGKILL; it is replaced at once")
        tab.wait_for_text("#ends", "1 killed by a signal")
        # Everything came from this listener, and nothing was refused by the policy.
        loaded = tab.evaluate('performance.getEntriesByType("resource").map(entry => new URL(entry.name).origin)')
        assert set(loaded) <= {script.place}
        assert tab.evaluate("document.styleSheets.length") == 1
        wait_until(lambda: tab.evaluate('document.querySelectorAll("#rate path").length') == 3, "a chart")
        folder = Path(PICTURES) if PICTURES else tmp_path
        for scheme in ("light", "dark"):
            assert len(tab.picture(folder / f"status-{scheme}.png", 1280, 1500, scheme)) > 10_000
        assert len(tab.picture(folder / "status-narrow.png", 390, 2400, "light")) > 10_000
        tab.close()
