"""Each attack on the server, once and fifty times at once: what another client notices, and how much memory the server takes.

The server has one core, the attackers and the honest client share the other one. Stretches of time with and without
attackers take turns, so that both halves of a ratio meet the same noise of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support.attacks import ATTACKS, Attack
from support.certificates import certificate
from support.gauge import MIB, cpu_seconds, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import PROGRAMS, TESTS, Script, wait_until
from support.subprocesses import start_process
from support.timing import MOST_OTHERS, taken_by_others, usage
from support.wire import request_bytes

# Rounds of a row that is judged by the time of others: the p99 of one stretch varies tenfold on a machine that does nothing else, and
# the median of nine does not. Others are about memory.
JUDGED_ROUNDS = 9
ROUNDS = 3
# Rounds in which other programs took the cores are judged only if there are no better ones.
MORE_ROUNDS = 6
STRETCH_S = 0.8
MANY = 50
# Each attack by one client, by as many as its row has, and by fifty.
COUNTS = [(name, count) for name, attack in ATTACKS.items() for count in sorted({1, attack.clients, MANY})]
ENVIRONMENT = {"PYTHONPATH": str(TESTS)}
LARGE = 10_000_000


def pin(pid: int, core: int) -> None:
    """Gives the process the first or the last core alone, if there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), {cores[core]})


class Told:
    """A process that is told with lines what to do, and answers each with a line."""

    def __init__(self, program: str, *arguments: object) -> None:
        command = [sys.executable, str(PROGRAMS / program), *map(str, arguments)]
        self.process = start_process(command, stdin=-1, stdout=-1, text=True, env={**os.environ, **ENVIRONMENT})
        pin(self.process.pid, -1)

    def tell(self, order: object) -> str:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"{self.process.args} has ended"
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()


@contextlib.contextmanager
def served(attack: Attack, folder) -> Iterator[tuple[Script, list[str]]]:
    """The server of an attack, and the certificate that the honest client trusts."""
    own = certificate(folder / "certificate") if attack.secure else None
    settings = {"max_socket_reuse": 10_000_000, **attack.settings, **(own.config if own else {})}
    limit = [str(attack.descriptors)] if attack.descriptors else []
    script = Script(str(PROGRAMS / "attacked_app.py"), json.dumps(settings), *limit)
    pin(script.process.pid, 0)
    try:
        yield script, [own.certfile] if own else []
    finally:
        script.stop()


class Round(NamedTuple):
    """A stretch of time without attackers, and one with them: what the honest client saw."""

    unharmed: list[float]
    beside: list[float]
    failed: int
    others: float
    """The part of all cores that other programs took."""

    @property
    def is_calm(self) -> bool:
        return self.others <= MOST_OTHERS


def settle(pid: int) -> None:
    """Waits until the server has read what clients have sent at once, or have left behind."""

    def is_idle() -> bool:
        before = cpu_seconds(pid)
        time.sleep(0.1)
        return cpu_seconds(pid) - before <= 0.01

    wait_until(is_idle, "the server to be idle")


def percentile(times: list[float], part: float) -> float:
    return sorted(times)[int(len(times) * part)]


def process_budget() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


@pytest.mark.parametrize(("name", "count"), COUNTS)
def test_attacks(name, count, tmp_path):
    need_proc()
    pytest.importorskip("h2")
    attack = ATTACKS[name]
    enough = JUDGED_ROUNDS if count == attack.clients else ROUNDS
    with served(attack, tmp_path) as (script, trusted), contextlib.ExitStack() as stack:
        pid = script.process.pid
        how = "fresh" if attack.fresh else "kept"
        honest = stack.enter_context(contextlib.closing(Told("honest_client.py", *script.address, how, *trusted)))
        attackers = stack.enter_context(contextlib.closing(Told("attackers.py", name, *script.address)))
        honest.tell(STRETCH_S / 2)
        before = resident_memory(pid)
        forget_peak(pid)
        rounds: list[Round] = []
        while len([each for each in rounds if each.is_calm]) < enough and len(rounds) < enough + MORE_ROUNDS:
            settle(pid)
            used = usage()
            unharmed, _ = json.loads(honest.tell(STRETCH_S))
            attackers.tell(count)
            if attack.arrivals:
                settle(pid)
            beside, failed = json.loads(honest.tell(STRETCH_S))
            attackers.tell(0)
            rounds.append(Round(unharmed, beside, failed, taken_by_others(used, usage()) if used else 0.0))
        peak = peak_memory(pid) - before
        left = resident_memory(pid) - before
    bound = (attack.fixed + attack.each * count) * MIB
    failed = sum(each.failed for each in rounds)
    calm = [each for each in rounds if each.is_calm]
    judged = calm if len(calm) == enough else rounds
    unharmed, beside = [each.unharmed for each in judged], [each.beside for each in judged]
    all_unharmed, all_beside = (list(itertools.chain(*stretches)) for stretches in (unharmed, beside))
    halves, harmed = ([percentile(times, 0.99) for times in stretches] for stretches in (unharmed, beside))
    quiet, busy = statistics.median(halves), statistics.median(harmed)
    ratio = busy / quiet
    print(
        f"\n| {name:12} | {count:2} | {peak / MIB:6.1f} | {left / MIB:6.1f} | {bound / MIB:4.0f} "
        f"| {percentile(all_unharmed, 0.5) * 1000:.2f} / {percentile(all_beside, 0.5) * 1000:.2f} "
        f"| {quiet * 1000:.2f} / {busy * 1000:.2f} | {ratio:.2f} | {failed} of {sum(len(each.beside) for each in rounds)} | {len(calm)} of {len(rounds)} rounds calm |"
    )
    assert script.process.returncode == 0, script.errors
    assert peak <= min(bound, process_budget()), f"grew by {peak / MIB:.1f} MiB"
    if name == "A7":
        assert statistics.median(all_beside) <= 2.5
        assert failed <= sum(len(each.beside) for each in rounds) / 10
        return
    assert failed == 0
    if count != attack.clients:
        return  # other numbers of clients are bounded in what they take; this one is the row's
    # Noise explains the ratio, unless every stretch beside attackers is far worse than each one without.
    if ratio > 2 and max(halves) > 2 * min(halves) and min(harmed) <= 2 * max(halves):
        pytest.skip(f"too loaded to judge: p99 without attackers is {[f'{half * 1000:.2f} ms' for half in halves]}")
    if ratio > 2 and len(calm) < enough:
        taken = [f"{each.others:.0%}" for each in rounds]
        pytest.skip(f"too loaded to judge: other programs took {taken} of the cores, p99 is {ratio:.2f} x")
    assert ratio <= 2, f"p99 without attackers {halves}, beside them {harmed}"


