"""Which channels are open in this process: one for each key, opened once, shared by handles.

One lock guards the tables and is held for nothing else: no name is resolved, no secret asked for and no socket opened
under it, so one dead address delays no other alias.  What opening means is the caller's; this module counts, waits
and hands out.
"""

from __future__ import annotations

import atexit
import copy
import os
import threading
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ..endpoint import Endpoint
from ..profile import fold_alias

__all__ = ["ConnectionInfo", "Live", "Registry"]


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """An open channel.

    Attributes:
        alias: its profile; ``"anonymous"`` for one that was opened by an address alone.
        endpoint: where it leads; ``str()`` gives the uri.
        db_name: the database; None for the server's default.
        handles: connections that hold it.
    """

    alias: str
    endpoint: Endpoint
    db_name: str | None
    handles: int


class Live(Protocol):
    """What the registry keeps: an open channel.

    Attributes:
        abandoned: set in a forked child: it is the parent's, to be neither used nor closed.
    """

    abandoned: bool

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""

    @property
    def fingerprint(self) -> Hashable:
        """What must be equal for the channel to serve a profile that was read anew."""

    def retire(self) -> None:
        """Close once the last handle is gone: a changed profile has a new channel."""

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""


L = TypeVar("L", bound=Live)


class Registry(Generic[L]):
    """The open channels of the process."""

    def __init__(self) -> None:
        self._reset()
        self._abandoned: list[Any] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)
        self._run_first_at_exit()

    def _run_first_at_exit(self) -> None:
        """Close channels before what they lead to: Milvus Lite's stop, registered later, would run before."""
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._shared: dict[Hashable, L] = {}
        self._opening: dict[Hashable, Future[L]] = {}
        self._dedicated: dict[int, L] = {}
        self._retired: dict[int, L] = {}

    def _after_fork(self) -> None:
        # gRPC's threads did not survive the fork, so closing would hang or reach the parent's sockets; the references
        # keep the garbage collector from closing for us.
        for live in self._all():
            live.abandoned = True
        self._abandoned.append((self._shared, self._opening, self._dedicated, self._retired))
        self._reset()

    def _at_exit(self) -> None:
        for live in self._take(lambda _: True):
            live.disconnect(0.0)

    # --- opening ---

    def shared(self, key: Hashable, fingerprint: Hashable, opener: Callable[[L | None], L]) -> L:
        """The channel of a key, opened if need be, by one caller for all that ask meanwhile.

        Args:
            key: what channels are shared by.
            fingerprint: what the open one must have.
            opener: opens it; called without any lock, with the channel that is open but has another fingerprint, if
                there is one.  It gives that one the new fingerprint and returns it, or returns another, and then the
                first retires.

        Raises:
            MilvusProfilesError: what ``opener`` raises, in every caller that waited for it.
        """
        while True:
            with self._lock:
                live = self._shared.get(key)
                if live is not None and live.fingerprint == fingerprint:
                    return live
                pending = self._opening.get(key)
                mine = pending is None
                if pending is None:
                    pending = self._opening[key] = Future()
            if mine:
                return self._open(key, pending, live, opener)
            try:
                live = pending.result()
            except Exception as error:
                # Each caller gets an exception of its own: a shared one would gather everybody's traceback.
                raise copy.copy(error) from None
            except BaseException:
                # The one who opened was interrupted, or this caller was: the latter leaves, the former is replaced.
                if not pending.done():
                    raise
                continue
            if live.fingerprint == fingerprint:
                return live

    def _open(self, key: Hashable, pending: Future[L], old: L | None, opener: Callable[[L | None], L]) -> L:
        try:
            live = opener(old)
        except BaseException as error:
            with self._lock:
                self._opening.pop(key, None)
            pending.set_exception(error)
            raise
        with self._lock:
            self._opening.pop(key, None)
            replaced = None
            # The same one again is in the table already, unless it was disconnected meanwhile: then it stays out.
            if live is not old:
                replaced = self._shared.get(key)
                self._shared[key] = live
                if replaced is not None:
                    self._retired[id(replaced)] = replaced
        pending.set_result(live)
        self._run_first_at_exit()
        if replaced is not None:
            replaced.retire()
        return live

    def dedicated(self, opener: Callable[[], L]) -> L:
        """A channel that is shared with nobody; the errors are those of :meth:`shared`."""
        live = opener()
        with self._lock:
            self._dedicated[id(live)] = live
        self._run_first_at_exit()
        return live

    # --- what is open ---

    def infos(self) -> list[ConnectionInfo]:
        """All open channels, in the order of their aliases."""
        with self._lock:
            lives = list(self._all())
        return sorted((live.info for live in lives), key=lambda info: (info.alias, str(info.endpoint)))

    def _all(self) -> Iterable[L]:
        yield from self._shared.values()
        yield from self._dedicated.values()
        yield from self._retired.values()

    # --- closing ---

    def forget(self, live: L) -> None:
        """Drop a channel that has closed by itself."""
        with self._lock:
            self._dedicated.pop(id(live), None)
            self._retired.pop(id(live), None)
            for key in [key for key, other in self._shared.items() if other is live]:
                del self._shared[key]

    def disconnect(self, alias: str | None, grace: float) -> None:
        """Close the channels of an alias, or all; returns when they are closed.

        Args:
            alias: any spelling of it; None for all.
            grace: seconds that calls in flight are waited for.
        """
        folded = None if alias is None else fold_alias(alias)
        lives = self._take(lambda live: folded is None or fold_alias(live.info.alias) == folded)
        if len(lives) <= 1:
            for live in lives:
                live.disconnect(grace)
            return
        # Side by side, so that the grace is that of one.
        threads = [threading.Thread(target=live.disconnect, args=(grace,), daemon=True) for live in lives]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _take(self, wanted: Callable[[L], bool]) -> list[L]:
        """Remove channels from the tables, so that the next connect opens a new one."""
        with self._lock:
            lives = [live for live in self._all() if wanted(live)]
            gone = {id(live) for live in lives}
            self._shared = {key: live for key, live in self._shared.items() if id(live) not in gone}
            for table in (self._dedicated, self._retired):
                for key in gone:
                    table.pop(key, None)
        return lives
