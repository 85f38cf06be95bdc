"""As many live connections as the documents promise, 65,536, in one process: whether they hold, and what they cost.

Each is opened by its profile, with a token of its own, to a server that checks it (see `benchmarks.many_servers`); when
all are open each answers a ping, one more is refused, and after closing no descriptor is left.  Whatever of that does
not hold ends the program.  Where the machine's limit of open files is lower, as many are held as it allows, and the
page that is written says so.

    python -m benchmarks.campaign [--count N] [--output FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.many_servers import servers, token_of
from benchmarks.processes import PYTHON, ROOT, checked

PROMISED = 65_536
_SPARE = 200
"""Descriptors for all else: gRPC's own, the files of Python, standard streams."""
_THREADS = 8
_TASKS = 64
_SETTLING = 120.0
_QUIET = 1.0

Figures = dict[str, float]


def most() -> int:
    """Connections that this machine's limits allow one process, up to those promised."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return PROMISED if hard == resource.RLIM_INFINITY else min(PROMISED, hard - _SPARE)


# --- what is held ----------------------------------------------------------------------------------------------------


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) << 12


def _settled(count: int) -> int:
    """The descriptors, once they are no more than so many, or after some time."""
    ends = time.monotonic() + _SETTLING
    while (found := _descriptors()) > count and time.monotonic() < ends:
        time.sleep(0.02)
    return found


def _at_rest() -> int:
    """The descriptors when gRPC, which closes those of its own a moment after its last channel, has done so."""
    found = _descriptors()
    quiet = time.monotonic()
    while time.monotonic() - quiet < _QUIET:
        time.sleep(0.02)
        if (now := _descriptors()) != found:
            found, quiet = now, time.monotonic()
    return found


def _profiles(addresses: list[str], count: int, file: Path) -> Any:
    import milvus_profiles as mp

    lines = [f"max_connections = {count}"]
    for number in range(count + 1):
        address, token = addresses[number % len(addresses)], token_of(number)
        lines += [f"[profiles.p{number}]", f'uri = "http://{address}"', f'token = "{token}"']
    file.write_text("\n".join(lines))
    file.chmod(0o600)
    return mp.load(file=str(file), env={"HOME": "/none"})


class _Book:
    """The times and sizes of one run."""

    def __init__(self, count: int) -> None:
        self.figures: Figures = {"count": count}
        self._count = count
        self._descriptors = _at_rest()
        self._resident = _resident()
        self._began = time.perf_counter()

    def opened(self) -> None:
        self.figures["open"] = time.perf_counter() - self._began
        held = _descriptors() - self._descriptors
        assert held >= self._count, f"{held} descriptors for {self._count} connections"
        self.figures["memory"] = (_resident() - self._resident) / self._count

    def timed(self, name: str, began: float) -> None:
        self.figures[name] = time.perf_counter() - began

    def gone(self, began: float) -> None:
        left = _settled(self._descriptors)
        self.timed("gone", began)
        assert left <= self._descriptors, f"{left - self._descriptors} descriptors are left"


def _threads(profiles: Any, count: int) -> Figures:
    import milvus_profiles as mp

    def connect(number: int) -> Any:
        return mp.connect(f"p{number}", profiles=profiles)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda _: None, range(_THREADS)))
        connect(0).ping()
        mp.disconnect_all(grace=0)
        book = _Book(count)
        held = list(pool.map(connect, range(count)))
        book.opened()
        assert len(mp.list_connections()) == count
        began = time.perf_counter()
        assert all(seconds > 0 for seconds in pool.map(lambda conn: conn.ping(), held))
        book.timed("ping", began)
        _refused(lambda: connect(count))
        began = time.perf_counter()
        mp.disconnect_all(grace=0)
        book.timed("close", began)
        assert all(conn.is_closed for conn in held)
        held.clear()
        book.gone(began)
    assert not mp.list_connections()
    return book.figures


def _refused(connect: Callable[[], object]) -> None:
    import milvus_profiles as mp

    try:
        connect()
    except mp.ConnectionLimitError:
        return
    raise AssertionError("one more was opened than max_connections allows")


async def _gathered(work: Callable[[int], Coroutine[Any, Any, Any]], count: int) -> list[Any]:
    """What so many pieces of work give, some at a time."""
    found: list[Any] = [None] * count
    numbers = iter(range(count))

    async def worker(mine: Iterable[int]) -> None:
        for number in mine:
            found[number] = await work(number)

    await asyncio.gather(*(worker(numbers) for _ in range(_TASKS)))
    return found


async def _tasks(profiles: Any, count: int) -> Figures:
    import milvus_profiles as mp

    async def connect(number: int) -> Any:
        return await mp.aio.connect(f"p{number}", profiles=profiles)

    await (await connect(0)).ping()
    await mp.aio.disconnect_all(grace=0)
    book = _Book(count)
    held = await _gathered(connect, count)
    book.opened()
    assert len(mp.aio.list_connections()) == count
    began = time.perf_counter()
    assert all(seconds > 0 for seconds in await _gathered(lambda number: held[number].ping(), count))
    book.timed("ping", began)
    try:
        await connect(count)
        raise AssertionError("one more was opened than max_connections allows")
    except mp.ConnectionLimitError:
        pass
    began = time.perf_counter()
    await mp.aio.disconnect_all(grace=0)
    book.timed("close", began)
    assert all(conn.is_closed for conn in held)
    held.clear()
    await asyncio.to_thread(book.gone, began)
    assert not mp.aio.list_connections()
    return book.figures


# --- the peer: raw channels of their own, with the same two calls ----------------------------------------------------

_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
_SERVICE = "/milvus.proto.milvus.MilvusService/"


def _by_hand(number: int) -> tuple[tuple[str, str], ...]:
    return (("authorization", base64.b64encode(token_of(number).encode()).decode()),)


def _raw_threads(addresses: list[str], count: int) -> Figures:
    import grpc

    def call(channel: grpc.Channel, method: str, number: int) -> None:
        channel.unary_unary(_SERVICE + method, None, None)(b"", timeout=30, metadata=_by_hand(number))

    def connect(number: int) -> grpc.Channel:
        channel = grpc.insecure_channel(addresses[number % len(addresses)], _OPTIONS)
        call(channel, "Connect", number)
        return channel

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda _: None, range(_THREADS)))
        connect(0).close()
        book = _Book(count)
        held = list(pool.map(connect, range(count)))
        book.opened()
        began = time.perf_counter()
        list(pool.map(lambda number: call(held[number], "GetVersion", number), range(count)))
        book.timed("ping", began)
        began = time.perf_counter()
        for channel in held:
            channel.close()
        book.timed("close", began)
        held.clear()
        book.gone(began)
    return book.figures


async def _raw_tasks(addresses: list[str], count: int) -> Figures:
    import grpc.aio

    async def call(channel: grpc.aio.Channel, method: str, number: int) -> None:
        await channel.unary_unary(_SERVICE + method, None, None)(b"", timeout=30, metadata=_by_hand(number))

    async def connect(number: int) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(addresses[number % len(addresses)], _OPTIONS)
        await call(channel, "Connect", number)
        return channel

    await (await connect(0)).close()
    book = _Book(count)
    held = await _gathered(connect, count)
    book.opened()
    began = time.perf_counter()
    await _gathered(lambda number: call(held[number], "GetVersion", number), count)
    book.timed("ping", began)
    began = time.perf_counter()
    for channel in held:
        await channel.close()
    book.timed("close", began)
    held.clear()
    del channel
    await asyncio.to_thread(book.gone, began)
    return book.figures


def _one(kind: str, count: int, addresses: list[str]) -> None:
    """A run in a process of its own; its figures on standard output."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        if kind == "threads":
            figures = _threads(_profiles(addresses, count, Path(directory) / "milvus.toml"), count)
        elif kind == "asyncio":
            figures = asyncio.run(_tasks(_profiles(addresses, count, Path(directory) / "milvus.toml"), count))
        elif kind == "raw threads":
            figures = _raw_threads(addresses, count)
        else:
            figures = asyncio.run(_raw_tasks(addresses, count))
    print(json.dumps(figures))


