"""Milvus Lite in this process: started on first use, shared by all who use its directory, stopped by the last.

It is a real gRPC server on a port of 127.0.0.1, so everything above treats it as any other Milvus.  A directory can be
open in one process only; a forked child goes on with its parent's server and never stops it.  Nothing here knows
profiles or channels.

This is the one place that opens a database, and it opens none that it has not looked at: see ``lite_directory``.  It
runs until the process is through with its other threads, and to stop it takes a limited time, whatever still calls.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from ..background import beside, start
from ..endpoint import Untrusted
from ..errors import (
    ConfigError,
    DatabaseInUseError,
    MilvusProfilesError,
    MissingExtraError,
    ServerNotReadyError,
    ThreadStartError,
)
from ..masked import even_half_made
from ..text import command, printable
from ..thread_limits import none_left
from .grpc_process import need_threads
from .lite_directory import check_shared, make_ready
from .pymilvus_import import import_with_pymilvus

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]

_HOST = "127.0.0.1"
_LOCK_FILE = "LOCK"
_GRACE = 2.0
_LIMIT = 2.0
"""Seconds for each step of stopping, a grace period left out."""
_WORKERS = 10  # as Milvus Lite has by itself, like the limit of a message
_MESSAGE_LIMIT = 256 << 20
_INSTALL = 'install it: pip install "milvus-profiles[lite]"'


@dataclass
class _Server:
    """The server of one directory.  The lock is held while it starts or stops, so others of its users wait; nobody
    who uses another directory does."""

    directory: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    port: int = 0
    pid: int = 0
    stop: Callable[[float | None], None] | None = None


_servers: dict[str, _Server] = {}
_guard = threading.Lock()


@even_half_made
class LiteLease:
    """One user's share of the Milvus Lite of a directory, which listens on a port of 127.0.0.1."""

    _server: _Server | None = None

    def __init__(self, server: _Server) -> None:
        self.directory = server.directory
        self.port = server.port
        self._pid = os.getpid()
        # Last, and in one go with the count, so that no interrupt comes between.
        server.users += 1
        self._server = server

    def release(self) -> None:
        """Give the share back; the last one to do so stops the server.  Doing it twice, or in a forked child, does
        nothing."""
        server = self._server
        if server is None or self._pid != os.getpid():
            return
        with server.lock:
            if self._server is None:
                return
            self._server = None
            server.users -= 1
            if server.users == 0 and server.pid == os.getpid():
                _stop(server, _GRACE)

    def __del__(self) -> None:
        # Whoever held it was interrupted; the garbage collector may run anywhere, and stopping takes its time.
        if self._server is not None:
            with contextlib.suppress(ThreadStartError):
                start(self.release, "milvus-profiles close")

    def __repr__(self) -> str:
        return f"<LiteLease of {self.directory}, port {self.port}>"


def acquire_lite(path: str, untrusted: Untrusted | None) -> LiteLease:
    """Start the Milvus Lite of a directory, or share the one that runs; whatever asks at once gets the same one.

    Args:
        path: the ``*.db`` directory; made if only its last part is missing.
        untrusted: the untrusted project file that names it (``Profile.untrusted``); None where it is the user's own
            wish: a call, a variable, a file of full trust.

    Raises:
        MissingExtraError: Milvus Lite is not installed.
        ConfigError: the path cannot be a database, or the directory holds a link, a
            device or a file of several names.
        UntrustedError: an untrusted project file names a database that this user did not have made from here.
        DatabaseInUseError: another process, or another library in this one, has it open.
        ServerNotReadyError: it does not start, for instance because its data are damaged.
    """
    directory = os.path.realpath(path)
    with _guard:
        server = _servers.setdefault(directory, _Server(directory))
    with server.lock:
        try:
            if server.stop is None:
                beside(lambda: _start(server, path, untrusted), "milvus-profiles lite")
            else:
                check_shared(path, untrusted)
        except MilvusProfilesError:  # of which some are OSErrors too
            raise
        except OSError as error:
            raise ConfigError(
                f"Milvus Lite cannot use {printable(directory)}: {error.strerror or 'unknown error'}",
                hint="check the path and its permissions",
            ) from None
        return LiteLease(server)


def _start(server: _Server, path: str, untrusted: Untrusted | None) -> None:
    _check_path(server.directory)
    lite = import_lite()
    directory = make_ready(path, untrusted)
    try:
        database = lite.MilvusLite(directory)
        try:
            stop, port = _serve(lite, database)
        except BaseException:
            database.close()
            raise
    except (OSError, MilvusProfilesError):
        raise
    except Exception as error:
        raise _not_started(error, directory) from None
    if not server.pid:
        atexit.register(_stop_at_exit, server)
    server.port, server.pid, server.stop = port, os.getpid(), stop


