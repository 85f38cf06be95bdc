"""The metadata that every call to a Milvus carries: credentials, database, identifier, and the ids of the request.

A :class:`TokenHolder` belongs to one connection and outlives its channels, so that a rotated token needs no
reconnect.  It knows neither where a token comes from nor what a call is.

Source of the keys: Milvus's proxy reads ``authorization`` (base64, without "Bearer"), ``dbname``, ``identifier``,
``client-request-id`` (used as the trace id where it is 32 hexadecimal digits) and ``client-request-unixmsec``.
"""

from __future__ import annotations

import base64
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from ..masked import SecretText, even_half_made

Metadata = tuple[tuple[str, str | bytes], ...]
MetadataLike = Iterable[tuple[str, str | bytes]]

AUTHORIZATION = "authorization"


@even_half_made
class TokenHolder:
    """Holds the token of a connection, if it has one, and makes the metadata of its calls.

    What it holds lives in a closure: ``vars()``, ``repr()`` and pickle do not show it.  All methods may be called
    from any thread.
    """

    __slots__ = (
        "_count", "_db_name", "_fixed", "_generation", "_guard", "_identifier", "_prefix", "_token", "_wall_clock",
    )  # fmt: skip

    def __init__(
        self,
        token: SecretText | None = None,
        *,
        db_name: str | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = threading.Lock()
        self._db_name = db_name
        self._identifier: str | None = None
        self._token = token
        self._generation = 0
        self._wall_clock = wall_clock
        # Half chance, half count: unique without the cost of a random id for every call, and a valid trace id.
        self._prefix, self._count = os.urandom(8).hex(), itertools.count(1)
        self._fixed: Callable[[], Metadata]
        self._fix()

    def _fix(self) -> None:
        token = None if self._token is None else base64.b64encode(self._token.reveal().encode("utf-8")).decode("ascii")
        pairs = ((AUTHORIZATION, token), ("dbname", self._db_name), ("identifier", self._identifier))
        fixed = tuple((key, value) for key, value in pairs if value is not None)
        self._fixed = lambda: fixed

    @property
    def generation(self) -> int:
        """Counts the tokens so far: tells whether the one that a call went out with is still the current one."""
        return self._generation

    @property
    def token(self) -> SecretText | None:
        """The token that calls carry now; None for none."""
        return self._token

    @property
    def has_token(self) -> bool:
        """Whether calls carry credentials."""
        return self._token is not None

    @property
    def db_name(self) -> str | None:
        """The database that calls name; None for the server's default."""
        return self._db_name

    @property
    def identifier(self) -> str | None:
        """What the server's answer to Connect called this client; None before that."""
        return self._identifier

    @identifier.setter
    def identifier(self, value: int | str | None) -> None:
        with self._guard:
            self._identifier = None if value is None else str(value)
            self._fix()

    def set_token(self, token: SecretText | None) -> bool:
        """Use this token from the next call on, None for none; whether it differs from the one before."""
        with self._guard:
            if token == self._token:
                return False
            self._token = token
            self._fix()
            # Last: a call that reads the new number must find the new token.
            self._generation += 1
            return True

    def metadata(self) -> Metadata:
        """The metadata of one call, with fresh ids: keep it in no variable, a traceback would show it."""
        return (
            *self._fixed(),
            ("client-request-id", f"{self._prefix}{next(self._count):016x}"),
            ("client-request-unixmsec", str(int(self._wall_clock() * 1000))),
        )

    def merged(self, own: MetadataLike | None) -> Metadata:
        """The metadata of one call to which the caller gave some of his own; his keys win."""
        if not own:
            return self.metadata()
        own = tuple(own)
        given = {key for key, _ in own}
        return (*(pair for pair in self.metadata() if pair[0] not in given), *own)

    def credentials_only(self) -> Metadata:
        """The metadata of the Connect call, which comes before there is an identifier and names no database."""
        return tuple(pair for pair in self._fixed() if pair[0] == AUTHORIZATION)

    def __repr__(self) -> str:
        return f"<TokenHolder: {'a token' if self.has_token else 'no token'}, database {self._db_name!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a TokenHolder is not pickled: let the other process connect for itself")
