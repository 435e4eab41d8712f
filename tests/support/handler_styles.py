"""One function as a plain handler and as an `async def` handler."""

from __future__ import annotations

import asyncio

STYLES = ["plain", "async"]


def styled(style: str, function):
    """The function itself, or an `async def` function of the same arguments."""
    if style == "plain":
        return function

    async def awaited(*arguments):
        await asyncio.sleep(0)
        return function(*arguments)

    return awaited
