"""Brokers that end, stand still, refuse, or cut: topics go on within the machine, and each loss is told."""

from __future__ import annotations

import os
import signal
import time

import pytest

from support.broker_topics import CALL, Follower, Publisher, keep_apart, settle, tell, wait_for_listeners
from support.brokers import Relay
from support.harness import wait_until
from support.topics import EventReader, each_worker
from support.websocket_styles import CALLBACKS

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def test_broker_killed_and_back(start, broker):
    servers = [start(bus=broker.url), start(bus=broker.url, processes=1)]
    pids = each_worker(servers[0])
    followers = [Follower(servers[0], pid) for pid in pids] + [Follower(servers[1])]
    wait_for_listeners(servers[0], 3)
    publishers = [Publisher(server, name) for server, name in zip(servers, "ab", strict=True)]
    settle(servers, followers, "before")
    broker.kill()
    for server, processes in zip(servers, (2, 1), strict=True):
        for _ in range(processes):
            server.wait_for("the broker has closed the connection")
    for server in servers:
        assert server.fetch("/publish?topic=room&from=away&count=20") == "done"
    began = time.monotonic()
    broker.start()
    for server, processes in zip(servers, (2, 1), strict=True):
        for _ in range(processes):
            assert "subscribers are told of a gap" in server.wait_for("back after")
    assert time.monotonic() - began <= 2.0, "back within two seconds"
    wait_for_listeners(servers[1], 3)
    settle(servers, followers, "after")
    for publisher in publishers:
        publisher.stop()
    for follower in followers:
        wait_until(lambda follower=follower: follower.gaps >= 1, "the gap is told")
        texts = follower.texts
        assert len(texts) == len(set(texts)), "a message came twice"
        # A message of a process without its broker comes to the clients of its machine.
        assert [text for text in texts if text.startswith("away ")] == [f"away {number}" for number in range(20)]
    assert [server.stop() for server in servers] == [0, 0]


def test_broker_stopped(start, broker):
    servers = [start(bus=broker.url, processes=1), start(bus=broker.url, processes=1)]
    followers = [Follower(server) for server in servers]
    wait_for_listeners(servers[0], 2)
    settle(servers, followers, "before")
    publisher = Publisher(servers[0], "a")
    broker.halt()
    for server in servers:
        server.wait_for("the broker has not answered for 3 s")
    tell(servers[0], "alone")
    followers[0].wait_for("alone 0")
    broker.go_on()
    for server in servers:
        server.wait_for("back after")
    wait_for_listeners(servers[1], 2)
    settle(servers, followers, "after")
    publisher.stop()
    for follower in followers:
        assert follower.gaps >= 1
        assert len(follower.texts) == len(set(follower.texts)), "a message came twice"
    assert "alone 0" not in followers[1].texts


@pytest.mark.timed
def test_publish_waits_for_nothing(start, broker):
    """By the clock: no call lasts a millisecond while the broker is there, dies, is away, comes back, and stands still."""
    server = start(bus=broker.url, processes=1)
    follower = Follower(server)
    wait_for_listeners(server, 1)
    publisher = Publisher(server, "a", pause=0.005)
    tell(server, "before")
    follower.wait_for("before 0")
    broker.kill()
    server.wait_for("the broker has closed the connection")
    tell(server, "away")
    follower.wait_for("away 0")
    broker.start()
    server.wait_for("back after")
    broker.halt()

    def stays_here() -> bool:
        tell(server, "alone")
        return "alone 0" in follower.texts

    wait_until(stays_here, "topics stay on the machine")
    broker.go_on()
    publisher.stop()
    _, longest, undisturbed, disturbed = zip(*publisher.calls, strict=True)
    calls = 5 * len(publisher.calls)
    print(f"{calls} calls, the longest {max(longest)} ms; of {calls - sum(disturbed)} undisturbed ones {max(undisturbed)} ms")
    # A call that wakes the thread of the connection may have to leave it the core.
    assert sum(disturbed) < calls
    assert max(undisturbed) <= CALL


def test_two_machines_apart(start, broker):
    keep_apart(start, broker, seconds=0)


