"""Hostile and broken clients: the answer is clean or the connection ends, and the server goes on."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import threading

import pytest

from outside import Response
from support.corpus_reader import all_cases
from support.wire import Wire, fetch, parse_all, request_bytes

DEEP = [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000]


def sync_handler(request):
    return f"json {request.json() is None}"


async def async_handler(request):
    await asyncio.sleep(0)
    return f"json {request.json() is None}"


@pytest.mark.parametrize("handler", [sync_handler, async_handler], ids=["sync", "async"])
@pytest.mark.parametrize("body", DEEP, ids=["lists", "objects", "closed"])
def test_deep_json(serve, handler, body):
    running = serve({"/": handler, "/fine": lambda request: "fine"})
    assert running.fetch("/", "POST", body=body).text == "json True"
    assert running.fetch("/fine").text == "fine"


def test_deep_json_after_the_handler_has_left_its_thread(serve):
    """A handler that is slow first has moved to another thread, whose stack must be as large."""
    leave = threading.Event()

    def handler(request):
        leave.wait(0.05)
        return f"json {request.json() is None}"

    running = serve(handler)
    for _ in range(12):
        assert running.fetch("/", "POST", body=DEEP[0]).text == "json True"


def test_a_deep_answer_is_a_500(serve):
    def handler(request):
        value: list = []
        for _ in range(200_000):
            value = [value]
        return value

    running = serve({"/": handler, "/fine": lambda request: "fine"})
    assert running.fetch().status == 500
    assert running.fetch("/fine").text == "fine"


def test_every_prefix_of_a_request_may_be_all_there_is(app_address):
    raw = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
    for length in range(len(raw) + 1):
        with Wire(app_address) as wire:
            answers = parse_all(wire.send(raw[:length]).send_end().receive_rest())
            statuses = [answer.status for answer in answers]
            assert statuses == [200] if length == len(raw) else statuses in ([], [400]), (length, statuses)


def test_byte_by_byte(app_address):
    raw = b"\r\nPOST /echo?a HTTP/1.1\r\nHost: a\r\nX-Long: 0123456789\r\nContent-Length: 5\r\n\r\nhello"
    with Wire(app_address) as wire:
        for _ in range(2):
            for position in range(len(raw)):
                wire.send(raw[position : position + 1])
            assert wire.receive_answer().body == b"hello"


@pytest.mark.parametrize(
    "greeting",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) * 8,
        b"\x00" * 512,
        b"\xff" * 512,
        b"SSH-2.0-x\n",
        b"\x80\x2e\x01\x03\x01",
    ],
    ids=["tls", "zeros", "ones", "ssh", "ssl2"],
)
def test_another_protocol_is_turned_away_at_once(app_address, greeting):
    """The deadline of the connection is far below that of a head: the first wrong byte is enough."""
    with Wire(app_address, deadline=5) as wire:
        answers = parse_all(wire.send_if_possible(greeting).receive_rest())
    assert [answer.status for answer in answers] in ([], [400])


def test_a_refusal_reaches_a_client_that_is_still_sending(app_address):
    """413 comes while megabytes are on their way: they must not turn it into a reset (RFC 9112 §9.6)."""
    for _ in range(5):
        with Wire(app_address) as wire:
            wire.send_if_possible(request_bytes("/echo", "POST", {"Content-Length": "99999999"}))
            for _ in range(16):
                wire.send_if_possible(b"x" * 65536)
            assert wire.receive_answer().status == 413


def test_clients_that_vanish_leave_nothing_behind(serve):
    running = serve(lambda request: b"x" * 1_000_000)
    for number in range(100):
        wire = running.wire()
        wire.send(request_bytes("/") * 4)
        if number % 2:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # a reset instead of an end
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wire.close()
    assert len(running.fetch().body) == 1_000_000
    running.stop()
    assert running.server._active_requests == []


def test_a_client_that_ends_its_side_still_gets_its_answer(serve):
    """Ending one's sending side after the request is allowed (RFC 9112 §9.6)."""
    with serve(lambda request: "half").wire() as wire:
        answers = parse_all(wire.send(request_bytes("/")).send_end().receive_rest())
    assert [answer.text for answer in answers] == ["half"]


