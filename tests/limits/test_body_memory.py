"""Content that comes in to memory: all of it together has a bound, and the slowest upload gives way with 503."""

from __future__ import annotations

import select
import threading
from contextlib import ExitStack

import pytest

from outside import OutsideHTTP
from support.certificates import SecureWire, certificate
from support.slow_uploads import CONTENT, KINDS, slow_upload
from support.wire import DEADLINE, request_bytes

SETTINGS = {"max_body_size_mb": 1, "spool_above_mb": 1, "max_body_memory_mb": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_the_slowest_upload_gives_way(serve, records, tmp_path, kind):
    secure = certificate(tmp_path) if kind == "TLS" else None
    client = secure.client() if secure else None
    running = serve(lambda request: str(len(request.content)), **SETTINGS, **(secure.config if secure else {"h2c": True}))
    with ExitStack() as stack:
        slow = []
        for _ in range(2):
            slow.append(slow_upload(kind, running, client))
            stack.callback(slow[-1].close)
        threading.Event().wait(1.2)  # an upload that has just had a piece does not give way
        third = slow_upload(kind, running, client)
        stack.callback(third.close)
        assert slow[0].status() == 503
        # Others go on: what is complete no longer waits for the rest of it.
        wire = stack.enter_context(SecureWire(running.address, client) if client else running.wire())
        for content in (b"small", CONTENT[: 1 << 19]):
            assert wire.send(request_bytes("/", "POST", body=content)).receive_answer().text == str(len(content))
    records.wait_for('config["max_body_memory_mb"] sets this limit')


def test_beside_quick_uploads_the_one_that_finds_no_room_is_refused(serve):
    """None that has just had a piece gives way, and a small one needs no room."""
    running = serve(lambda request: str(len(request.content)), **SETTINGS)
    with ExitStack() as stack:
        uploads = [slow_upload("length", running, None) for _ in range(3)]
        for upload in uploads:
            stack.callback(upload.close)
        answered, _, _ = select.select([upload.wire.socket for upload in uploads], [], [], DEADLINE)
        assert [upload.status() for upload in uploads if upload.wire.socket in answered] == [503]
        assert running.fetch("/", "POST", {}, b"x" * 16_000).text == "16000"


def test_there_is_room_again_when_clients_have_left(serve):
    running = serve(lambda request: str(len(request.content)), **SETTINGS)
    for _ in range(5):
        uploads = [slow_upload("length", running, None) for _ in range(2)]
        for upload in uploads:
            upload.wire.send(CONTENT[-50_000:])
            assert upload.wire.receive_answer().text == str(len(CONTENT))
            upload.close()
    held = [slow_upload("length", running, None) for _ in range(2)]
    for upload in held:
        upload.close()
    end = threading.Event()
    for _ in range(int(DEADLINE / 0.05)):
        if running.fetch("/", "POST", {}, CONTENT).status == 200:
            return
        end.wait(0.05)
    raise AssertionError("the room of clients that have left is not given back")


def test_a_bound_below_one_body_is_refused():
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(max_body_memory_mb=2, spool_above_mb=4)
    with pytest.raises(
        ValueError, match=r'config\["max_body_memory_mb"\] is 2, less than one body may have in memory: that is 4'
    ):
        server.run()
