"""Histories of topics: the messages that a client has missed, ids, gaps, and reloads; with one process as with several."""

from __future__ import annotations

import os

import pytest

from support.gauge import MIB, resident_memory
from support.harness import wait_until
from support.topic_endurance import follow_over_reloads
from support.topics import EventReader
from support.websocket_styles import CALLBACKS
from support.websocket_wire import CLOSE, OPENING, TEXT, frame
from support.wire import Wire, request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

both = pytest.mark.parametrize("processes", [1, 2])


@both
@pytest.mark.parametrize(("last", "missed"), [("third", [3, 4]), ("fifth", []), ("0", [2, 3, 4])])
def test_missed_messages_come_before_later_ones(start, processes, last, missed):
    server = start(processes=processes, history={"kept": 3})
    publisher = server.subscribe(None, CALLBACKS, "other")
    ids = [publisher.ask(f"!kept {number}").removeprefix("published ") for number in range(5)]
    epochs, numbers = zip(*(id.split("-") for id in ids), strict=True)
    assert (len(set(epochs)), numbers) == (1, ("1", "2", "3", "4", "5"))
    client = server.subscribe(None, CALLBACKS, "kept", after={"third": ids[2], "fifth": ids[4]}.get(last, last))
    assert client.take(len(missed)) == [f"{ids[number]} {number}" for number in missed]
    client.settle()
    later = publisher.ask("!kept later").removeprefix("published ")
    assert client.receive_message() == f"{later} later"


@both
def test_a_gap_closes_where_that_is_wanted(start, processes):
    server = start(processes=processes, history={"kept": 2}, websocket={"when_gap": "close"})
    publisher = server.subscribe(None, CALLBACKS, "other")
    ids = [publisher.ask(f"!kept {number}").removeprefix("published ") for number in range(4)]
    for after in (ids[0], "123abc-7", f"{ids[0].split('-')[0]}-99"):
        client = server.subscribe(None, CALLBACKS, "other")
        client.send_message(f"+kept after {after}")
        assert client.receive_message() == "done"
        assert client.receive_close() == (1012, "messages were lost; connect again")
    client = server.subscribe(None, CALLBACKS, "kept", after=ids[1])
    assert client.take(2) == [f"{ids[2]} 2", f"{ids[3]} 3"]
    client.send_message("+kept after nonsense")
    assert client.receive_close()[0] == 1011
    # A topic without a history has its numbers as long as it has a subscriber.
    id = publisher.ask("!other x").removeprefix("published ")
    assert publisher.receive_message() == "x"
    assert server.subscribe(None, CALLBACKS, "other", after=id)


@both
def test_an_event_stream_goes_on_where_it_was(start, processes):
    server = start(processes=processes, history={"kept": 3})
    publisher = server.subscribe(None, CALLBACKS, "other")
    first = EventReader(server, None, "kept")
    while publisher.ask("?kept") != "1":
        pass
    ids = [publisher.ask(f"!kept {number}").removeprefix("published ") for number in range(3)]
    assert [first.next() for _ in range(3)] == [{"id": id, "data": str(number)} for number, id in enumerate(ids)]
    first.close()
    again = EventReader(server, None, "kept", last_id=ids[0])
    assert [again.next()["data"] for _ in range(2)] == ["1", "2"]
    ids.append(publisher.ask("!kept 3").removeprefix("published "))
    assert again.next() == {"id": ids[3], "data": "3"}
    for last_id in (ids[0], "nonsense", "ffff-1"):
        late = EventReader(server, None, "kept", last_id=last_id)
        events = [late.next() for _ in range(3 if last_id == ids[0] else 4)]
        assert [event["data"] for event in events] == ([] if last_id == ids[0] else ["kept"]) + ["1", "2", "3"]
        assert events[0].get("event") == (None if last_id == ids[0] else "gap")


