"""Refusals of handlers count by the limits that make them: limits of the program, those of forms, and 429 and 503."""

from __future__ import annotations

import pytest

from support.harness import wait_until
from support.wire import fetch


def refusals(script) -> dict[tuple[str, str], int]:
    samples = script.metrics().samples.items()
    found = {(name, *sorted(dict(labels).items())): int(value) for (name, labels), value in samples}
    return {(labels[0][1], labels[1][1]): value for (name, *labels), value in found.items() if name == "outside_refused_total"}


@pytest.mark.parametrize("hooks", [False, True])
def test_refusals_of_handlers_count_by_their_limits(start_measured, hooks):
    script = start_measured(processes=2, hooks=hooks, max_form_fields=2, max_body_size_mb=0.01)
    assert [fetch(script.address, "/limited").status for _ in range(4)] == [200, 429, 429, 429]
    assert [fetch(script.address, "/limited/unnamed").status for _ in range(2)] == [200, 429]
    for path, status in [
        ("/abort/429", 429),
        ("/abort/503", 503),
        ("/later/503", 503),
        ("/abort/404", 404),
        ("/later/500", 500),
    ]:
        assert fetch(script.address, path).status == status
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(script.address, "/form", "POST", form, b"a=1&b=2&c=3").status == 413
    assert fetch(script.address, "/content", "POST", {}, b"x" * 20_000).status == 413
    wanted = {
        ("once", "429"): 3,
        ("rate_limit", "429"): 1,
        ("handler", "429"): 1,
        ("handler", "503"): 2,
        ("max_form_fields", "413"): 1,
        ("max_body_size_mb", "413"): 1,
    }
    wait_until(lambda: sum(refusals(script).values()) >= 9, "all are counted")
    assert refusals(script) == wanted
