"""One client publishes messages of one byte into a room whose members read: what waits to be handed out is bounded."""

from __future__ import annotations

import contextlib
import select
import threading

from support.gauge import MIB, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import PROGRAMS, Script
from support.websocket_wire import TEXT, WebSocketClient, frame
from support.wire import DEADLINE

COUNT = 200_000
LAST = b"the last one"


def read_until_last(clients: list[WebSocketClient]) -> None:
    """Takes what comes to any of them; what comes is not kept."""
    waiting = {client.socket: b"" for client in clients}
    while waiting:
        readable, _, _ = select.select(list(waiting), [], [], DEADLINE)
        assert readable, f"{len(waiting)} members wait for the last message"
        for each in readable:
            waiting[each] = waiting[each][-len(LAST) :] + each.recv(1 << 16)
            if LAST in waiting[each]:
                del waiting[each]


def test_a_flood_into_a_room_takes_no_memory():
    need_proc()
    script = Script(str(PROGRAMS / "attacked_app.py"), "{}")
    with contextlib.ExitStack() as stack:
        publisher, *readers = (stack.enter_context(WebSocketClient(script.address, "/room")) for _ in range(21))
        before = resident_memory(script.process.pid)
        forget_peak(script.process.pid)
        flood = frame(TEXT, b"x") * COUNT + frame(TEXT, LAST)
        sending = threading.Thread(target=publisher.send, args=(flood,))
        sending.start()
        read_until_last([publisher, *readers])
        sending.join()
        grown = (peak_memory(script.process.pid) - before) / MIB
    print(f"memory grew by {grown:.1f} MiB")
    assert grown < 8
    assert script.stop() == 0, script.errors