def test_cut_between_send_and_reply(start, broker):
    cuts = []

    def watch(piece: bytes) -> bool:
        if b"unknown-fate" not in piece:
            return False
        cuts.append(piece)
        return True

    relay = Relay(broker.port, watch=watch)
    servers = [start(bus=relay.url, processes=1), start(bus=broker.url, processes=1)]
    followers = [Follower(server) for server in servers]
    wait_for_listeners(servers[0], 2)
    client = servers[0].subscribe(None, CALLBACKS, "asking")
    client.send_message("!room unknown-fate")
    code, _ = client.receive_close()
    assert code == 1011, "the caller is told by an exception"
    servers[0].wait_for("back after")
    wait_for_listeners(servers[0], 2)
    settle(servers, followers, "after")
    # The broker had it: the other machine gets it once, and this one not again.
    assert followers[1].texts.count("unknown-fate") == 1
    assert followers[0].texts.count("unknown-fate") == 0
    assert [follower.gaps >= 1 for follower in followers] == [True, True]
    assert len(cuts) == 1, "it was not sent again"
    relay.close()


def test_broker_restarted_empty(start, broker):
    settings = {"bus": broker.url, "history": {"room": 10}, "processes": 1}
    servers = [start(**settings), start(**settings, websocket={"when_gap": "close"})]
    client = servers[0].subscribe(None, CALLBACKS, "asking")
    ids = [client.ask(f"!room {number}").removeprefix("published ") for number in range(3)]
    broker.kill()
    broker.start()
    for server in servers:
        assert "the broker was started anew" in server.wait_for("back after")
    client = servers[0].subscribe(None, CALLBACKS, "asking")
    again = client.ask("!room 3").removeprefix("published ")
    assert again.split("-")[0] != ids[0].split("-")[0]
    assert again.split("-")[1] == "1"
    reader = EventReader(servers[0], None, "room", last_id=ids[2])
    assert [reader.next().get("data") for _ in range(2)] == ["room", "3"]
    late = servers[1].subscribe(None, CALLBACKS, "asking")
    late.send_message(f"+room after {ids[2]}")
    assert late.receive_message() == "done"
    assert late.receive_close()[0] == 1012


def test_client_kill_and_scripts_that_are_gone(start, broker):
    server = start(bus=broker.url, processes=1, history={"kept": 3})
    follower = Follower(server)
    wait_for_listeners(server, 1)
    control = broker.client()
    killed = [entry["id"] for entry in control.client_list() if entry["name"].startswith("outside-")]
    assert len(killed) == 1
    assert control.client_kill_filter(_id=killed[0]) == 1
    line = server.wait_for("bus redis://")
    assert "the broker has closed the connection (its end, CLIENT KILL" in line
    assert "topics stay on this machine until it is back" in line
    server.wait_for("back after")
    wait_until(lambda: follower.gaps == 1, "the gap is told")
    control.script_flush()
    client = server.subscribe(None, CALLBACKS, "asking")
    client.send_message("kept lost")
    server.wait_for("the broker has forgotten its scripts")
    wait_until(lambda: control.client_list()[-1]["name"].startswith("outside-"), "it is back")
    wait_until(lambda: client.ask("!kept again").endswith("-1"), "kept topics go on")


UNCOUNTED = "min-string-size-avoid-copy-reply"


def test_output_buffer_limit(start, broker):
    control = broker.client()
    control.config_set("client-output-buffer-limit", "pubsub 4mb 0 0")
    # Valkey does not count long texts that it sends without a copy.
    if control.config_get(UNCOUNTED):
        control.config_set(UNCOUNTED, 0)
    servers = [start(bus=broker.url, processes=1), start(bus=broker.url, processes=1)]
    # A stream of the halted machine is cut off by all that comes at once, one of another topic is not.
    followers = [Follower(servers[0]), Follower(servers[1], topic="calm")]
    flooded = Follower(servers[1])
    wait_for_listeners(servers[0], 2)
    halted = servers[1].process
    os.kill(halted.pid, signal.SIGSTOP)
    try:
        # The kernel may hold some 36 MB for a machine that stands still before the broker has to.
        for number in range(120):
            if sum(client["name"].startswith("outside-") for client in broker.client().client_list()) < 2:
                break
            assert servers[0].fetch(f"/publish?topic=room&from=big{number}&count=6&size=100000") == "done"
            # The end of the last chunk comes with the next one.
            wait_until(lambda number=number: len(followers[0].events) >= 6 * number + 5, "the other machine goes on")
    finally:
        os.kill(halted.pid, signal.SIGCONT)
    servers[1].wait_for("the broker has closed the connection")
    line = servers[1].wait_for("back after")
    assert "subscribers are told of a gap" in line
    assert "client-output-buffer-limit" in line or not knows_cuts(broker)
    wait_until(lambda: followers[1].gaps == 1, "the gap is told")
    tell(servers[0], "after", topic="calm")
    followers[1].wait_for("after 0")
    assert (followers[0].gaps, followers[1].gaps) == (0, 1)
    assert flooded.texts


