"""Waiting for what a client says next, for so long, and no longer than the server goes on."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class LetGoError(Exception):
    """The client is let go: it was silent for long, or the server ends."""


async def next_message(receive: Coroutine[Any, Any, Any], leaving: asyncio.Event, idle: float) -> Any:
    """What `receive` gives.

    Args:
        leaving: set once the server ends.
        idle: seconds that are waited.

    Raises:
        LetGoError: nothing came, with why it is not waited for any more.
    """
    received, left = asyncio.ensure_future(receive), asyncio.ensure_future(leaving.wait())
    done, _ = await asyncio.wait({received, left}, timeout=idle, return_when=asyncio.FIRST_COMPLETED)
    left.cancel()
    if received in done:
        return received.result()
    received.cancel()
    raise LetGoError("the server ends" if done else f"no request for {idle:g} s")
