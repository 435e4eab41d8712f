"""The names of the server's own metrics: the table of the documents is the one of the code, and each series is in it."""

from __future__ import annotations

import re

from support.harness import ROOT, wait_until
from support.metrics import DURATION
from support.wire import Wire, fetch, request_bytes

SOURCES = ROOT / "crates/outside/src"
NAMES = SOURCES / "metrics/names.rs"
DOCUMENT = ROOT / "docs/deploy/metrics.md"
# Metrics of the program of these tests.
OWN = ("orders_total", "jobs", "newest", "size_bytes", "imports_total")


def of_the_code() -> dict[str, tuple[str, list[str]]]:
    """Kind and labels of each metric."""
    call = r'Metric::(counter|seconds|gauge|histogram)\(\s*"(\w+)",\s*(?:Combine::\w+,\s*)?&\[([^\]]*)\]'
    found = re.findall(call, NAMES.read_text())
    kinds = {"seconds": "counter"}
    return {name: (kinds.get(kind, kind), re.findall(r'"(\w+)"', labels)) for kind, name, labels in found}


def rows() -> list[list[str]]:
    table = DOCUMENT.read_text().partition("## The names")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def of_the_document() -> dict[str, tuple[str, list[str]]]:
    return {name.strip("`"): (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels, _ in rows()}


def bounds_of_the_document(name: str) -> list[float]:
    (text,) = (row[3] for row in rows() if row[0] == f"`{name}`")
    return [float(bound) for bound in re.findall(r"[\d.]+", text.partition("Bounds: ")[2])]


def test_the_table_of_the_documents_is_that_of_the_code():
    assert of_the_code() == of_the_document()
    assert NAMES.read_text().count("pub(crate) const") == len(of_the_code()) > 30


def test_no_metric_is_named_elsewhere():
    literal = re.compile(r'"((?:outside|http_server|process)_\w+_(?:total|seconds|bytes)|outside_\w+)"')
    for file in SOURCES.rglob("*.rs"):
        if file != NAMES:
            text = file.read_text().partition("#[cfg(test)]")[0]
            assert not literal.findall(text), file


def test_each_series_is_in_the_table(start_measured):
    script = start_measured(processes=2, max_header_size=2048)
    for path in ("/users/7", "/nothing", "/status/503", "/abort/429", "/publish/news/3"):
        fetch(script.address, path)
    fetch(script.address, "/users/1", headers={"X": "y" * 4096})
    fetch(script.address, "/orders/book", "POST")
    with Wire(script.address) as wire:
        wire.send(request_bytes("/sleep"))
        wait_until(lambda: script.metrics().value("http_server_active_requests") == 1, "a request is active")
        active = {"http_request_method": "GET", "url_scheme": "http"}
        assert script.metrics().value("http_server_active_requests", **active) == 1
    wait_until(lambda: script.metrics().requests() >= 7, "all are counted")
    wait_until(lambda: script.metrics().value("process_resident_memory_bytes") > 0, "vital signs")
    metrics, table = script.metrics(), of_the_document()
    for name, kind in metrics.kinds.items():
        assert name in OWN or table[name][0] == kind, name
    missing = set(table) - set(metrics.kinds)
    # No broker, no TLS, no worker that has ended, no reload; refusals and handlers are there.
    assert missing == {
        "outside_bus_connected",
        "outside_bus_disconnects_total",
        "outside_tls_handshakes_total",
        "outside_certificate_expiry_timestamp_seconds",
        "outside_worker_ends_total",
        "outside_reloads_total",
    }
    for sample, labels in metrics.samples:
        name = next((found for found in metrics.kinds if sample in (found, *(f"{found}_{of}" for of in PARTS))), sample)
        if name not in OWN:
            own = {label for label, _ in labels} - {"le"}
            assert own <= set(table[name][1]), f"{sample} {own}"
    for name in (DURATION, "outside_handler_wait_seconds"):
        found = {dict(labels)["le"] for sample, labels in metrics.samples if sample == f"{name}_bucket"}
        assert sorted(float(bound) for bound in found - {"+Inf"}) == bounds_of_the_document(name)


PARTS = ("bucket", "sum", "count")
