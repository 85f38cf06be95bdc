"""A connection as its user holds it: a handle on a live channel that others may hold too."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..connectable import Connectable
from ..errors import MilvusProfilesError
from ..masked import MaskedFields
from .clients import client_of, taken_from
from .shared_base import Handle

if TYPE_CHECKING:
    import grpc
    from pymilvus import MilvusClient
    from typing_extensions import Self

    from .shared_channel import SharedChannel

__all__ = ["Connection"]


class Connection(Handle["SharedChannel"]):
    """A handle on a live connection; returned by :func:`milvus_profiles.connect`, usable from any thread.

    Attributes are fixed at connecting; a handle is closed once and for all by :meth:`close`, by the end of its ``with``
    block, or by ``disconnect``.
    """

    _again = "milvus_profiles.connect()"
    _forked_hint = "call milvus_profiles.connect() again in the child process"

    def __init__(self, live: SharedChannel, profile: Connectable) -> None:
        super().__init__(live, profile)
        self._lock = threading.Lock()

    @property
    def channel(self) -> grpc.Channel:
        """An authenticated :class:`grpc.Channel`, on which every Milvus stub works.

        Calls carry the credentials, the database and the identifier of the handshake; closing it closes the handle.

        Raises:
            ConnectionClosedError: on every call once the handle is closed.
            ForkError: in a forked child.
        """
        with self._lock:
            channel: grpc.Channel = self._own_channel(self.close)
            return channel

    def ping(self, timeout: float | None = None) -> float:
        """Ask the server for its version and wait for the answer.

        Args:
            timeout: seconds to wait; None takes the profile's.

        Returns:
            Seconds that it took.

        Raises:
            ConnectionClosedError: the handle is closed.
            UnreachableError, AuthenticationError, ...: the server did not answer, as for ``connect``.
        """
        self._gate()
        began = time.perf_counter()
        try:
            self._live.ping(self.channel, self._profile.timeout if timeout is None else timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error
        return time.perf_counter() - began

    def client(self, **arguments: Any) -> MilvusClient:
        """pymilvus's client on the channel of this handle (extra: ``pymilvus``): the same one at each call.

        It has no TCP connection and no login of its own.  Its calls are those of :attr:`channel`: they carry the token
        as it is now, end after ``call_timeout``, are repeated as ``retry`` says, reads only, and never by pymilvus
        itself.  It ends with this handle and with ``disconnect``; ``client().close()`` closes nothing else.

        Args:
            arguments: keyword arguments for MilvusClient, which win over those of the profile.  ``db_name`` gives the
                client of another database, on the same channel.  Others (``token``, ``uri`` …) give another client at
                each call, with a connection of its own, which this handle closes too.

        Raises:
            ConfigError: pymilvus is not installed.
            ConnectionClosedError: the handle is closed.
        """
        from ..channel.pymilvus_client import open_client

        # Here, so that no frame of a traceback shows a token of the caller's.
        masked, arguments = MaskedFields(arguments), {}
        found: MilvusClient = client_of(self, open_client, masked)
        return found

    def close(self) -> None:
        """Give the handle back; the channel stays open for others, and until ``disconnect``.  Idempotent."""
        self._closed = True
        # Each time: whoever did it first may have been interrupted.
        for own in taken_from(self):
            with contextlib.suppress(Exception):
                own.close()
        self._live.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
