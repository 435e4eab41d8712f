"""Operations on the state that all processes share, for threads that wait and for tasks that await.

The target is a server, or a request of one. The operands are a value, a number and a time in seconds, as the action has them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .. import _outside

# Seconds after which a call gives up.
TIMEOUT = 1.0
NOTHING: tuple[Any, int, float | None] = (None, 0, None)


def call(target: Any, action: str, key: str, operands: tuple[Any, int, float | None] = NOTHING) -> Any:
    """The outcome; `TimeoutError` without one in time."""
    return _outside._shared_call(target, action, key, operands, TIMEOUT)


async def ask(target: Any, action: str, key: str, operands: tuple[Any, int, float | None] = NOTHING) -> Any:
    """The same for a task, while the loop goes on."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    begun = _outside._shared_begin(target, action, key, operands, future)
    if begun is False:
        return await loop.run_in_executor(None, call, target, action, key, operands)
    if begun is not True:
        return begun[0]
    deadline = loop.call_later(TIMEOUT, _set, future, None, TimeoutError("the store of shared state has not answered in time"))
    try:
        return await future
    finally:
        deadline.cancel()


def settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    """Hands an outcome to a future of any loop: called by the engine on the thread of the server's loop."""
    loop = future.get_loop()
    if loop is asyncio._get_running_loop():
        _set(future, value, error)
        return
    try:
        loop.call_soon_threadsafe(_set, future, value, error)
    except RuntimeError:
        pass  # the loop has ended


def _set(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
