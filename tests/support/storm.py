"""A storm of interrupts over one operation, in a process of its own.

    python -m tests.support.storm OPERATION SECONDS SEED

Real signals at random moments, at a real gRPC server; sometimes a second and a third one meet what cleans up after the
first.  `threads-...` throws exceptions into all threads there are instead, those of the package included; `cancel-...`
cancels tasks of asyncio; `run-...` sends one signal in the middle of each `asyncio.run`.  At the end all must be as it
was: what may be leased can be leased, calls work, closing ends in its time, and no slot is taken.  Prints how many
interrupts there were; a traceback of all threads where something waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import milvus_profiles as mp
from milvus_profiles.channel.wire import GET_VERSION
from milvus_profiles.errors import MilvusProfilesError
from milvus_profiles.live.spec import OPEN_CONNECTIONS
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings

from . import scripted_grpc
from .waiting import until

_LIMIT = 20.0
"""Seconds that one operation, or closing, may take on a busy machine once nobody interrupts it any more: tests of a
channel that was damaged take up to 5, and so does closing it."""

SETTINGS = PoolSettings(max_total=3, max_channels=3, soft_limit=1, hard_limit=1, max_block_wait=30, drain_timeout=1)


class Storm:
    """Raises KeyboardInterrupt in the main thread, as often as it is told to."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.left = 0
        self.count = 0
        self.over = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: object) -> None:
        if self.left > 0:
            self.left -= 1
            self.count += 1
            raise KeyboardInterrupt

    def rage(self) -> None:
        rng = random.Random(self.rng.random())
        while not self.over:
            time.sleep(rng.choice((0.0, 0.0002, 0.001, 0.004)) * rng.random())
            os.kill(os.getpid(), signal.SIGINT)

    @contextlib.contextmanager
    def exposed(self) -> Iterator[None]:
        """One interrupt, at some moment from now on, or none if it is over before."""
        guard = threading.Lock()
        inside = True

        def strike() -> None:
            time.sleep(self.rng.random() * 0.05)
            with guard:
                if inside:
                    self.count += 1
                    os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=strike)
        thread.start()
        try:
            yield
        finally:
            with guard:
                inside = False

    def during(self, operation: Callable[[], object]) -> None:
        """Do something, interrupted up to three times."""
        # No more of these than there may be interrupts; suppress() would run code of its own in between.
        try:
            try:
                try:
                    self.left = self.rng.choice((1, 1, 1, 2, 3))
                    operation()
                except (KeyboardInterrupt, MilvusProfilesError):
                    pass
            except KeyboardInterrupt:
                pass
        except KeyboardInterrupt:
            pass
        self.left = 0


def within(what: str, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    assert took < _LIMIT, f"{what} took {took:.1f} s"


def of_threads(name: str, profiles: mp.Profiles) -> tuple[Callable[[], object], Callable[[], None]]:
    """The operation, and the look at what it left."""
    pool = ConnectionPool(SETTINGS, profiles)

    def lease() -> None:
        with pool.lease("p"):
            pass

    def client() -> None:
        pool.return_client("p", pool.get_client("p"))

    def clear() -> None:
        client()
        pool.clear()

    def drain() -> None:
        client()
        pool.drain()

    def call() -> None:
        with pool.lease("p") as conn:
            conn.ping(timeout=5)

    def future() -> None:
        with pool.lease("p") as conn:
            conn.channel.unary_unary(GET_VERSION.path, None, None).future(b"", timeout=5).result()

    def stream() -> None:
        with pool.lease("p") as conn:
            for _ in conn.channel.unary_stream(GET_VERSION.path, None, None)(b"", timeout=5):
                pass

    def whole() -> None:
        with ConnectionPool(SETTINGS, profiles) as other, other.lease("p"):
            pass

    def connect() -> None:
        with mp.connect("p", profiles=profiles) as conn:
            conn.ping(timeout=5)

    def dedicated() -> None:
        mp.connect("p", profiles=profiles, dedicated=True).close()

    def disconnect() -> None:
        mp.connect("p", profiles=profiles)
        mp.disconnect("p", grace=0.5)

    operations: dict[str, Callable[[], object]] = {
        "lease": lease, "client": client, "call": call, "future": future, "stream": stream,
        "pool": whole, "connect": connect,
        "dedicated": dedicated, "disconnect": disconnect, "prepare": lambda: pool.prepare("p"),
        "clear": clear, "drain": drain,
    }  # fmt: skip

    def look() -> None:
        def lease_all() -> None:
            gc.collect()  # what an exception held in a circle is given back
            leases = [pool.get_client("p", timeout=_LIMIT) for _ in range(SETTINGS.max_channels)]
            for conn in leases:
                conn.ping(timeout=_LIMIT)
                conn.channel.unary_unary(GET_VERSION.path, None, None).future(b"", timeout=_LIMIT).result(_LIMIT)
                conn.close()

        for _ in range(2):
            within("leasing all there is", lease_all)
        assert pool.total_active_count() == 0, pool.stats()
        within("closing the pool", pool.close)
        within("connecting", connect)
        within("disconnecting", lambda: mp.disconnect_all(grace=1))
        assert mp.list_connections() == []

    return operations[name], look


def of_asyncio(name: str, profiles: mp.Profiles, storm: Storm) -> tuple[Callable[[], object], Callable[[], None]]:
    """The same for an event loop: its tasks are cancelled, or the whole of `asyncio.run` is interrupted."""
    how, _, what = name.partition("-")

    async def lease(pool: Any) -> None:
        async with pool.lease("p") as conn:
            await conn.ping(timeout=5)

    async def connect(pool: Any) -> None:
        async with mp.aio.connect("p", profiles=profiles) as conn:
            await conn.ping(timeout=5)

    async def disconnect(pool: Any) -> None:
        await mp.aio.connect("p", profiles=profiles)
        await mp.aio.disconnect("p", grace=0.5)

    async def whole(pool: Any) -> None:
        async with mp.aio.ConnectionPool(SETTINGS, profiles) as other:
            await lease(other)

    operations: dict[str, Callable[[Any], Coroutine[Any, Any, None]]]
    operations = {"lease": lease, "connect": connect, "disconnect": disconnect, "pool": whole}
    operation = operations[what]

    async def look(pool: Any) -> None:
        async def lease_all() -> None:
            leases = [await pool.get_client("p", timeout=_LIMIT) for _ in range(SETTINGS.max_channels)]
            for conn in leases:
                await conn.ping(timeout=_LIMIT)
                await conn.close()

        await asyncio.wait_for(lease_all(), 2 * _LIMIT)
        assert pool.total_active_count() == 0, pool.stats()
        await asyncio.wait_for(pool.close(), _LIMIT)
        await asyncio.wait_for(connect(pool), _LIMIT)
        await asyncio.wait_for(mp.aio.disconnect_all(grace=1), _LIMIT)
        assert mp.aio.list_connections() == []

    async def once() -> None:
        with storm.exposed():
            async with mp.aio.ConnectionPool(SETTINGS, profiles) as pool:
                while True:
                    await operation(pool)

    def run() -> None:
        # asyncio cancels its main task then (from Python 3.11 on), if the handler is Python's own.  A second signal
        # would be raised anywhere, and in the middle of grpc.aio's shutdown that corrupts its memory.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(once())

    async def cancelled() -> None:
        pool = mp.aio.ConnectionPool(SETTINGS, profiles)
        for _ in range(30):
            tasks = [asyncio.create_task(operation(pool)) for _ in range(6)]
            while any(not task.done() for task in tasks):
                await asyncio.sleep(storm.rng.choice((0.0, 0.0005, 0.003)) * storm.rng.random())
                task = storm.rng.choice(tasks)
                storm.count += task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, MilvusProfilesError):
                    raise result
        await look(pool)

    async def looked() -> None:
        await look(mp.aio.ConnectionPool(SETTINGS, profiles))

    if how == "cancel":
        return (lambda: asyncio.run(cancelled())), (lambda: asyncio.run(looked()))
    return run, (lambda: asyncio.run(looked()))


