"""Connections of threads and of an event loop behind one face, and the profiles and servers that their tests need."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles.live.spec import OPEN_CONNECTIONS

from .milvus import MilvusServer
from .scripted_grpc import SERVICE, Call, Script, milvus_answer
from .waiting import until

T = TypeVar("T")


def variables_of(server: MilvusServer, *, alias: str = "prod", **more: str) -> dict[str, str]:
    """The variables that declare one profile, which leads to a server."""
    fields = {"URI": server.uri}
    if server.token:
        fields["TOKEN"] = server.token
    if server.certs:
        fields["SSL__CA"] = str(server.certs.ca)
    if server.tls == "mutual" and server.certs:
        fields |= {"SSL__CERT": str(server.certs.client.cert), "SSL__KEY": str(server.certs.client.key)}
    return {**{f"MILVUS_PROFILES__{alias.upper()}__{name}": value for name, value in fields.items()}, **more}


def of(server: MilvusServer, **more: str) -> mp.Profiles:
    return declared(**variables_of(server, **more))


def at(port: int, **more: str) -> mp.Profiles:
    return declared(MILVUS_PROFILES__PROD__URI=f"http://127.0.0.1:{port}", **more)


def declared(**env: str) -> mp.Profiles:
    return mp.load(env=env, cwd="/")


def uri(port: int) -> str:
    """A line of a file."""
    return f'uri = "http://127.0.0.1:{port}"'


class Declared:
    """A file with the profile `prod`, which the test rewrites."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(mode=0o600)

    def says(self, *lines: str) -> mp.Profiles:
        self.path.write_text("[profiles.prod]\n" + "\n".join(lines) + "\n")
        return self.profiles()

    def profiles(self, **env: str) -> mp.Profiles:
        return mp.load(self.path, env=env)


class Holding:
    """A server's script: it answers as a healthy Milvus does, but a method only when it is told to."""

    def __init__(self, method: str = "ShowCollections", otherwise: Script = milvus_answer) -> None:
        self.method, self._answer = SERVICE + method, otherwise
        self.arrived, self.go_on = threading.Event(), threading.Event()

    def __call__(self, call: Call) -> bytes:
        if call.method == self.method:
            self.arrived.set()
            assert self.go_on.wait(30)
        return self._answer(call)


class ThisThread:
    """No event loop: what is done in this thread, as :class:`LoopThread` has it done in one."""

    def do(self, result: Any) -> Any:
        """What a method has given, or, of an event loop, will give."""
        return result

    def here(self, work: Any, *arguments: Any) -> Any:
        """What a function gives that belongs into the loop."""
        return work(*arguments)

    def end(self) -> None:
        pass


class LoopThread:
    """An event loop that runs in a thread of its own: what is awaited there can be waited for here."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.start(coroutine).result(120)

    def here(self, work: Any, *arguments: Any) -> Any:
        async def run() -> Any:
            return work(*arguments)

        return self.do(run())

    def end(self) -> None:
        self.do(self._loop.shutdown_asyncgens())
        self.do(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Both:
    face: Any
    do: Any
    here: Any

    def connect(self, *arguments: Any, **named: Any) -> Any:
        return self.do(self.face.connect(*arguments, **named))

    def disconnect(self, alias: str, **named: Any) -> None:
        self.do(self.face.disconnect(alias, **named))

    def disconnect_all(self, **named: Any) -> None:
        self.do(self.face.disconnect_all(**named))

    def list_connections(self) -> Any:
        return self.here(self.face.list_connections)

    def has_connection(self, alias: str) -> Any:
        return self.here(self.face.has_connection, alias)

    def ping(self, conn: Any) -> float:
        return float(self.do(conn.ping()))

    def close(self, conn: Any) -> None:
        self.do(conn.close())

    def close_channel(self, conn: Any) -> None:
        self.do(conn.channel.close())

    def client(self, conn: Any, **named: Any) -> Any:
        return self.here(partial(conn.client, **named))

    def stub(self, conn: Any, path: str) -> Any:
        return conn.channel.unary_unary(path, None, None)


class Threads(ThisThread, _Both):
    """``milvus_profiles.connect`` and its kin."""

    face = mp
    cut_off: type[Exception] = grpc.RpcError
    """What a call that :meth:`begin` began raises when its connection is closed."""

    def begin(self, stub: Any) -> Any:
        """A call that is under way, with ``result`` and ``done``."""
        return stub.future(b"", timeout=60)

    def call(self, stub: Any, request: bytes = b"", **named: Any) -> Any:
        return stub(request, timeout=10, **named)


class Loop(LoopThread, _Both):
    """``milvus_profiles.aio.connect`` and its kin."""

    face = mp.aio
    # Python 3.10 cannot tell the one from the other.
    cut_off: type[Exception] = mp.ConnectionClosedError if sys.version_info >= (3, 11) else CancelledError

    async def _call(self, stub: Any, request: bytes, **named: Any) -> Any:
        return await stub(request, **named)

    def begin(self, stub: Any) -> Any:
        return self.start(self._call(stub, b"", timeout=60))

    def call(self, stub: Any, request: bytes = b"", **named: Any) -> Any:
        return self.do(self._call(stub, request, timeout=10, **named))


Shell = Threads | Loop


@pytest.fixture(name="shell", params=[Threads, Loop])
def any_shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    """Each of them in turn; what a test leaves open is closed, and nothing stays behind."""
    one: Shell = request.param()
    yield one
    one.disconnect_all(grace=0)
    assert one.list_connections() == []
    one.end()
    gc.collect()
    until(lambda: OPEN_CONNECTIONS.taken == 0)


@pytest.fixture(name="prod")
def declared_prod(tmp_path: Path) -> Declared:
    return Declared(tmp_path / "profiles.toml")


@pytest.fixture(name="any_server", params=["plain", "auth", "tls", "mtls"])
def each_server(request: pytest.FixtureRequest) -> MilvusServer:
    server: MilvusServer = request.getfixturevalue(f"milvus_{request.param}")
    return server