def knows_cuts(broker) -> bool:
    return "client_output_buffer_limit_disconnections" in broker.client().info("stats")


def test_passwords_and_rights(start, broker):
    control = broker.client()
    control.config_set("requirepass", "right-password")
    control.execute_command("AUTH", "right-password")
    control.execute_command("ACL", "SETUSER", "app", "on", ">hush-hush", "~outside:*", "&outside:*", "+@all", "-publish")
    place = f"127.0.0.1:{broker.port}"
    expected = {
        f"redis://{place}": "wants a user or password (NOAUTH)",
        f"redis://:hush-hush@{place}": "refuses this user or password (WRONGPASS)",
        f"redis://app:hush-hush@{place}": "refuses a command that is needed: NOPERM",
        f"redis://app:hush-hush@{place}/?prefix=other": "refuses a command that is needed: NOPERM",
    }
    for url, reason in expected.items():
        server = start(bus=url, processes=1)
        heard = server.before_url
        while reason not in heard:
            heard += server.read_line()
        client = server.subscribe(None, CALLBACKS, "room")
        client.send_message("room alone")
        assert client.receive_message() == "alone"
        if "prefix" not in url and "app" in url:
            control.execute_command("ACL", "SETUSER", "app", "+publish")
            server.wait_for("back after")
        client.close_cleanly()
        assert server.stop() == 0
        text = "\n".join([heard, server.output, *server.heard])
        assert "hush-hush" not in text
        lines = [line for line in text.splitlines() if reason in line]
        assert len(set(lines)) == 1
        assert f"bus redis://{place}: the broker" in lines[0]


def nonsense() -> list[bytes | None]:
    """What a false broker sends; `None`: nothing at all."""
    return [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"$9223372036854775807\r\n" + b"x" * (1 << 20),
        b"*1000000000\r\n" + b"+a\r\n" * 10_000,
        b"*1\r\n" * 10_000,
        b"+" + b"x" * (1 << 20),
        b"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `hush-hush`, \r\n",
        b"-hush-hush hush-hush\r\n",
        b"+OK\r\n" * 1000,
        b">3\r\n$7\r\nmessage\r\n$9\r\noutside:t\r\n$0\r\n\r\n" * 1000,
        b"",
    ]


def test_a_false_broker(start, broker):
    sent = nonsense()

    def answer(number: int, client) -> bool:
        if number >= len(sent):
            return True
        client.recv(65536)
        client.sendall(sent[number])
        return False

    relay = Relay(broker.port, answer)
    server = start(bus=relay.url.replace("redis://", "redis://:hush-hush@"), processes=1)
    broker.client().config_set("requirepass", "hush-hush")
    follower = Follower(server)
    tell(server, "alone")
    follower.wait_for("alone 0")
    server.wait_for("back after")
    wait_for_listeners(server, 1)
    settle([server], [follower], "after")
    assert memory_peak(server.process.pid) < 256 << 20
    assert server.stop() == 0
    text = "\n".join([server.before_url, server.output, *server.heard])
    assert "hush-hush" not in text
    assert "it is no Redis, or something is between" in text
    assert len([line for line in text.splitlines() if line.startswith("bus ")]) <= 8
    relay.close()


def memory_peak(pid: int) -> int:
    """Bytes that were resident at most."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def test_a_server_starts_and_ends_without_its_broker(start, tmp_path):
    server = start(bus="redis://127.0.0.1:1", processes=2)
    heard = server.before_url + "".join(server.heard)
    while "the broker cannot be reached" not in heard:
        heard += server.read_line()
    client = server.subscribe(each_worker(server)[0], CALLBACKS, "room")
    other = server.subscribe(each_worker(server)[1], CALLBACKS, "room")
    client.send_message("room hello")
    assert client.receive_message() == other.receive_message() == "hello"
    client.close_cleanly()
    other.close_cleanly()
    assert server.stop() == 0
