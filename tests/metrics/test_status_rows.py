"""The smaller tables of the status page: topics, refusals by limit, certificates with days left, connections; read-only, and one file."""

from __future__ import annotations

import time

from support.browser import Tab, chromium, devtools, needs_chromium
from support.certificates import SecureWire, certificate
from support.harness import wait_until
from support.websocket_wire import WebSocketClient
from support.wire import fetch, request_bytes


def test_topics_and_refusals(start_measured):
    script = start_measured(processes=2, status_page=True, max_header_size=2048)
    clients = []
    for topic in ("news", "news", "weather"):
        clients.append(WebSocketClient(script.address, "/topics"))
        clients[-1].send_message(topic)
        assert clients[-1].receive_message() == "done"
    for _ in range(3):
        assert fetch(script.address, "/users/1", headers={"X": "y" * 4096}).status == 431
    assert [fetch(script.address, "/limited").status for _ in range(2)] == [200, 429]
    wanted = {"subscribers": 3, "largest": [["news", 2], ["weather", 1]]}
    wait_until(lambda: script.status()["topics"] == wanted, "the subscribers of all processes")
    refusals = [
        {"limit": "max_header_size", "status": "431", "count": 3},
        {"limit": "once", "status": "429", "count": 1},
    ]
    wait_until(lambda: script.status()["refusals"] == refusals, "the refusals of all processes, the most frequent first")
    wait_until(lambda: script.status()["connections"]["websocket"] == 3, "three connections are WebSockets")
    # The page reads, and changes nothing.
    for path in ("/status", "/status.json", "/status/stack"):
        for method in ("POST", "PUT", "DELETE"):
            answer = script.ask(path, method=method)
            assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD"), f"{method} {path}"


def test_certificates_with_the_days_that_are_left(start_measured, tmp_path):
    own = certificate(tmp_path / "own")
    script = start_measured(processes=2, status_page=True, **own.config)
    context = own.client()
    with SecureWire(script.address, context) as wire:
        assert wire.send(request_bytes("/users/1")).receive_answer().status == 200
    wait_until(lambda: script.status()["certificates"], "a certificate")
    (shown,) = script.status()["certificates"]
    expiry = script.metrics().value("outside_certificate_expiry_timestamp_seconds")
    assert shown["days"] == int((expiry - time.time()) // 86_400) >= 0
    assert shown["name"]
    wait_until(lambda: script.metrics().value("outside_tls_handshakes_total", result="done") == 1, "a handshake")


WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", event => window.refused.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@needs_chromium
def test_the_policy_of_the_page_refuses_nothing_of_its_own(start_measured, tmp_path):
    own = certificate(tmp_path / "own")
    script = start_measured(processes=1, status_page=True, metrics=["127.0.0.1", 0], max_header_size=2048, **own.config)
    page = script.ask("/status")
    assert "default-src 'none'" in page.header("Content-Security-Policy") and len(page.body) <= 40 << 10
    with chromium("--remote-debugging-port=0", "about:blank") as process:
        tab = Tab(devtools(process), "about:blank")
        tab.call("Page.enable")
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        tab.call("Page.navigate", url=f"{script.place}/status")
        tab.wait_for_text("#workers td", "serving")
        tab.wait_for_text("#certificates th", "days left")
        assert tab.evaluate("window.refused") == []
        # A style or a script of anybody else would be refused, and told: the watch works.
        tab.evaluate('document.body.setAttribute("style", "color: red")')
        wait_until(lambda: tab.evaluate("window.refused"), "a refusal")
        tab.close()
