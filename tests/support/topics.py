"""A server with topics over several processes, and its clients: WebSockets and event streams that know their worker."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from support.harness import PROGRAMS, Script, wait_until
from support.websocket_wire import PING, PONG, WebSocketClient, frame
from support.wire import Wire, fetch, request_bytes


class TopicServer(Script):
    """`topics_app.py` with these settings."""

    program = "topics_app.py"
    # The command before the program; `None`: Python's.
    launcher: list[str] | None = None

    def __init__(self, folder: Path, /, **settings: object) -> None:
        self.heard: list[str] = []
        self.settings = folder / "settings.json"
        self.settings.write_text(json.dumps(settings))
        self.processes = int(settings.get("processes", 2))
        super().__init__(str(PROGRAMS / self.program), str(self.settings), program=self.launcher)

    def read_line(self) -> str:
        line = super().read_line()
        self.heard.append(line.rstrip("\n"))
        return line

    def wait_for(self, text: str) -> str:
        while text not in (line := self.read_line()):
            pass
        return line

    def workers(self) -> dict[int, int]:
        """The newest process of each slot, as far as it was heard of."""
        found = re.findall(r"^worker (\d+) (\d+)$", "\n".join(self.heard), re.MULTILINE)
        return {int(slot): int(pid) for slot, pid in found}

    def wire_to(self, pid: int) -> Wire:
        """A connection to this worker: the kernel chooses, so it is tried until it does."""
        found: list[Wire] = []

        def is_found() -> bool:
            wire = Wire(self.address)
            if wire.send(request_bytes("/worker")).receive_answer().text == str(pid):
                found.append(wire)
                return True
            wire.close()
            return False

        wait_until(is_found, f"worker {pid} answers")
        return found[0]

    def publish(self, pid: int, topic: str, count: int, size: int = 0) -> None:
        """This worker publishes so many messages, each `PID NUMBER`."""
        with self.wire_to(pid) as wire:
            publish_on(wire, topic, str(pid), count, size)

    def subscribe(self, pid: int | None, style: str, topic: str, after: str | None = None) -> Subscriber:
        """A WebSocket of this style on this worker, or on any, that has subscribed."""
        return Subscriber(self, pid, style).subscribe(topic, after)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        self.wait_for("outside is serving on ")

    def fetch(self, target: str) -> str:
        return fetch(self.address, target).text


class Subscriber(WebSocketClient):
    """A WebSocket on the connection that has found its worker."""

    def __init__(self, server: TopicServer, pid: int | None, style: str, *, may_be_refused: bool = False) -> None:
        from support.websocket_wire import OPENING

        wire = server.wire_to(pid) if pid is not None else Wire(server.address)
        self.socket, self.received, self.ended = wire.socket, wire.received, wire.ended
        self.send(request_bytes("/" + style.replace(" ", "-"), headers=OPENING))
        self.answer = self.receive_answer(interim=True)
        assert self.answer.status == 101 or (may_be_refused and self.answer.status == 503), self.answer
        self.is_open = self.answer.status == 101

    def subscribe(self, topic: str, after: str | None = None) -> Subscriber:
        self.send_message(f"+{topic}" if after is None else f"+{topic} after {after}")
        assert self.receive_message() == "done"
        return self

    def ask(self, text: str) -> str:
        answer = self.send_message(text).receive_message()
        assert isinstance(answer, str)
        return answer

    def take(self, count: int) -> list[str]:
        return [str(self.receive_message()).rstrip() for _ in range(count)]

    def settle(self) -> None:
        """Nothing was on its way: it would have come before this answer."""
        self.send(frame(PING, b"settled"))
        assert self.receive_frame() == (PONG, b"settled")


class EventReader(Wire):
    """An event stream that has begun."""

    def __init__(self, server: TopicServer, pid: int | None, topic: str, last_id: str | None = None) -> None:
        wire = server.wire_to(pid) if pid is not None else Wire(server.address)
        self.socket, self.received, self.ended = wire.socket, wire.received, wire.ended
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self.send(request_bytes(f"/events?topic={topic}", headers=headers))
        self.text = b""
        while b"\r\n\r\n" not in self.text:
            self.text += self._piece()
        self.text = self.text.partition(b"\r\n\r\n")[2]
        self.events = b""

    def _piece(self) -> bytes:
        piece = bytes(self.received) or self.socket.recv(65536)
        self.received.clear()
        assert piece, "the stream has ended"
        return piece

    def next(self) -> dict[str, str]:
        """The fields of the next event."""
        while b"\n\n" not in self.events:
            while (head := self.text.partition(b"\r\n"))[1] == b"" or len(head[2]) < int(head[0], 16) + 2:
                self.text += self._piece()
            length = int(head[0], 16)
            assert length, "the stream has ended"
            self.events += head[2][:length]
            self.text = head[2][length + 2 :]
        event, _, self.events = self.events.partition(b"\n\n")
        lines = [line.partition(": ") for line in event.decode().split("\n") if not line.startswith(":")]
        return {name: value for name, _, value in lines} or self.next()


def publish_on(wire: Wire, topic: str, sender: str, count: int, size: int = 0) -> None:
    """The worker of this connection publishes so many messages, each `SENDER NUMBER`."""
    target = f"/publish?topic={topic}&from={sender}&count={count}&size={size}"
    assert wire.send(request_bytes(target)).receive_answer().text == "done"


def each_worker(server: TopicServer) -> list[int]:
    wait_until(lambda: len(server.workers()) == server.processes or not server.read_line(), "every worker has started")
    return list(server.workers().values())


def memory_of(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