class Thrown(BaseException):
    """Thrown into a thread from outside."""


def throw_into_threads(storm: Storm, operation: Callable[[], object], ends: float) -> None:
    """Borrowers at work, and an exception now in this thread and now in that, those of the pool included."""

    def work() -> None:
        while time.monotonic() < ends:
            with contextlib.suppress(Thrown, MilvusProfilesError, RuntimeError):
                try:  # noqa: SIM105
                    operation()
                except Thrown:
                    pass

    def borrow() -> None:
        while time.monotonic() < ends:
            with contextlib.suppress(Thrown):
                work()

    borrowers = [threading.Thread(target=borrow, name="borrower", daemon=True) for _ in range(3)]
    for thread in borrowers:
        thread.start()
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    while time.monotonic() < ends - 0.2:
        time.sleep(storm.rng.random() * 0.003)
        # Not those that begin a stream or a future, and with it gRPC's thread for them: before it runs, a new thread
        # has the number of the one that starts it, and CPython throws into the new one.  gRPC then waits for ever.
        hit = [
            each
            for each in threading.enumerate()
            if each.name.startswith(("borrower", "milvus-profiles")) and each.name != "milvus-profiles begin"
        ]
        # Right before: another thread may get the number of one that has ended, and it may be one of gRPC's.
        if hit and (chosen := storm.rng.choice(hit)).is_alive():
            storm.count += throw(ctypes.c_ulong(chosen.ident or 0), ctypes.py_object(Thrown))
    for thread in borrowers:
        thread.join(40)
        if thread.is_alive():
            faulthandler.dump_traceback()
        assert not thread.is_alive(), "a borrower waits for ever"


def main(name: str, seconds: float, seed: int) -> None:
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    ended: list[BaseException | None] = []
    threading.excepthook = lambda hook: None if name.startswith("threads-") else ended.append(hook.exc_value)
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds + 130, exit=True)
    # An exception in the middle of a handler of the standard library's leaves its lock held.
    logging.getLogger("milvus_profiles").propagate = False
    storm = Storm(seed)
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        profiles = mp.load(env={"MILVUS_PROFILES__P__URI": f"http://127.0.0.1:{server.port}"}, cwd="/")
        # First: the lock of an import that is interrupted is held for ever, says Python.
        mp.connect("p", profiles=profiles).ping()
        mp.disconnect_all()
        ends = time.monotonic() + seconds
        if name.startswith("threads-"):
            operation, look = of_threads(name.removeprefix("threads-"), profiles)
            throw_into_threads(storm, operation, ends)
        elif name.startswith(("cancel-", "run-")):
            operation, look = of_asyncio(name, profiles, storm)
            while time.monotonic() < ends:
                operation()
        else:
            operation, look = of_threads(name, profiles)
            raging = threading.Thread(target=storm.rage, daemon=True)
            raging.start()
            while time.monotonic() < ends:
                storm.during(operation)
            storm.over = True
            raging.join()
        look()
        del operation, look
        until(lambda: gc.collect() >= 0 and not OPEN_CONNECTIONS.taken, _LIMIT)  # or slots are lost
    assert not ended, f"threads were ended by {ended}"
    print(storm.count, flush=True)
    os._exit(0)  # a server whose clients were cut off in the middle takes its time


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