def test_many_params_and_cookies_are_bounded(serve):
    running = serve(lambda request: f"{len(request.params)} {len(request.cookies)}")
    query = "&".join(f"p{i}" for i in range(1500))
    cookies = ";".join(f"c{i}=" for i in range(1000))
    answer = running.fetch(f"/?{query}", headers={"Cookie": cookies})
    assert answer.status in (200, 400, 414, 431)
    if answer.status == 200:
        params, count = map(int, answer.text.split())
        assert params <= 1000
        assert count <= 150


def test_a_cookie_of_backslashes_is_read_in_linear_time(serve):
    running = serve(lambda request: f"{len(request.cookies)}")
    assert running.fetch("/", headers={"Cookie": 'a="' + "\\" * 30_000}).status == 200


def test_a_thousand_connections_are_served(serve):
    running = serve(lambda request: "x")
    wires = [running.wire() for _ in range(1000)]
    for wire in wires:
        wire.send(request_bytes("/"))
    assert all(wire.receive_answer().text == "x" for wire in wires)
    for wire in wires:
        wire.close()


def test_answers_are_never_crossed(serve):
    """Handlers of every speed and kind, many connections: each gets its own answers in order."""
    pause = threading.Event()

    def handler(request):
        number = int(request.url[1:])
        if number % 17 == 0:
            pause.wait(0.005)
        if number % 23 == 0:
            raise RuntimeError("now and then")
        return Response(200, {"X-Number": number}, f"{number} {request.text}")

    async def later(request):
        number = int(request.url.rpartition("/")[2])
        await asyncio.sleep(0.001 * (number % 3))
        return Response(200, {"X-Number": number}, f"{number} {request.text}")

    running = serve({"/": handler, "/async": later})
    failures: list = []

    def client(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with running.wire() as wire:
                for _ in range(20):
                    numbers = [chance.randrange(10_000) for _ in range(chance.randrange(1, 9))]
                    paths = [chance.choice(["/", "/async/"]) for _ in numbers]
                    bodies = [chance.choice([None, b"body%d" % number]) for number in numbers]
                    for number, path, body in zip(numbers, paths, bodies, strict=True):
                        wire.send(request_bytes(f"{path}{number}", "POST" if body else "GET", body=body))
                    for number, path, body in zip(numbers, paths, bodies, strict=True):
                        answer = wire.receive_answer()
                        if path == "/" and number % 23 == 0:
                            assert answer.status == 500
                        else:
                            assert answer.text == f"{number} {(body or b'').decode()}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def mutate(raw: bytes, chance: random.Random) -> bytes:
    """A few random edits: bytes changed, removed, doubled, inserted, or the tail cut off."""
    data = bytearray(raw)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 5)]
        elif kind == 2:
            data[at:at] = data[at : at + chance.randrange(1, 20)]
        elif kind == 3:
            data[at:at] = chance.choice(
                [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"0\r\n\r\n", b"%", b"chunked", b"\xff"]
            )
        elif kind == 4:
            del data[at:]
        else:
            data[at:at] = bytes([chance.randrange(256)])
    return bytes(data)


STATUSES = {200, 204, 304, 400, 404, 408, 413, 414, 417, 418, 431, 500, 501, 505}


def test_mutated_requests_get_clean_answers(app_address):
    """Each mutation is followed by the end of the stream: whole answers with known statuses, then the end."""
    seeds = [b"".join(data for kind, data in case.steps if kind == "send") for case in all_cases()]
    seeds = [seed for seed in seeds if seed and len(seed) < 4000]
    chance = random.Random(20261122)
    for _ in range(20_000):
        raw = mutate(chance.choice(seeds), chance)
        with Wire(app_address) as wire:
            data = wire.send_if_possible(raw).send_end().receive_rest()
        if re.search(rb"HEAD", raw):
            continue  # an answer to HEAD cannot be told from a cut one
        statuses = {answer.status for answer in parse_all(data)}
        assert statuses <= STATUSES, (raw, statuses)
    assert fetch(app_address, "/hello").text == "Hello, World!"
