"""Waiting for what happens in another thread and cannot be waited for otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when the condition holds; fail when it does not for that long."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.01)


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """The same without blocking the event loop."""
    ends = time.monotonic() + seconds
    while not condition():  # what happens elsewhere sets no event of ours
        assert time.monotonic() < ends, "it did not happen"
        await asyncio.sleep(0.002)


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Have nothing freed but by its last reference."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