def _serve(lite: Any, database: Any) -> tuple[Callable[[float | None], None], int]:
    """A server of an open database, as Milvus Lite's own but for its threads: how to stop it, and its port."""
    from .grpc_process import grpc

    need_threads()
    # One of the keepers stops the server, and the other one closes the database if the first one gets stuck.
    workers, keepers = Workers(_WORKERS, "milvus-profiles lite"), Workers(2, "milvus-profiles lite keeper")
    limit = [(f"grpc.max_{way}_message_length", _MESSAGE_LIMIT) for way in ("receive", "send")]
    running = grpc.server(cast("ThreadPoolExecutor", workers), options=limit)  # any executor does
    lite.milvus_pb2_grpc.add_MilvusServiceServicer_to_server(lite.MilvusServicer(database), running)
    port: int = running.add_insecure_port(f"{_HOST}:0")
    running.start()

    def stop_serving(grace: float | None) -> None:
        try:
            running.stop(grace).wait()
        except RuntimeError:
            running.stop(None)  # the grace takes a thread, and at the end of a process no new one can be started

    def stop(grace: float | None) -> None:
        wait([keepers.submit(stop_serving, grace)], (grace or 0.0) + _LIMIT)
        if workers.end(_LIMIT):
            database.close()
        else:
            # A call that does not end may hold what closing needs: what was written is in the database's log anyway.
            wait([keepers.submit(database.close)], _LIMIT)
        keepers.end(0.0)

    return stop, port


def _stop(server: _Server, grace: float | None) -> None:
    stop, server.stop = server.stop, None
    if stop is not None:
        stop(grace)


def _stop_at_exit(server: _Server) -> None:
    if server.pid == os.getpid():
        _stop(server, None)


def _check_path(directory: str) -> None:
    parent = os.path.dirname(directory)
    if not os.path.isdir(parent):
        raise ConfigError(
            f"the directory {printable(parent)} for the Milvus Lite database does not exist",
            # Without -p the shells of Windows make those above too.
            hint=f"make it: {command('mkdir', *([] if sys.platform == 'win32' else ['-p']), parent)}",
        )
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise ConfigError(
            f"{printable(directory)} is a file, and Milvus Lite keeps its data in a directory",
            hint="name another path that ends in .db (the single-file databases of Milvus Lite 2 cannot be opened)",
        )


def import_lite() -> Any:
    """Milvus Lite's module of its server; a ConfigError where there is none, or one that cannot be imported."""
    try:
        module = import_with_pymilvus("milvus_lite.adapter.grpc.server")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("milvus_lite."):
            raise MissingExtraError("the installed Milvus Lite is older than 3.0", hint=_INSTALL) from None
        what = "is not installed" if missing == "milvus_lite" else f"misses the module {missing}"
        raise MissingExtraError(f"Milvus Lite {what}", hint=_INSTALL) from None
    except ImportError as error:
        raise MissingExtraError(f"Milvus Lite cannot be imported: {printable(str(error))}", hint=_INSTALL) from None
    # It logs what it answers with an error too; where nobody listens to its log, that is not for the terminal.
    logging.getLogger("milvus_lite").addHandler(logging.NullHandler())
    return module


def _not_started(error: Exception, directory: str) -> MilvusProfilesError:
    if type(error).__name__ == "DataDirLockedError":
        lock = os.path.join(directory, _LOCK_FILE)
        return DatabaseInUseError(
            f"the Milvus Lite database {printable(directory)} is open elsewhere: {printable(lock)} is locked",
            hint="close it in the other process (or the pymilvus client in this one); "
            "a Milvus server takes several at once",
        )
    return ServerNotReadyError(
        f"Milvus Lite does not start on {printable(directory)}: {printable(str(error))[:300]}",
        hint="its data may be damaged: move the directory away and begin anew, or restore a copy",
    )


class Workers(Executor):
    """Threads for the server, which work to the very end of the process.

    All are there from the start, since at its end a process can start no new ones.  Python ends each ThreadPoolExecutor
    as soon as the main thread is through, and only then waits for the other threads.  A server on such an executor
    answers nothing from then on: a thread that still uses it waits for ever, and so does whoever stops the server.
    These threads are daemons, so that nothing waits for them but who asks.
    """

    def __init__(self, number: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = False
        self._threads = [
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True) for _ in range(number)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            self.end(0.0)
            raise none_left("Milvus Lite gets too few threads") from None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call a function; RuntimeError where they were told to end."""
        if self._ended:
            raise RuntimeError("the workers have ended")
        future: Future[T] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def end(self, timeout: float) -> bool:
        """Take nothing new, and let each thread end with what it does; whether all have ended within these seconds."""
        self._ended = True
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + timeout
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in started)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:  # it is for whoever waits for the answer
                future.set_exception(error)
        del job, future, call  # nothing of a call stays alive until the next one


def _after_fork_in_child() -> None:
    """Locks that another thread of the parent held are held for ever here, and what was being started is not."""
    global _guard
    _guard = threading.Lock()
    for directory, server in list(_servers.items()):
        server.lock = threading.Lock()
        if server.stop is None:
            del _servers[directory]
        else:
            # The child's own users are counted from here on, and cannot bring it to a stop.
            server.users = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
