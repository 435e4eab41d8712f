"""A client that sends many messages at once has its turn like all others: between two of its turns theirs come."""

from __future__ import annotations

import os
import signal

import pytest

from support.harness import Script
from support.websocket_styles import CALLBACKS, STYLES
from support.websocket_wire import PING, PONG, TEXT, WebSocketClient, frame
from support.wire import Wire, request_bytes

MANY = 2000  # as many as come in one read
PROGRAM = """
import sys
from support.websocket_styles import websocket
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", 0))
# Turns are those of one event loop; a Python without a lock would have one for each core.
server.config.update(access_log="off", reactors=1)
heard = []
server.set_route("/ws", websocket(sys.argv[1], lambda connection, message: heard.append(message.text)))
server.set_route("/count", lambda request: str(len(heard)))
server.run()
"""


@pytest.fixture(params=STYLES)
def served(request, monkeypatch):
    from support.harness import TESTS

    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    script = Script("-c", PROGRAM, request.param)
    yield script, request.param
    assert script.stop() == 0, script.errors


def test_a_request_that_comes_with_a_flood_is_answered_in_the_middle_of_it(served):
    """Both lie in the system before the server looks at either, the flood first."""
    script, style = served
    counts = []
    with WebSocketClient(script.address) as flood, Wire(script.address) as other:
        before = int(other.send(request_bytes("/count")).receive_answer().text)
        for _ in range(5):
            script.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, script.process.pid, os.WSTOPPED)  # a signal is not heard at once
            flood.send(frame(TEXT, b"x") * MANY)
            other.send(request_bytes("/count"))
            script.process.send_signal(signal.SIGCONT)
            counts.append(int(other.receive_answer().text) - before)
            # All of it is handled in the end.
            while (now := int(other.send(request_bytes("/count")).receive_answer().text)) < before + MANY:
                pass
            before = now
        flood.send(frame(PING, b"all"))
        assert flood.receive_frame() == (PONG, b"all")
        flood.close_cleanly()
    # Handlers of the other styles have threads and tasks of their own, which Python lets run as it likes.
    if style == CALLBACKS:
        # A turn has 16 messages; some turns pass until the server looks at the other connection.
        assert max(counts) <= MANY // 4, counts
