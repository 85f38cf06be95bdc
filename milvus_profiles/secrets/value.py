"""How a secret is written, held while it comes in, named in the keyring, and kept; not where it comes from.

What sees secrets in the clear raises nothing: the caller, whose locals hold only masked values, does.  The keyring
keeps a secret under where it may be sent and for whom, never under the profile's alias, which whoever writes a
configuration file chooses.  A command may say until when its token is good, and a pipe can be read only once;
everything else is fetched anew each time, though callers that come while it is being fetched share the answer.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Hashable

from ..background import SingleFlight
from ..endpoint import Endpoint
from ..errors import ConfigError
from ..masked import SECRET_LONGEST, SecretText, line_of

SIZE_LIMIT = SECRET_LONGEST
"""Bytes that a file or the output of a command may have."""


def make_token(user: str | None, password: SecretText) -> SecretText:
    """The token that Milvus takes; without a user the password is a whole token already."""
    return password if user is None else SecretText(f"{user}:{password.reveal()}")


class Received:
    """The bytes of a secret as they come in; it shows none of them."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def read_from(self, read: Callable[[int], bytes]) -> bool:
        """Read once, up to one byte more than the limit; False at the end of what there is.

        ``read`` reads at most so many bytes, as os.read does of a descriptor; what it raises is passed on.
        """
        before = len(self._data)
        self._data += read(SIZE_LIMIT + 1 - before)
        return len(self._data) > before

    @property
    def too_large(self) -> bool:
        return len(self._data) > SIZE_LIMIT

    def text(self) -> SecretText | None:
        """The line that came; None if it is not UTF-8."""
        try:
            return line_of(SecretText(self._data.decode("utf-8")))
        except UnicodeDecodeError:
            return None


SERVICE = "milvus-profiles"
"""The service under which all secrets of this package are kept."""


def keyring_account(endpoint: Endpoint, user: str | None) -> str:
    """The keyring's username for the secret of a canonical endpoint and a user, None for a whole token.

    It is ``tls|HOST|PORT|USER`` or ``plain|HOST|PORT|USER`` (an IPv6 host without brackets), ``unix|REALPATH||USER``
    for a Unix socket; the last part is empty for a whole token.  A ``|`` or ``%`` in a socket's path is
    percent-encoded.  Milvus Lite, which has no authentication, is a ConfigError.
    """
    if endpoint.kind == "lite":
        raise ConfigError(
            "Milvus Lite has no authentication, so no secret is kept for it",
            hint="remove user, token and password from the profile",
        )
    # The user stands last and verbatim: no host, port or encoded path holds a bar, so whatever follows the third bar
    # is the user, bars included.
    if endpoint.kind == "unix":
        path = os.path.realpath(endpoint.path).replace("%", "%25").replace("|", "%7C")
        return f"unix|{path}||{user or ''}"
    return f"{'tls' if endpoint.tls else 'plain'}|{endpoint.host}|{endpoint.port}|{user or ''}"


FOR_EVER = math.inf
"""The expiry of what cannot be fetched a second time."""

# A token must outlast the call that it is sent with.
_LEEWAY = 10.0

Fetched = tuple[SecretText, float | None]
"""A secret and the time until which it may be kept: seconds since the epoch, FOR_EVER, or None for not at all."""


class SecretCache:
    """A store of secrets by key, safe for threads; the child of a fork starts with what its parent had kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Hashable, tuple[SecretText, float]] = {}
        self._fetching: SingleFlight[SecretText] = SingleFlight(self._lock)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        # The threads that held the lock or were fetching exist only in the parent.
        self._lock = threading.Lock()
        self._fetching = SingleFlight(self._lock)

    def get(
        self, key: Hashable, fetch: Callable[[], Fetched], *, now: Callable[[], float], refresh: bool
    ) -> SecretText:
        """What is kept under the key, or what fetching gives, by one thread at a time per key and without a lock held.

        The key is all that decides what is fetched, and its repr must not show a secret; ``now`` the clock, in seconds
        since the epoch.  ``refresh`` fetches although something is kept, unless for ever.  SecretUnavailableError where
        fetching failed, here or in the thread whose answer is shared.
        """
        with self._lock:
            secret, until = self._values.get(key, (None, 0.0))
            if secret is not None and (until == FOR_EVER or (not refresh and now() < until - _LEEWAY)):
                return secret
            fetching = self._fetching
            flight = fetching.join(key)

        def kept() -> SecretText:
            secret, until = fetch()
            moment = now()
            with self._lock:
                # Keys change when a variable does, so what has expired would otherwise stay for ever.
                self._values = {k: kept for k, kept in self._values.items() if k != key and moment < kept[1]}
                if until is not None:
                    self._values[key] = (secret, until)
            return secret

        return fetching.land(key, flight, kept)

    def forget(self) -> None:
        with self._lock:
            self._values = {}