class Content:
    """Content as it comes, decoded and counted."""

    def __init__(self) -> None:
        self.count = 0
        self.decoder = None

    def add(self, data: bytes) -> None:
        self.count += len(self.decoder.decompress(data) if self.decoder else data)

    def coded(self) -> None:
        self.decoder = zlib.decompressobj(wbits=31)


async def take_slowly(address: tuple, path: str) -> Content:
    """10 MB over HTTP/1.1 at 1 MB a second."""
    reader, writer = await asyncio.open_connection(*address, limit=1 << 16)
    writer.write(request_bytes(path, headers={"Connection": "close", "Accept-Encoding": "gzip"}))
    head, content, began = (await reader.readuntil(b"\r\n\r\n")).lower(), Content(), time.monotonic()
    if b"content-encoding: gzip" in head:
        content.coded()
    is_chunked, taken = b"transfer-encoding: chunked" in head, 0
    while size := int(await reader.readline(), 16) if is_chunked else 1 << 16:
        while size and (data := await reader.read(min(size, 1 << 16))):
            content.add(data)
            taken += len(data)
            size -= len(data)
            await asyncio.sleep(max(0.0, began + taken / 1e6 - time.monotonic()))
        if not is_chunked and size:
            break
        if is_chunked:
            await reader.readline()
    writer.close()
    return content


async def take_slowly_over_http2(address: tuple, path: str) -> Content:
    """The same over HTTP/2, of which windows set the pace."""
    from h2.connection import H2Connection
    from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

    reader, writer = await asyncio.open_connection(*address, limit=1 << 16)
    connection = H2Connection()
    connection.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
    connection.send_headers(1, [*fields, ("accept-encoding", "gzip")], end_stream=True)
    writer.write(connection.data_to_send())
    began, content, taken = time.monotonic(), Content(), 0
    while data := await reader.read(1 << 16):
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived) and dict(event.headers).get(b"content-encoding") == b"gzip":
                content.coded()
            if isinstance(event, DataReceived):
                content.add(event.data)
                taken += len(event.data)
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            if isinstance(event, StreamEnded | StreamReset):
                writer.close()
                return content
        await asyncio.sleep(max(0.0, began + taken / 1e6 - time.monotonic()))
        writer.write(connection.data_to_send())
    return content


# The budget of the process, in MiB. An answer that is one piece of bytes is in memory as a whole, and fifty of them are 477. Of the text
# there is one; an encoder takes 2 MiB.
@pytest.mark.parametrize(
    ("path", "budget"), [("/large", 512), ("/large_pieces", 32), ("/asgi_large/50000", 32), ("/large_text", 560)]
)
@pytest.mark.parametrize("take", [take_slowly, take_slowly_over_http2], ids=["HTTP/1.1", "HTTP/2"])
def test_slow_clients_are_all_served(take, path, budget, tmp_path):
    """Fifty clients that take 10 MB each at 1 MB a second, within a budget that has room for little more than their answers."""
    need_proc()
    pytest.importorskip("h2")

    async def all_of_them(address: tuple) -> list[Content]:
        return await asyncio.wait_for(asyncio.gather(*(take(address, path) for _ in range(MANY))), 90)

    with served(Attack(take, 12, settings={"h2c": True, "max_unsent_mb": budget}), tmp_path) as (script, _):
        before = resident_memory(script.process.pid)
        began = time.monotonic()
        contents = asyncio.run(all_of_them(script.address))
        took = time.monotonic() - began
        grown = peak_memory(script.process.pid) - before
    coded = sum(content.decoder is not None for content in contents)
    print(f"\n{MANY} clients, 10 MB each, {coded} of them coded: all in {took:.1f} s, memory grew by {grown / MIB:.0f} MiB")
    assert min(content.count for content in contents) >= LARGE
    assert not coded or path == "/large_text"
    # Beside the budget: threads, buffers, and an answer that is Python's and the server's at the same time.
    assert grown <= min((budget + 96) * MIB, process_budget())
