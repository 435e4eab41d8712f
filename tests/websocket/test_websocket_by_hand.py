"""`WebSocketConnection` made by hand on a connected socket, as tests and embedding programs do."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time

import pytest

from outside import BinaryMessage, Request, TextMessage, WebSocketConnection, WebSocketExit
from support.harness import wait_until
from support.websocket_wire import PING, PONG, TEXT, WebSocketClient, close_frame, frame
from support.wire import DEADLINE

REQUEST = Request("GET", {"Host": "localhost"}, b"", "HTTP/1.1", "/by/hand", ("127.0.0.1", 1))


class ByHand:
    """A connection on one end of a pair of sockets, a client on the other."""

    def __init__(self, kind: type = WebSocketConnection) -> None:
        ours, theirs = socket.socketpair()
        self.activity: queue.Queue = queue.Queue()
        self.ended: queue.Queue = queue.Queue()
        self.connection = kind(REQUEST, ours, self.activity, lambda: self.ended.put(time.time()))
        self.socket, self.client = ours, WebSocketClient.on(theirs)

    def wait_for_end(self) -> None:
        self.ended.get(timeout=DEADLINE)


@pytest.fixture
def by_hand():
    made = ByHand()
    yield made
    made.client.close()
    made.socket.close()


def test_both_ways(by_hand):
    connection, client = by_hand.connection, by_hand.client
    assert connection.request is REQUEST
    assert (connection.subprotocol, connection.close_code) == (None, None)
    client.send_message("grüße").send_message(b"\xff")
    text, binary = connection.recv(), connection.recv()
    assert (type(text), text.text, type(binary), binary) == (TextMessage, "grüße", BinaryMessage, b"\xff")
    connection.send(text)
    connection.send(binary)
    assert (client.receive_message(), client.receive_message()) == ("grüße", b"\xff")
    with pytest.raises(TimeoutError):
        connection.recv(timeout=0.01)


def test_control_frames(by_hand):
    by_hand.client.send(frame(PING, b"1"))
    assert by_hand.client.receive_frame() == (PONG, b"1")
    by_hand.connection.ping(b"2")
    assert by_hand.client.receive_frame() == (PING, b"2")


def test_of_many_pings_that_wait_the_latest_is_answered(by_hand):
    count = 200_000
    by_hand.client.send(frame(PING) * count + frame(PING, b"the latest"))
    pongs = 0
    while (answer := by_hand.client.receive_frame()) != (PONG, b"the latest"):
        assert answer == (PONG, b"")
        pongs += 1
    assert pongs < count


def test_the_activity_is_told_in_seconds(by_hand):
    begun = time.time()
    by_hand.client.send_message("in")
    first = by_hand.activity.get(timeout=DEADLINE)
    by_hand.connection.recv()
    by_hand.connection.send("out")
    second = by_hand.activity.get(timeout=DEADLINE)
    assert begun <= first <= second <= time.time()


def test_the_client_closes(by_hand):
    assert by_hand.client.close_cleanly(4001, "bye") == (4001, "")
    by_hand.wait_for_end()
    with pytest.raises(WebSocketExit) as caught:
        by_hand.connection.recv()
    assert (caught.value.code, caught.value.reason) == (4001, "bye")
    with pytest.raises(WebSocketExit):
        by_hand.connection.send("x")
    assert by_hand.ended.empty()


def test_the_server_closes(by_hand):
    by_hand.connection.exit(4002, "enough")
    assert by_hand.client.receive_close_and_end() == (4002, "enough")
    by_hand.wait_for_end()
    assert by_hand.connection.close_code == 4002


def test_the_client_hangs_up(by_hand):
    by_hand.client.close()
    with pytest.raises(WebSocketExit) as caught:
        by_hand.connection.recv()
    assert caught.value.code == 1006
    by_hand.wait_for_end()


def test_the_client_breaks_the_protocol(by_hand):
    by_hand.client.send(frame(TEXT, b"\xff"))
    assert by_hand.client.receive_close_and_end()[0] == 1007
    by_hand.wait_for_end()
    assert by_hand.connection.close_code == 1007


def test_last_words(by_hand):
    by_hand.client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + close_frame(4000))
    assert [bytes(message) for message in by_hand.connection] == [b"one", b"two"]


@pytest.mark.timed
def test_more_than_is_taken_waits_with_the_client(by_hand):
    """No handler takes the messages: the client cannot send without end."""
    by_hand.client.socket.settimeout(0.5)
    data, sent = frame(TEXT, b"x" * 100_000), 0
    with pytest.raises(TimeoutError):
        for sent in range(500):
            by_hand.client.socket.sendall(data)
    for _ in range(sent):
        assert len(by_hand.connection.recv(timeout=DEADLINE)) == 100_000


def test_a_pending_send_ends_with_the_connection(by_hand):
    told: queue.Queue = queue.Queue()

    def fill():
        try:
            while True:
                by_hand.connection.send(b"x" * 100_000)
        except WebSocketExit as error:
            told.put(error.code)

    threading.Thread(target=fill, daemon=True).start()
    by_hand.client.receive_some()
    by_hand.client.close()
    assert told.get(timeout=DEADLINE) == 1006
    by_hand.wait_for_end()


def test_the_socket_stays_its_owners(by_hand):
    """The connection has a descriptor of its own: closing the given one, or a timeout on it, changes nothing."""
    by_hand.socket.settimeout(0.001)
    by_hand.socket.close()
    by_hand.client.send_message("still")
    assert by_hand.connection.recv() == b"still"
    by_hand.connection.send("there")
    assert by_hand.client.receive_message() == "there"


def test_a_subclass():
    class Counting(WebSocketConnection):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.count = 0

        def recv(self, timeout=None):
            self.count += 1
            return super().recv(timeout)

    made = ByHand(Counting)
    made.client.send_message("x")
    assert made.connection.recv() == b"x"
    assert made.connection.count == 1
    assert made.connection.recv.__self__ is made.connection
    made.client.close()
    made.wait_for_end()
    made.socket.close()


def test_a_thousand_leave_nothing_behind():
    before = threading.active_count()
    for _ in range(100):
        made = ByHand()
        made.client.send_message("x")
        assert made.connection.recv() == b"x"
        made.client.close_cleanly()
        made.wait_for_end()
        made.client.close()
        made.socket.close()
    wait_until(lambda: threading.active_count() <= before)


def test_wrong_values():
    ours, theirs = socket.socketpair()
    activity = queue.Queue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with context.wrap_socket(socket.socket(), server_hostname="localhost") as secure:
        for given, text in [
            ((REQUEST, secure, activity, print), "an ssl.SSLSocket cannot"),
            ((REQUEST, 5, activity, print), "http_socket is a socket.socket, not int"),
            ((REQUEST, ours, activity, None), "terminate_function is a function, not NoneType"),
            ((REQUEST, ours, [], print), "activity_queue has a method put, list has none"),
            (("GET /", ours, activity, print), "request_class"),
            ((), "request_class"),
        ]:
            with pytest.raises(TypeError) as caught:
                WebSocketConnection(*given)
            assert text in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])]), given
    ours.close()
    theirs.close()
    with pytest.raises(RuntimeError, match="__init__"):
        WebSocketConnection.__new__(WebSocketConnection).recv()


def test_an_activity_queue_that_fails_ends_nothing(by_hand):
    """A closed or full queue is its owner's trouble."""

    class Full:
        def put(self, when):
            raise queue.Full

    ours, theirs = socket.socketpair()
    ended: queue.Queue = queue.Queue()
    connection, client = WebSocketConnection(REQUEST, ours, Full(), lambda: ended.put(1)), WebSocketClient.on(theirs)
    client.send_message("x")
    assert connection.recv(timeout=DEADLINE) == b"x"
    connection.send("y")
    assert client.receive_message() == "y"
    client.close_cleanly()
    ended.get(timeout=DEADLINE)
    ours.close()
    theirs.close()
