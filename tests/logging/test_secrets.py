"""Looks for every secret of a busy server: in its log, on the status page with its stacks, in the metrics, and on the debug page."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from support.brokers import PROGRAMS as BROKERS
from support.brokers import Broker
from support.certificates import SecureWire, certificate
from support.harness import PROGRAMS, Script, wait_until
from support.metrics import Measured
from support.websocket_wire import OPENING, TEXT, frame
from support.wire import DEADLINE, request_bytes

# Each value is found nowhere else, and would be found in base64 or percent-encoding only if it were written so.
SESSION_SECRET = "5e55105ec4e7" + "0123456789abcdef" * 2
BUS_PASSWORD = "bu5pa55w0rd"
EAB_KEY = "ZWFia2V5c2VjcmV0"
CREDENTIALS = "YnVzeTphdXRob3JpemF0aW9u"
BEARER = "bea4e4t0ken"
API_KEY = "apikey1n9uery"
CARD = "4111111111111111"
REQUEST_COOKIE = "c00k1eva1ue"
FIELDS = {
    "Authorization": f"Basic {CREDENTIALS}",
    "Proxy-Authorization": f"Bearer {BEARER}",
    "Cookie": f"theirs={REQUEST_COOKIE}",
    "X-Api-Key": API_KEY,
    "Referer": f"https://example.com/a?access_token={API_KEY}",
    "User-Agent": "a browser",
}
QUERY = f"?api_key={API_KEY}&access_token={API_KEY}&X-Amz-Signature={API_KEY}&q=words"


class Busy(Measured):
    """`secrets_app.py` with TLS, a broker with a password, and everything on."""

    def __init__(self, folder: Path, /, **settings: object) -> None:
        self.place = f"unix:{folder}/metrics"
        file = folder / "settings.json"
        file.write_text(json.dumps({"metrics": self.place, "status_page": True, **settings}))
        self.heard: list[str] = []
        Script.__init__(self, str(PROGRAMS / "secrets_app.py"), str(file))
        while "outside tells its metrics on " not in self.read_line():
            pass


def secrets_of(folder: Path, own) -> dict[str, str]:
    key = [line for line in Path(own.keyfile).read_text().splitlines() if not line.startswith("-")]
    return {
        "the secret of sessions": SESSION_SECRET,
        "the password of the broker": BUS_PASSWORD,
        "the key of the external account": EAB_KEY,
        "Authorization": CREDENTIALS,
        "Proxy-Authorization": BEARER,
        "a key in a query or a field": API_KEY,
        "a value of a session": CARD,
        "a cookie": REQUEST_COOKIE,
        **{f"line {number} of the private key": line for number, line in enumerate(key)},
    }


def ask(script: Busy, context, path: str, fields: dict[str, str]):
    wire = SecureWire(script.address, context)
    wire.send(request_bytes(path + QUERY, headers={**FIELDS, **fields}))
    return wire.receive_answer()


@pytest.mark.parametrize(
    "settings",
    [{"access_log": "combined", "logging": True}, {"access_log": "json", "access_log_fields": "all"}],
    ids=["combined", "json, all fields"],
)
def test_no_secret_of_a_busy_server_is_told(tmp_path, settings):
    own = certificate(tmp_path / "own")
    secrets = secrets_of(tmp_path, own)
    if settings.get("access_log_fields"):
        fields = "time client peer method target path query version status bytes microseconds host scheme referer agent route"
        settings["access_log_fields"] = [
            *fields.split(),
            "request_id",
            "trace_id",
            "span_id",
            "end",
            "worker",
            "header:X-Tenant",
        ]
    broker = None
    bus = f"redis://busy:{BUS_PASSWORD}@127.0.0.1:1"
    if BROKERS:
        # It refuses the password of this user, and says so.
        broker = Broker(tmp_path)
        bus = f"redis://busy:{BUS_PASSWORD}@127.0.0.1:{broker.port}"
    script = Busy(
        tmp_path,
        processes=2,
        secret=SESSION_SECRET,
        bus=bus,
        acme_eab=["identifier", EAB_KEY],
        process_timeout=1,
        request_ids=True,
        **own.config,
        **settings,
    )
    context, told = own.client(), []
    try:
        wait_until(lambda: len(script.workers()) == 2, "it serves")
        with SecureWire(script.address, context) as wire:
            wire.send(request_bytes("/session", "POST", FIELDS, CARD.encode()))
            answer = wire.receive_answer()
            assert answer.status == 200
            cookie = answer.header("Set-Cookie").partition(";")[0]
        secrets["the cookie of a session"] = cookie.partition("=")[2]
        for path, status in [("/read", 200), ("/fail", 500), ("/fail/later", 500), ("/abort", 503), ("/nothing", 404)]:
            found = ask(script, context, path, {"Cookie": f"{FIELDS['Cookie']}; {cookie}"})
            assert found.status == status, path
            told.append(found.text)
        assert ask(script, context, "/late", {}).status == 504
        assert ask(script, context, "/timed", {}).status == 504
        waiting = SecureWire(script.address, context)
        waiting.send(request_bytes(f"/wait{QUERY}", headers={**OPENING, **FIELDS}))
        assert waiting.receive_answer(interim=True).status == 101
        with SecureWire(script.address, context) as wire:
            wire.send(request_bytes(f"/socket{QUERY}", headers={**OPENING, **FIELDS}))
            assert wire.receive_answer(interim=True).status == 101
            wire.send(frame(TEXT, b"x"))
            told.append(wire.socket.recv(4096).decode(errors="replace"))
        with socket.create_connection(script.address, timeout=DEADLINE) as plain:
            plain.sendall(f"GET /{QUERY} HTTP/1.1\r\nAuthorization: Basic {CREDENTIALS}\r\n\r\n".encode())
            told.append(plain.recv(4096).decode(errors="replace"))
        told += overview(script)
        assert any("/wait" in text for text in told), "the page shows a call"
        old = set(script.wait_for_workers(2).values())
        script.process.send_signal(signal.SIGHUP)
        wait_until(lambda: script.status()["reloads"] == {"served": 1}, "a reload")
        told += [script.ask("/status.json").text, script.ask("/metrics").text]
        waiting.close()
        # An overview may be a tenth of a second old, and name workers of the generation before.
        told_workers: list[dict[int, int]] = []
        wait_until(
            lambda: told_workers.append(script.wait_for_workers(2)) or old.isdisjoint(told_workers[-1].values()),
            "the new workers are told",
        )
        os.kill(told_workers[-1][0], signal.SIGKILL)
        script.process.send_signal(signal.SIGTERM)
        script.wait()
        told += [script.output, script.errors]
    finally:
        script.end()
        if broker is not None:
            broker.kill()
    log = script.errors
    for word in ("the handler failed", "/fail", "503", "404", "no answer within process_timeout", "bus redis://127.0.0.1:"):
        assert word in log, f"{word} in {log}"
    for text in told:
        for name, secret in secrets.items():
            assert secret not in text, f"{name}: {text[max(0, text.index(secret) - 200) :][:400]}"


def overview(script: Busy) -> list[str]:
    """The status page, its numbers, the metrics, and the stack of a call."""
    rows: list[dict] = []
    wait_until(lambda: rows.extend(script.status()["running"]) or rows, "a call has run for a second")
    found = [script.ask(path).text for path in ("/status", "/status.json", "/metrics")]
    for row in rows:
        query = f"?pid={row['pid']}&call={row['call']}&thread={row['thread'] or ''}"
        found.append(script.ask(f"/status/stack{query}").text)
    return found


def test_the_debug_page_hides_them(serve):
    from outside._debug import token as debug_token

    def fail(request):
        password, api_key, session, everything = CREDENTIALS, API_KEY, request.session, dict(request.headers)  # noqa: F841
        arguments = request.args  # noqa: F841
        raise ValueError("with secrets around it")

    running = serve(fail, debug=True, secret=SESSION_SECRET)
    host, port = running.address
    shown = {"Host": f"{host}:{port}", "Cookie": f"outside-debug-{port}={debug_token.token()}; {FIELDS['Cookie']}"}
    for accept in ("text/html", "text/plain"):
        with running.wire() as wire:
            fields = {**FIELDS, **shown, "Accept": accept}
            wire.send(request_bytes(f"/{QUERY}", headers=fields))
            page = wire.receive_answer()
        assert page.status == 500
        assert accept == "text/plain" or "with secrets around it" in page.text
        for secret in (CREDENTIALS, BEARER, API_KEY, REQUEST_COOKIE, SESSION_SECRET, debug_token.token()):
            assert secret not in page.text, page.text[max(0, page.text.find(secret) - 300) :][:600]
