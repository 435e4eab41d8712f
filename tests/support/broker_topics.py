"""Topics over machines while their broker comes and goes: clients that note all they get, and publishers that time their calls."""

from __future__ import annotations

import itertools
import threading
import time

from support.brokers import Relay
from support.harness import wait_until
from support.topics import EventReader, TopicServer
from support.websocket_styles import CALLBACKS
from support.websocket_wire import TEXT
from support.wire import fetch

# Milliseconds that a call of `publish` computes, and seconds that it may last on a machine with other work.
CALL, LAST = 1.0, 0.5


class Follower:
    """An event stream that a thread reads."""

    def __init__(self, server: TopicServer, pid: int | None = None, topic: str = "room") -> None:
        self.stream = EventReader(server, pid, topic)
        self.events: list[dict[str, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.events.append(self.stream.next())
        except (AssertionError, OSError):
            pass

    @property
    def texts(self) -> list[str]:
        return [event["data"] for event in self.events if "event" not in event]

    @property
    def gaps(self) -> int:
        return sum(event.get("event") == "gap" for event in self.events)

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.texts, f"{text!r} comes")


class Publisher:
    """Publishes numbered texts until it is stopped, and times the calls. Without the pause, readers in Python fall behind and lose some."""

    def __init__(self, server: TopicServer, name: str, pause: float = 0.01) -> None:
        self.server, self.name, self.pause = server, name, pause
        self.count, self.calls = 0, []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._publish)
        self.thread.start()

    def _publish(self) -> None:
        while not self.ends.is_set():
            told = self.server.fetch(f"/timed?topic=room&from={self.name}-{self.count}&count=5").split()
            self.calls.append(tuple(map(float, told)))
            self.count += 1
            self.ends.wait(self.pause)

    def stop(self) -> None:
        self.ends.set()
        self.thread.join()
        used, passed, *_ = zip(*self.calls, strict=True)
        # One call in a hundred may meet an interrupt or cold memory: a call that waited or copied would show in all of them.
        most = sorted(used)[-1 - len(used) // 100]
        assert most <= CALL, f"{most} ms, at most {max(used)} ms"
        assert max(passed) <= 1000 * LAST, f"{max(passed)} ms"


def wait_for_listeners(server: TopicServer, count: int, topic: str = "room") -> None:
    """The handler that asks fails, and so closes its WebSocket, while the broker still has the connection of a machine that is lost."""

    def are_there() -> bool:
        client = server.subscribe(None, CALLBACKS, "asking")
        client.send_message(f"?{topic}")
        opcode, payload = client.receive_frame()
        client.socket.close()
        return (opcode, payload) == (TEXT, str(count).encode())

    wait_until(are_there, f"{count} listeners")


def tell(server: TopicServer, text: str, topic: str = "room") -> None:
    assert fetch(server.address, f"/publish?topic={topic}&from={text}&count=1").text == "done"


def settle(servers: list[TopicServer], followers: list[Follower], text: str) -> None:
    """One more message of each machine reaches all."""
    for index, server in enumerate(servers):
        tell(server, f"{text}{index}")
    for follower in followers:
        for index in range(len(servers)):
            follower.wait_for(f"{text}{index} 0")


def keep_apart(start, broker, seconds: float) -> str:
    """Cuts the second of two machines off from the broker for these seconds, or until the machine notices it."""
    relay = Relay(broker.port)
    try:
        return hold_apart([start(bus=broker.url, processes=1), start(bus=relay.url, processes=1)], relay, seconds)
    finally:
        relay.close()


def hold_apart(servers: list[TopicServer], link, seconds: float) -> str:
    """Holds the link of the second machine to the broker: nothing comes twice, and the loss is told."""
    followers = [Follower(server) for server in servers]
    wait_for_listeners(servers[0], 2)
    publishers = [Publisher(server, name) for server, name in zip(servers, "ab", strict=True)]
    settle(servers, followers, "before")
    began = time.monotonic()
    link.hold()
    servers[1].wait_for("the broker has not answered for 3 s")
    threading.Event().wait(max(0.0, seconds - (time.monotonic() - began)))
    for number, server in enumerate(servers):
        tell(server, f"apart{number}")
        followers[number].wait_for(f"apart{number} 0")
    apart = time.monotonic() - began
    link.go_on()
    wait_until(lambda: all(follower.gaps >= 1 for follower in followers), "both machines are told of the gap")
    wait_for_listeners(servers[0], 2)
    settle(servers, followers, "after")
    for publisher in publishers:
        publisher.stop()
    for number, follower in enumerate(followers):
        texts = follower.texts
        assert len(texts) == len(set(texts)), "a message came twice"
        assert f"apart{1 - number} 0" not in texts, "they were apart"
        own = [text for text in texts if text.startswith("ab"[number] + "-")]
        numbers = [[int(part) for part in text[2:].split()] for text in own]
        late = [pair for pair in itertools.pairwise(numbers) if pair[0] > pair[1]]
        assert not late, f"machine {number} in another order than published: {late[:5]}"
    return f"apart for {apart:.1f} s; {[len(follower.texts) for follower in followers]} messages, none twice"
