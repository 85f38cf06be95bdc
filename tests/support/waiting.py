"""Waiting for what happens in another thread and cannot be waited for otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


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


@contextlib.contextmanager
def interrupted_when(condition: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl+C interrupt the main thread, which runs this, when the condition holds."""
    heard = threading.Event()

    def hear(*_: object) -> None:
        if not heard.is_set():
            heard.set()
            raise KeyboardInterrupt

    def press() -> None:
        until(condition)
        while not heard.wait(0.1):  # one that comes just before the main thread falls asleep does not wake it
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, hear)
    pressing = threading.Thread(target=press)
    pressing.start()
    try:
        yield
    finally:
        pressing.join()
        signal.signal(signal.SIGINT, before)


def has_ended(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has asked yet how."""
    try:
        os.kill(pid, 0)
        return sys.platform == "linux" and ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def side_by_side(work: Callable[..., object], *arguments: Iterable[object], threads: int = 8) -> list[Any]:
    """What some calls return that threads make at the same time: one for each argument, or as many as are wanted."""
    many: list[Iterable[object]] = list(arguments) or [()] * threads
    with ThreadPoolExecutor(len(many)) as executor:
        return [call.result() for call in [executor.submit(work, *each) for each in many]]
