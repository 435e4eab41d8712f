"""Certificates that cannot be used: others are served and renewed all the same, and each is looked at again until it is good."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.certificates import Certificate, SecureWire, certificate
from support.harness import Script, wait_until
from support.tls import certificate_in, fetch_over_tls, served_certificate
from support.wire import request_bytes


def listed(*certificates: Certificate) -> dict[str, object]:
    """Settings of a server with these, the first one for clients that name no host."""
    entries = [{"certfile": own.certfile, "keyfile": own.keyfile} for own in certificates]
    return {"ssl_enabled": True, "ssl_certificates": entries}


@pytest.fixture
def three(tmp_path) -> list[Certificate]:
    return [certificate(tmp_path / name, f"{name}.example") for name in ("a", "b", "c")]


def spoil(own: Certificate, other: Certificate, fault: str) -> None:
    match fault:
        case "missing":
            os.remove(own.certfile)
        case "damaged":
            Path(own.keyfile).write_text("nonsense")
        case "of another key":
            Path(own.keyfile).write_text(Path(other.keyfile).read_text())


FAULTS = {"missing": "No such file", "damaged": "holds no private key", "of another key": "does not match"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", [0, 2])
def test_one_bad_entry_at_the_start(serve, records, three, fault, place):
    bad = three[place]
    good = [own for own in three if own is not bad]
    before = {name: Path(name).read_bytes() for name in (bad.certfile, bad.keyfile)}
    spoil(bad, good[0], fault)
    running = serve(lambda request: "hello", **listed(*three))
    for own in good:
        name = Path(own.certfile).stem
        assert fetch_over_tls(running.address, own.client(), name=name) == "hello"
    told = [text for text in records.texts() if "is left out" in text]
    assert len(told) == 1 and FAULTS[fault] in told[0] and Path(bad.certfile).stem in told[0]
    # As soon as it is good it is shown.
    for name, content in before.items():
        Path(name).write_bytes(content)
    records.wait_for("new certificates are in use")
    assert fetch_over_tls(running.address, bad.client(), name=Path(bad.certfile).stem) == "hello"
    assert len([text for text in records.texts() if "is left out" in text]) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_entry_does_not_keep_others_from_being_renewed(serve, records, three, tmp_path, fault):
    a, b, c = three
    running = serve(lambda request: "hello", **listed(a, b, c))
    spoil(b, a, fault)
    records.wait_for("the old ones stay")
    for own in (a, c):
        own.replace(certificate(tmp_path / "new" / Path(own.certfile).stem, Path(own.certfile).stem))
    wait_until(lambda: served_certificate(running.address, None) == certificate_in(a.certfile), "the new one is shown")
    wait_until(lambda: c_is_shown(running.address, c), "the other new one is shown")
    told = [text for text in records.texts() if "the old ones stay" in text]
    assert len(told) == 1 and FAULTS[fault] in told[0]


def c_is_shown(address: tuple, own: Certificate) -> bool:
    try:
        return fetch_over_tls(address, own.client(), name=Path(own.certfile).stem) == "hello"
    except OSError:
        return False


def test_nothing_to_serve_with_is_refused(three):
    from outside import OutsideHTTP

    for own in three:
        spoil(own, three[0], "missing")
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(listed(*three))
    with pytest.raises(FileNotFoundError, match="a.example.pem"):
        server.run()


SCRIPT = """
import os, resource, sys
from outside import OutsideHTTP
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
def hold(request):
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return str(len(held))
def release(request):
    while held:
        os.close(held.pop())
    return "released"
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", ssl_enabled=True, ssl_certfile=sys.argv[1], ssl_keyfile=sys.argv[2])
server.set_route("/hold", hold)
server.set_route("/release", release)
server.run()
"""


def test_without_a_free_descriptor_it_is_looked_at_again(tmp_path):
    own = certificate(tmp_path / "own")
    new = certificate(tmp_path / "new")
    with open(tmp_path / "errors", "w+b") as errors:
        script = Script("-c", SCRIPT, own.certfile, own.keyfile, stderr=errors)
        told = lambda: (tmp_path / "errors").read_text()
        with SecureWire(script.address, own.client()) as wire:
            assert int(wire.send(request_bytes("/hold")).receive_answer().text) > 10
            own.replace(new)
            wait_until(lambda: "Too many open files" in told(), "the file cannot be opened")
            assert wire.send(request_bytes("/release")).receive_answer().text == "released"
        wait_until(lambda: served_certificate(script.address, None) == certificate_in(own.certfile), "it is looked at again")
        assert script.stop() == 0
