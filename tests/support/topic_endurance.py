"""Topics under load, kills and reloads: functions with numbers as arguments, run short by `make test` and in full by `make soak`."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import threading
from pathlib import Path

from support.harness import wait_until
from support.topics import EventReader, Subscriber, TopicServer, each_worker
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS
from support.websocket_wire import PING, PONG, TEXT, frame
from support.wire import DEADLINE, request_bytes

# Letters of a message, so that a frame has as many bytes as any other.
WIDTH = 24
FRAME = 2 + WIDTH
EMPTY_PING = bytes([0x80 | PING, 0])
# Messages that the slowest client may be behind.
AHEAD = 500


class _Stream:
    """The bytes of one client, compared with those that others of its kind have had."""

    def __init__(self, client: Subscriber | EventReader, whole: bytearray) -> None:
        self.client, self.whole, self.at = client, whole, 0
        self.raw = bytearray()

    def add(self, piece: bytes) -> None:
        known = self.whole[self.at : self.at + len(piece)]
        assert piece.startswith(bytes(known)), (self.at, piece[:200], bytes(known[:200]))
        self.whole += piece[len(known) :]
        self.at += len(piece)

    def take(self) -> None:
        piece = self.client.socket.recv(1 << 18)
        assert piece, "the connection has ended"
        self.feed(piece)

    def feed(self, piece: bytes) -> None:
        self.raw += piece
        while (at := self.raw[::FRAME].find(EMPTY_PING[:1])) >= 0 and len(self.raw) >= at * FRAME + len(EMPTY_PING):
            # Pings stand between messages, and are answered.
            del self.raw[at * FRAME : at * FRAME + len(EMPTY_PING)]
            self.client.send(frame(PONG))
        whole = len(self.raw) // FRAME * FRAME
        self.add(bytes(self.raw[:whole]))
        del self.raw[:whole]

    def count(self) -> int:
        return self.at // FRAME


class _Events(_Stream):
    """The same of an event stream: its chunks may be cut anywhere, and comments may stand between events."""

    def __init__(self, client: EventReader, whole: bytearray) -> None:
        super().__init__(client, whole)
        self.text, self.events = bytearray(), 0
        self.feed(client.text)

    def feed(self, piece: bytes) -> None:
        self.raw += piece
        while (end := self.raw.find(b"\r\n")) >= 0:
            size = int(self.raw[:end], 16)
            if len(self.raw) < end + 4 + size:
                break
            self.text += self.raw[end + 2 : end + 2 + size]
            del self.raw[: end + 4 + size]
        while (end := self.text.find(b"\n\n")) >= 0:
            event = bytes(self.text[: end + 2])
            del self.text[: end + 2]
            if not event.startswith(b":"):
                self.events += 1
                self.add(event)

    def count(self) -> int:
        return self.events


def all_get_all(server: TopicServer, clients: int, publishes: int) -> None:
    """Each of these clients, event streams among them, gets all that handlers of all workers publish, in one order."""
    workers = each_worker(server)
    frames, events = bytearray(), bytearray()
    streams: list[_Stream] = []
    styles = [BLOCKING, ASYNC, CALLBACKS]
    for number in range(clients):
        if number % 4 == 3:
            streams.append(_Events(EventReader(server, None, "room"), events))
        else:
            streams.append(_Stream(server.subscribe(None, styles[number % 4], "room"), frames))
    asking = server.subscribe(None, CALLBACKS, "other")
    wait_until(lambda: asking.ask("?room") == str(clients), f"{clients} listeners")
    each = publishes // len(workers)
    total = each * len(workers)
    published, lock, failures = [0], threading.Lock(), []
    moved = threading.Condition(lock)

    def publish(pid: int) -> None:
        try:
            with server.wire_to(pid) as wire:
                for start in range(0, each, 20):
                    count = min(20, each - start)
                    with moved:
                        ready = moved.wait_for(lambda: published[0] - slowest[0] < AHEAD, 4 * DEADLINE)
                        assert ready, "the slowest client has stopped"
                        published[0] += count
                    target = f"/publish?topic=room&from={pid}-{start}&count={count}&size={WIDTH}"
                    assert wire.send(request_bytes(target)).receive_answer().text == "done"
        except BaseException as error:
            failures.append(error)

    slowest = [0]
    threads = [threading.Thread(target=publish, args=(pid,), daemon=True) for pid in workers]
    for thread in threads:
        thread.start()
    reading = select.epoll()
    by_number = {stream.client.socket.fileno(): stream for stream in streams}
    for number in by_number:
        reading.register(number, select.EPOLLIN)
    while slowest[0] < total:
        ready = reading.poll(DEADLINE)
        assert ready and not failures, (failures, slowest[0], sorted(stream.count() for stream in streams)[:5])
        for number, _ in ready:
            by_number[number].take()
        with moved:
            slowest[0] = min(stream.count() for stream in streams)
            moved.notify_all()
    reading.close()
    for thread in threads:
        thread.join()
    texts = [bytes(frames[at + 2 : at + FRAME]).decode().rstrip() for at in range(0, len(frames), FRAME)]
    told = [line[6:].decode().rstrip() for line in events.split(b"\n") if line.startswith(b"data: ")]
    wanted = {
        pid: [f"{pid}-{start} {n}" for start in range(0, each, 20) for n in range(min(20, each - start))] for pid in workers
    }
    assert sorted(texts) == sorted(text for texts in wanted.values() for text in texts), "nothing is lost or comes twice"
    for pid in workers:
        assert [text for text in texts if text.startswith(f"{pid}-")] == wanted[pid]
    assert told == texts, "event streams have the same order"
    assert {stream.count() for stream in streams} == {total}


class _Survivor:
    """A client that a thread reads, until it has the text `the end`."""

    def __init__(self, client: Subscriber | EventReader) -> None:
        self.client, self.texts, self.fault = client, [], None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            while not self.texts or self.texts[-1] != "the-end 0":
                if isinstance(self.client, EventReader):
                    self.texts.append(self.client.next()["data"])
                    continue
                opcode, payload = self.client.receive_frame()
                if opcode == PING:
                    self.client.send(frame(PONG, payload))
                else:
                    assert opcode == TEXT, (opcode, payload)
                    self.texts.append(payload.decode())
        except BaseException as error:
            self.fault = error


def survive_kills(server: TopicServer, seconds: float, every: float) -> str:
    """Workers but one are killed one after another, while all publish: the clients of that one lose nothing."""
    survivor, *_ = each_worker(server)
    clients: list[Subscriber | EventReader] = [
        server.subscribe(survivor, style, "room") for style in (BLOCKING, ASYNC, CALLBACKS)
    ]
    clients.append(EventReader(server, survivor, "room"))
    asking = server.subscribe(survivor, CALLBACKS, "other")
    wait_until(lambda: asking.ask("?room") == str(len(clients)), "all listen")
    survivors = [_Survivor(client) for client in clients]
    ends, killed, others = threading.Event(), [0], [0]

    def listen() -> None:
        while not ends.is_set():
            try:
                server.read_line()
            except AssertionError:
                pass  # no line in time

    def publish_elsewhere(name: str) -> None:
        number = 0
        while not ends.is_set():
            try:
                server.fetch(f"/publish?topic=room&from={name}{number}&count=3")
                others[0] += 1
            except Exception:
                pass  # its worker has died
            number += 1

    def kill() -> None:
        while not ends.wait(every):
            victims = [pid for pid in server.workers().values() if pid != survivor]
            try:
                os.kill(random.choice(victims), signal.SIGKILL)
                killed[0] += 1
            except ProcessLookupError:
                pass

    targets = [(listen, ()), (kill, ()), (publish_elsewhere, ("x",)), (publish_elsewhere, ("y",))]
    threads = [threading.Thread(target=target, args=arguments, daemon=True) for target, arguments in targets]
    for thread in threads:
        thread.start()
    number = 0
    ended = threading.Timer(seconds, ends.set)
    ended.start()
    with server.wire_to(survivor) as wire:
        while not ends.is_set():
            target = f"/publish?topic=room&from=own{number}&count=1"
            assert wire.send(request_bytes(target)).receive_answer().text == "done"
            number += 1
            # Less than 10,000 requests: a connection serves no more (`max_socket_reuse`).
            ends.wait(0.005)
        for thread in threads[1:]:
            thread.join(DEADLINE)
        assert wire.send(request_bytes("/publish?topic=room&from=the-end&count=1")).receive_answer().text == "done"
    for each in survivors:
        each.thread.join(DEADLINE)
        assert each.fault is None and not each.thread.is_alive(), each.fault
        assert each.texts == survivors[0].texts, "one order for all"
    texts = survivors[0].texts
    assert [text for text in texts if text.startswith("own")] == [f"own{n} 0" for n in range(number)]
    assert len(set(texts)) == len(texts), "a message came twice"
    assert all(re.fullmatch(r"(own|x|y)\d+ [0-2]|the-end 0", text) for text in texts), "a message is torn"
    return f"{killed[0]} kills, {number} own messages and {len(texts) - number - 1} of others, none lost, doubled or torn"


def come_back(server: TopicServer, last: str) -> Subscriber:
    """A process that ends tells a client that would open a WebSocket now to come again."""
    found: list[Subscriber] = []

    def is_open() -> bool:
        client = Subscriber(server, None, CALLBACKS, may_be_refused=True)
        found[:] = [client]
        return client.answer.status == 101

    wait_until(is_open, "a process that stays")
    return found[0].subscribe("kept", last)


def follow_over_reloads(server: TopicServer, reloads: int) -> int:
    """A client that comes back with `after=` while the program is started again and again: it gets each message once."""
    each_worker(server)
    ends = threading.Event()
    published: list[str] = []
    failures: list[BaseException] = []

    def publish() -> None:
        number = 0
        try:
            while not ends.is_set():
                text = server.fetch(f"/publish?topic=kept&from={number}&count=1")
                assert text == "done"
                published.append(f"{number} 0")
                number += 1
        except BaseException as error:
            failures.append(error)

    taken: list[tuple[str, str]] = []
    last = "0"
    publisher = threading.Thread(target=publish)
    publisher.start()
    for _ in range(reloads):
        client = come_back(server, last)
        for _ in range(20):
            last, _, text = client.receive_message().partition(" ")
            taken.append((last, text))
        reload = threading.Thread(target=server.reload)
        reload.start()
        while True:
            opcode, payload = client.receive_frame()
            if opcode == 8:
                break
            last, _, text = payload.decode().partition(" ")
            taken.append((last, text))
        reload.join()
    ends.set()
    publisher.join()
    assert not failures
    client = server.subscribe(None, CALLBACKS, "kept", after=last)
    while len(taken) < len(published):
        last, _, text = client.receive_message().partition(" ")
        taken.append((last, text))
    assert [int(last.partition("-")[2]) for last, _ in taken] == list(range(1, len(published) + 1))
    # Two requests are handled by two processes: `publish` does not wait, so the second may come before the first.
    assert sorted(int(text.split()[0]) for _, text in taken) == list(range(len(published)))
    client.settle()
    return len(published)


def stay_flat(server: TopicServer, rounds: int) -> str:
    """Descriptors and threads of the process that was started and of a worker, after each reload and kill."""

    def of_started() -> tuple[int, int]:
        folder = Path(f"/proc/{server.process.pid}")
        return len(os.listdir(folder / "task")), len(os.listdir(folder / "fd"))

    def of_worker() -> tuple[int, int]:
        with server.wire_to(each_worker(server)[0]) as wire:
            threads, descriptors = wire.send(request_bytes("/threads")).receive_answer().text.split()
        return int(threads), int(descriptors)

    def go_round() -> None:
        before = each_worker(server)
        victim = random.choice(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in server.workers().values() or not server.read_line(), "another worker has started")
        before = list(server.workers().values())
        server.reload()
        are_new = lambda: not set(before) & set(server.workers().values()) or not server.read_line()
        wait_until(are_new, "the workers of the next generation have started")
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), "those before have ended")

    for _ in range(2):
        go_round()
    started, worker = of_started(), of_worker()
    for number in range(rounds):
        go_round()
        wait_until(lambda: of_started() <= started, f"round {number}: {of_started()}, at first {started}")
    now = of_worker()
    # A worker makes threads when it needs them.
    assert now[0] <= worker[0] + 2 and now[1] <= worker[1] + 2, (now, worker)
    return (
        f"threads and descriptors of the process that was started {started}, then {of_started()}; of a worker {worker}, {now}"
    )