def test_what_streams_have_missed_has_one_bound_for_all_of_them(start):
    """A client asks for megabytes with a few bytes, as often as it likes, and reads nothing."""
    server = start(processes=1, history={"kept": "4m"})
    pid = int(server.fetch("/worker"))
    assert server.fetch("/publish?topic=kept&from=old&count=30&size=100000") == "done"
    ask = request_bytes("/events?topic=kept", headers={"Last-Event-ID": "ffff-1"})
    before, idle = resident_memory(pid), []
    for _ in range(120):
        idle.append(Wire(server.address, window=4096).send(ask))
        while b"event: gap" not in idle[-1].received:
            assert idle[-1].receive_some()
    # The streams that come later are told of a gap, and of what is published from now on.
    with Wire(server.address) as late:
        late.send(ask)
        while b"event: gap" not in late.received:
            assert late.receive_some()
        assert server.fetch("/publish?topic=kept&from=new&count=1") == "done"
        while b"data: new 0" not in late.received:
            assert late.receive_some()
        assert b"data: old" not in late.received
    # 64 MiB, a piece for each stream, and what is on its way. Without the bound there would be 360 MB.
    assert resident_memory(pid) - before < 160 * MIB
    for client in idle:
        client.close()

    def is_told() -> bool:
        with Wire(server.address) as again:
            again.send(ask)
            while again.received.count(b"data: ") < 2 and b"data: old" not in again.received:
                again.receive_some()
                if again.received.endswith(b"data: kept\n\n\r\n"):
                    break
            return b"data: old" in again.received

    wait_until(is_told, "there is room again")


@both
def test_missed_messages_beyond_the_queue_of_a_websocket_are_a_gap(start, processes):
    """The client is not slow: it gets the latest that its queue takes, and stays."""
    server = start(processes=processes, history={"kept": "4m"})
    publisher = server.subscribe(None, CALLBACKS, "other")
    for number in range(30):  # each is kept before the next is published
        publisher.ask(f"!kept old {number}".ljust(100_000))
    client = server.subscribe(None, CALLBACKS, "other").send_message("+kept after 0")
    numbers, others = [], []  # in whichever order: the messages may be there before the call has ended
    while numbers[-1:] != [29] or not others:
        text = client.take(1)[0]
        others.append(text) if text == "done" else numbers.append(int(text.split()[-1]))
    assert numbers == list(range(30 - len(numbers), 30))
    assert 8 <= len(numbers) <= 10  # of 1 MiB
    assert server.fetch("/publish?topic=kept&from=new&count=1") == "done"
    assert client.take(1)[0].endswith(" new 0")


@both
def test_such_a_gap_closes_where_that_is_wanted(start, processes):
    server = start(processes=processes, history={"kept": "4m"}, websocket={"when_gap": "close"})
    publisher = server.subscribe(None, CALLBACKS, "other")
    for number in range(30):  # each is kept before the next is published
        publisher.ask(f"!kept old {number}".ljust(100_000))
    client = server.subscribe(None, CALLBACKS, "other").send_message("+kept after 0")
    opcode, payload = client.receive_frame()
    assert (opcode, payload) == (TEXT, b"done") or opcode == CLOSE
    assert (payload if opcode == CLOSE else client.receive_frame()[1])[:2] == (1012).to_bytes(2, "big")


def test_what_websockets_have_missed_counts_in_the_budget_of_the_process(start):
    """Each of them has a copy of its own, and a client asks for it with a few bytes."""
    server = start(processes=1, history={"kept": "4m"}, max_unsent_mb=16)
    assert server.fetch("/publish?topic=kept&from=old&count=9&size=100000") == "done"
    pid = int(server.fetch("/worker"))
    before, idle = resident_memory(pid), []
    for _ in range(200):
        client = Wire(server.address, window=4096).send(request_bytes("/callbacks", headers=OPENING))
        while b"\r\n\r\n" not in client.received:
            assert client.receive_some()
        client.send(frame(TEXT, b"+kept after 0"))
        while b"done" not in client.received and client.receive_some():
            pass
        idle.append(client)
    assert server.fetch("/worker") == str(pid)
    # Without the bound there would be 180 MB.
    assert resident_memory(pid) - before < 60 * MIB
    for client in idle:
        client.close()


def test_reloads_lose_nothing_for_clients_that_come_back(start):
    """A publisher with a process of its own would not stop; here each generation publishes, and one client follows."""
    server = start(history={"kept": "1m"})
    follow_over_reloads(server, reloads=3)
    assert server.stop() == 0


@pytest.mark.parametrize("history", ["all", {"*": 5}, {"news": 0}, {"news": "64q"}, {"": 1}, {"news": "65m"}])
def test_histories_that_are_refused(tmp_path, history):
    from outside import OutsideHTTP

    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["history"] = history
    with pytest.raises(ValueError, match=r"\[\"history\"\] is .*'room:\*': '64k'"):
        server.run()
