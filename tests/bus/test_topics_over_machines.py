"""Topics over machines that share a broker: one order for all subscribers, nothing lost and nothing twice."""

from __future__ import annotations

import json
import os
import threading

import pytest

from support.brokers import PROGRAMS, Broker, Relay
from support.certificates import certificate
from support.harness import wait_until
from support.topics import EventReader, each_worker
from support.websocket_styles import CALLBACKS, STYLES

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def wait_for_listeners(client, topic: str, count: int) -> None:
    """Only a subscription that the broker has is counted."""
    wait_until(lambda: client.ask(f"?{topic}") == str(count), f"{topic} has {count} listeners")


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_all_get_all_in_one_order(start, tmp_path, program):
    broker = Broker(tmp_path, program=program)
    try:
        many, one = start(bus=broker.url), start(bus=broker.url, processes=1)
        workers = each_worker(many)
        sockets = [many.subscribe(pid, STYLES[2], "room") for pid in workers]
        sockets += [one.subscribe(None, style, "room") for style in STYLES]
        streams = [EventReader(many, pid, "room") for pid in workers] + [EventReader(one, None, "room")]
        wait_for_listeners(sockets[0], "room", len(sockets) + len(streams))
        count = 200
        calls = [(many.publish, (pid, "room", count)) for pid in workers]
        calls.append((lambda: one.fetch(f"/publish?topic=room&from=one&count={count}"), ()))
        publishers = [threading.Thread(target=call, args=arguments) for call, arguments in calls]
        for publisher in publishers:
            publisher.start()
        everything = len(publishers) * count
        taken = [socket.take(everything) for socket in sockets]
        taken += [[stream.next()["data"] for _ in range(everything)] for stream in streams]
        for publisher in publishers:
            publisher.join()
        assert sorted(taken[0]) == sorted(f"{name} {number}" for name in [*workers, "one"] for number in range(count))
        assert all(other == taken[0] for other in taken)
        for socket in sockets:
            socket.settle()
        assert many.stop() == one.stop() == 0
        assert "bus" not in many.output + one.output + "".join(many.heard + one.heard)
    finally:
        broker.kill()


def test_histories_are_one_for_all_machines(start, broker):
    here = start(bus=broker.url, history={"kept": 3}, websocket={"when_gap": "close"})
    there = start(bus=broker.url, history={"kept": 3}, processes=1)
    publisher = here.subscribe(None, CALLBACKS, "other")
    ids = [publisher.ask(f"!kept {number}").removeprefix("published ") for number in range(5)]
    epochs, numbers = zip(*(id.split("-") for id in ids), strict=True)
    assert (len(set(epochs)), numbers) == (1, ("1", "2", "3", "4", "5"))
    for place, missed in ((2, [3, 4]), (4, []), (None, [2, 3, 4])):
        client = there.subscribe(None, CALLBACKS, "kept", after="0" if place is None else ids[place])
        assert client.take(len(missed)) == [f"{ids[number]} {number}" for number in missed]
        client.settle()
        client.close_cleanly()
    reader = EventReader(there, None, "kept", last_id=ids[3])
    assert reader.next() == {"id": ids[4], "data": "4"}
    late = EventReader(there, None, "kept", last_id=ids[0])
    assert [late.next().get("data") for _ in range(4)] == ["kept", "2", "3", "4"]
    client = here.subscribe(None, CALLBACKS, "other")
    client.send_message(f"+kept after {ids[0]}")
    assert client.receive_message() == "done"
    assert client.receive_close() == (1012, "messages were lost; connect again")


def test_listeners_and_functions_of_every_machine(start, broker):
    here, there = start(bus=broker.url), start(bus=broker.url, processes=1)
    client = here.subscribe(None, CALLBACKS, "heard")
    other = there.subscribe(None, CALLBACKS, "heard")
    wait_for_listeners(client, "heard", 2)
    client.send_message("heard grüße")
    assert client.receive_message() == other.receive_message() == "grüße"
    wait_until(lambda: json.loads(there.fetch("/heard"))["heard"] == ["grüße"], "the other machine has heard it")
    assert client.ask("-heard") == "done"
    assert other.ask("?heard") == "1"
    assert client.ask("?nothing") == "0"


def test_what_a_machine_publishes_as_it_starts_and_ends(start, broker):
    here = start(bus=broker.url, processes=1)
    there = start(bus=broker.url, processes=1, greeting="the other machine")
    heard = ["the other machine"]
    wait_until(lambda: json.loads(here.fetch("/heard"))["heard"] == heard, "this machine has heard of the start")
    wait_until(lambda: json.loads(there.fetch("/heard"))["heard"] == heard, "it hears itself")
    assert there.stop() == 0
    heard.append("the end of the other machine")
    wait_until(lambda: json.loads(here.fetch("/heard"))["heard"] == heard, "this machine has heard of the end")


def test_a_prefix_keeps_programs_apart(start, broker):
    one, other = start(bus=f"{broker.url}/0?prefix=one", processes=1), start(bus=f"{broker.url}?prefix=two", processes=1)
    here, there = one.subscribe(None, CALLBACKS, "a"), other.subscribe(None, CALLBACKS, "a")
    wait_for_listeners(here, "a", 1)
    here.send_message("a hello")
    assert here.receive_message() == "hello"
    there.settle()
    assert broker.client().publish("two:t:a", b"from another program") == 1
    assert "left out" in other.wait_for("bus redis://")
    there.settle()


def test_a_unix_socket_and_tls(start, broker, tmp_path):
    files = certificate(tmp_path / "tls", "localhost")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certfile, files.keyfile)
    relay = Relay(broker.port, context=context)
    place = f"rediss://localhost:{relay.address[1]}"
    secure = start(bus=f"{place}?ca={files.certfile}", processes=1)
    local = start(bus=f"redis+unix://{broker.path}", processes=1)
    here, there = secure.subscribe(None, CALLBACKS, "a"), local.subscribe(None, CALLBACKS, "a")
    wait_for_listeners(there, "a", 2)
    text = "x" * (3 << 19)
    here.send_message(f"a {text[: 1 << 19]}")
    assert here.receive_message() == there.receive_message() == text[: 1 << 19]
    assert secure.fetch(f"/publish?topic=a&from=b&count=1&size={len(text)}") == "done"
    assert there.receive_message() == "b 0".ljust(len(text))
    assert here.receive_message() == "b 0".ljust(len(text))
    strange = start(bus=place, processes=1)
    assert "not trusted" in "".join(strange.heard) + strange.before_url or "not trusted" in strange.wait_for("bus rediss://")
    relay.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://user:hush@host", "'amqp://…', and \"amqp\" is no known scheme"),
        ("redis://user:hush@host:port", "'redis://…', which is no URL"),
        ("redis://:hush@host/?colour=1", "'redis://…', which has an unknown parameter; known: prefix and ca"),
        (7, "7"),
    ],
)
def test_addresses_that_are_refused(url, reason):
    from outside import OutsideHTTP

    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["bus"] = url
    with pytest.raises(ValueError) as refused:
        server.run()
    assert str(refused.value).startswith(f'config["bus"] is {reason}; allowed: a URL: ')
    assert "hush" not in str(refused.value)


def test_a_file_of_an_authority_that_is_not_there():
    from outside import OutsideHTTP

    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["bus"] = "rediss://localhost?ca=/nowhere/ca.pem"
    with pytest.raises(RuntimeError, match=r'config\["bus"\]: the file "/nowhere/ca.pem" cannot be read'):
        server.run()
