"""A streamed answer from an async iterator: each line arrives when it is made.

$ curl http://127.0.0.1:8080/countdown?from=3
"""

import asyncio
from collections.abc import AsyncIterator

from outside import OutsideHTTP, Request, Response


async def numbers(start: int) -> AsyncIterator[str]:
    for number in range(start, 0, -1):
        yield f"{number}\n"
        await asyncio.sleep(0.2)
    yield "lift-off\n"


async def countdown(request: Request) -> Response | tuple[int, str]:
    start = request.params.get("from", "5")
    if not start.isdecimal() or int(start) > 60:
        return 400, "from is a number up to 60"
    return Response(headers={"Content-Type": "text/plain"}, content=numbers(int(start)))


server = OutsideHTTP(("127.0.0.1", 8080))
server.set_route("/countdown", countdown)
server.run()
