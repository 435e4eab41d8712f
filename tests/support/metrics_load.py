"""Load whose numbers the client knows: mixed requests, and hostile ones that must make no series. Short in tests, long in soak."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from support.harness import wait_until
from support.metrics import DURATION, Measured
from support.wire import Wire, request_bytes

# Requests of a connection; a server ends it after 10,000.
EACH = 5000
BATCH = 50

Wanted = Counter[tuple[str, str, str]]


def mixed(script: Measured, clients: int, each: int) -> Wanted:
    """So many requests of each client, by method, route and status, as the clients have had their answers."""
    wanted: Wanted = Counter()
    lock, faults = threading.Lock(), []

    def ask(seed: int) -> None:
        choice, own = random.Random(seed), Counter[tuple[str, str, str]]()
        try:
            for first in range(0, each, EACH):
                with Wire(script.address) as wire:
                    for _ in range(min(EACH, each - first)):
                        method, target, route, code = choice.choice(
                            [
                                ("GET", f"/users/{choice.randrange(99)}", "/users/{number:int}", "200"),
                                ("GET", f"/hostile/{choice.random()}?secret={choice.random()}", "", "404"),
                                ("POST", "/orders/book", "/orders/{kind}", "200"),
                                ("DELETE", "/status/204", "/status/{code:int}", "204"),
                                ("GET", "/status/503", "/status/{code:int}", "503"),
                                ("PUT", "/users/1", "", "405"),
                            ]
                        )
                        wire.send(request_bytes(target, method=method))
                        assert str(wire.receive_answer().status) == code
                        own[method, route, code] += 1
        except BaseException as error:
            faults.append(repr(error))
        with lock:
            wanted.update(own)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(clients)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert faults == []
    return wanted


def check_counts(script: Measured, wanted: Wanted, times: int = 10) -> None:
    """Whichever process answers, each count is that of the clients."""

    def counted() -> bool:
        metrics = script.metrics()
        return all(
            metrics.requests(http_request_method=method, http_route=route, http_response_status_code=code) == count
            for (method, route, code), count in wanted.items()
        )

    # Each process answers for all; another one may write its last numbers a moment later.
    wait_until(counted, "each count is that of the clients")
    for _ in range(times):
        assert counted() and script.metrics().requests() == wanted.total()
    metrics = script.metrics()
    assert metrics.requests(error_type="503") == wanted["GET", "/status/{code:int}", "503"]
    assert metrics.value("orders_total", kind="book") == wanted["POST", "/orders/{kind}", "200"]
    assert "secret" not in metrics.text and "hostile" not in metrics.text


def hostile(script: Measured, count: int, note: Callable[[int], None] = lambda number: None) -> None:
    """So many requests, each with a path, a host, a method and an id of its own. `note` is called with their number now and then."""
    number = 0
    while number < count:
        with Wire(script.address) as wire:
            for _ in range(0, min(EACH, count - number), BATCH):
                batch = b"".join(
                    b"M%d /%d%%22%%0a%%7b?id=%d HTTP/1.1\r\nHost: h%d.example\r\nX-Request-ID: i%d\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n"
                    % (n, n, n, n, n, n + 1, n + 1)
                    for n in range(number, number + BATCH)
                )
                wire.send(batch)
                answers = 0
                while answers < BATCH:
                    piece = wire.socket.recv(1 << 20)
                    assert piece, "the connection was ended"
                    # The first bytes of an answer may be cut.
                    wire.received += piece
                    answers = wire.received.count(b"HTTP/1.1 4")
                wire.received.clear()
                number += BATCH
        note(number)


def check_series(script: Measured, count: int, most: int = 1000) -> int:
    """All were counted, in few series. Returns the number of those of the histogram."""
    wait_until(lambda: script.metrics().requests() == count, "all are counted")
    metrics = script.metrics()
    assert metrics.requests(http_request_method="_OTHER") == count
    series = sum(name == f"{DURATION}_count" for name, _ in metrics.samples)
    assert series <= most, series
    assert "example" not in metrics.text
    return series


def slowest(ask: Callable[[], object], times: int) -> float:
    """Seconds of the call that took longest, but for the tenth of them that took longer still."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return sorted(taken)[-1 - times // 10]
