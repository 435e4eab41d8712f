"""One turn: start a server, warm it up, measure it, end it.

The server is alone on its core and the load on another. The load stops between warm-up and measurement until the CPU
time is read, and again after it, so that the requests counted are those the CPU time was spent on.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .peers import Peer
from .server import TICKS_PER_SECOND, Server, ServerFailed, free_port
from .workloads import Workload

# Shares of a core's time that went to others: from the first on it is mentioned, from the second on the turn is repeated.
DISTURBED = 0.05
REPEAT = 0.15


@dataclass(frozen=True)
class Plan:
    """How long a turn takes, and on which cores."""

    warmup: float
    seconds: float
    server_core: int = 0
    load_core: int = 1


def _core_busy(core: int) -> float:
    """Seconds since boot that this core has worked, or that the machine below took from it (steal)."""
    for line in Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            user, nice, system, _idle, _wait, interrupt, soft, steal = (int(field) for field in fields[1:9])
            return (user + nice + system + interrupt + soft + steal) / TICKS_PER_SECOND
    return 0.0


class Load:
    """The load generator, held at its gates."""

    def __init__(self, port: int, arguments: list[str], core: int | None, program: tuple[str, ...]) -> None:
        def prepare() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

        self.process = subprocess.Popen(
            [*program, "--connect", f"127.0.0.1:{port}", "--gate", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare,
        )  # fmt: skip

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def next_event(self) -> dict:
        """Waits for the next line; the generator's own limit ends a wait for a server that hangs."""
        line = self.process.stdout.readline()
        if not line:
            raise ServerFailed("no measurement: " + self.process.stderr.read().strip()[-300:])
        return json.loads(line)

    def go_on(self) -> None:
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            # Its reason is on stderr, and the next event finds it.
            pass


def turn(peer: Peer, workload: Workload, plan: Plan) -> dict:
    """The result of one turn; raises `ServerFailed` with the reason if there is none.

    A turn that others disturbed is taken once more, and the calmer one counts.
    """
    result = _turn(peer, workload, plan)
    if result["disturbed"] > REPEAT:
        result = min(result, _turn(peer, workload, plan), key=lambda result: result["disturbed"])
    return result


def _turn(peer: Peer, workload: Workload, plan: Plan) -> dict:
    port = free_port()
    name = f"{workload.key}-{peer.key}"
    with Server(name, peer.command_for(port, workload.sleeps), port, plan.server_core, secure=workload.is_secure) as server:
        server.wait_until_right(workload.method, workload.path, workload.body, workload.is_right, workload.headers)
        arguments = [*workload.load_arguments(), *peer.load, "--warmup", str(plan.warmup), "--duration", str(plan.seconds)]
        program = (sys.executable, str(paths.H2LOAD)) if workload.http2 else (str(paths.LOAD),)
        with Load(port, arguments, plan.load_core, program) as load:
            load.next_event()
            server_before, load_before = _core_busy(plan.server_core), _core_busy(plan.load_core)
            cpu_before = server.cpu_seconds()
            load.go_on()
            result = load.next_event()
            cpu = server.cpu_seconds() - cpu_before
            server_core = _core_busy(plan.server_core) - server_before
            load_core = _core_busy(plan.load_core) - load_before
            proportional, peak = server.memory_kib()
            load.go_on()
    seconds = result["seconds"]
    requests = result["requests"] + result.get("beside", {}).get("requests", 0)
    if not requests:
        raise ServerFailed(f"no request succeeded: {result.get('first_error', 'no reason given')}")
    result.pop("event")
    result["cpu_seconds"] = round(cpu, 4)
    # At less than a tick of CPU time the quotient means nothing; a tick is then the honest bound.
    result["requests_per_cpu_second"] = round(requests / max(cpu, 1 / TICKS_PER_SECOND), 1)
    result["server_busy"] = round(cpu / seconds, 3)
    # Other work on either core, in the machine or below it, with the interrupts that are charged to no process.
    result["disturbed"] = round(max(server_core - cpu, load_core - result["load_busy"] * seconds, 0.0) / seconds, 3)
    result["memory_kib"] = proportional
    result["peak_rss_kib"] = peak
    return result
