"""Clients of one attack (`support.attacks`), as a process of their own; it is told on its standard input what to do.

`python tests/programs/attackers.py "A1 async" 127.0.0.1 8080`: a line with a number starts so many clients, which is
confirmed with a line; `0` ends them. It ends with its input, and after two minutes.
"""

from __future__ import annotations

import asyncio
import os
import sys

from support.attacks import ATTACKS, Arrivals, again_and_again
from support.client_group import descriptors

SPREAD_S = 0.2  # the time in which the clients of one attack begin


async def begin_later(wait: float, name: str, address: tuple) -> None:
    await asyncio.sleep(wait)
    await again_and_again(ATTACKS[name].converse, address)


async def obey(name: str, address: tuple) -> None:
    loop = asyncio.get_running_loop()
    clients: list[asyncio.Task] = []
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        count = int(line)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        Arrivals.count = 0
        clients = [asyncio.create_task(begin_later(SPREAD_S * n / count, name, address)) for n in range(count)]
        if count:
            await asyncio.sleep(SPREAD_S)
        while Arrivals.count < count * ATTACKS[name].arrivals:
            await asyncio.sleep(0.01)
        print(len(clients), flush=True)


async def main() -> None:
    await asyncio.wait_for(obey(sys.argv[1], (sys.argv[2], int(sys.argv[3]))), 120)


if __name__ == "__main__":
    os.nice(10)  # the honest client, on the same core, goes first
    descriptors()
    asyncio.run(main())