# --- the page --------------------------------------------------------------------------------------------------------

KINDS = ("threads", "raw threads", "asyncio", "raw asyncio")


def _page(found: dict[str, Figures], count: int, served: float) -> str:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    python, grpcio, cores = platform.python_version(), version("grpcio"), os.cpu_count()
    lines = [
        f"# {count:,} live connections in one process",
        "",
        f"Written by `make campaign-65536`. CPython {python}, grpcio {grpcio}, {cores} cores for it and the servers.",
        "",
        "Each connection has a profile, a token that the server checks, and a TCP connection of its own. All are open",
        "at once; then each answers a ping, one more is refused with `ConnectionLimitError`, all are closed, and no",
        "descriptor is left. Raw is a gRPC channel of its own for each, with the same two calls and nothing else.",
        "",
    ]
    if count == most() < PROMISED:
        lines += [
            f"**Not {PROMISED:,}: a process of this machine may have {hard:,} open files** (the hard limit, which only",
            f"whoever runs the machine can raise), and each connection is one. `max_connections` was {count:,} here.",
            "",
        ]
    lines += ["| | threads | raw, threads | | asyncio | raw, asyncio | |", "|---|---|---|---|---|---|---|"]
    rows: list[tuple[str, Callable[[Figures], float], str]] = [
        ("opened, per second", lambda one: one["count"] / one["open"], "{:,.0f}"),
        ("memory of each, KiB", lambda one: one["memory"] / 1024, "{:.1f}"),
        ("pings of all, per second", lambda one: one["count"] / one["ping"], "{:,.0f}"),
        ("all closed, seconds", lambda one: one["close"], "{:.1f}"),
        ("and their descriptors gone, seconds", lambda one: one["gone"], "{:.1f}"),
    ]
    for name, value, form in rows:
        cells = [name]
        for kind in ("threads", "asyncio"):
            ours, theirs = value(found[kind]), value(found[f"raw {kind}"])
            cells += [form.format(ours), form.format(theirs), f"**{ours / theirs:.2f}x**"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"The servers have {served / 1024:.1f} KiB for each connection."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--count", type=int, default=most())
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "campaign-65536.md")
    chosen = parser.parse_args()
    count: int = chosen.count
    if count > most():
        parser.error(f"this machine lets one process have {most():,} connections at most")
    found: dict[str, Figures] = {}
    served = 0.0
    for kind in KINDS:
        with servers(count) as started:  # fresh ones, so that none has to do with what another run left
            before = started.resident()
            began = time.monotonic()
            words = [PYTHON, "-m", "benchmarks.campaign", "--one", kind, str(count), *started.addresses]
            found[kind] = json.loads(checked(words, cwd=ROOT))
            served = max(served, (started.resident() - before) / count)
            print(f"{kind}: {time.monotonic() - began:.0f} s", {k: round(v, 2) for k, v in found[kind].items()})
    chosen.output.write_text(_page(found, count, served))
    print(f"written: {chosen.output}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _one(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
    else:
        main()
