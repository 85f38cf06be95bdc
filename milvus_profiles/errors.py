"""The one error tree: what can go wrong between a name and a live connection.

Every class has a stable ``code`` (the ``error`` key of the command line's JSON) and an ``exit_status``; every
instance says what happened, where (``location``), and what to do next (``hint``).  Nothing here may know how errors
are rendered, and no message may ever hold a secret: whoever raises masks first, and what is not known to be one but
looks like it is masked here.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .masked import even_half_made, without_secrets
from .text import page_of, printable

if TYPE_CHECKING:
    from .pool_stats import PoolStats


@even_half_made
@dataclass(frozen=True, slots=True)
class Location:
    """Where a value stands: a place in a file, an environment variable, or an argument.

    Attributes:
        source: path of the file, name of the variable (``$NAME``) or of the option.
        line: line in the file, counted from 1; None outside files.
        column: column in the line, counted from 1 in characters; None outside files.
        excerpt: the offending line with secrets masked, without its newline; None where there is nothing to show.
        mark: offset in the excerpt at which the caret points, where masking or shortening moved it away from the
            column; None follows the column.
    """

    source: str
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None
    mark: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.source
        return f"{self.source}:{self.line}" if self.column is None else f"{self.source}:{self.line}:{self.column}"

    def caret(self) -> str | None:
        """The excerpt and, below it, a caret under the column; None without an excerpt."""
        if self.excerpt is None:
            return None
        if self.mark is None and self.column is None:
            return self.excerpt
        before = self.excerpt[: (self.column or 1) - 1 if self.mark is None else self.mark]
        return f"{self.excerpt}\n{''.join(_blank(c) for c in before)}^"


def _blank(char: str) -> str:
    """White space as wide as a character on a terminal."""
    if char == "\t":
        return char  # repeated, so that the caret stands right whatever the width of a tab is
    if char.isascii():
        return " "
    if unicodedata.combining(char):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "


class MilvusProfilesError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        message: what happened, in one sentence; never holds a secret.
        hint: what to do next; None where there is nothing to say.
        location: the place that caused it.

    Attributes:
        stage: the step of connecting that fails so, as ``profile test`` calls it; None where it is none of them.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1
    stage: str | None = None

    # The defaults are what is shown before the error is made.
    message: str = ""
    hint: str | None = None
    location: Location | None = None

    def __init__(self, message: str, *, hint: str | None = None, location: Location | None = None) -> None:
        self.message = without_secrets(message)
        super().__init__(self.message)
        self.hint = hint and without_secrets(hint)
        self.location = location
        # What a traceback ends with, from Python 3.11 on; not in the text, which programs match and put into others.
        self.__notes__ = [f"see: {page_of(self.code)}"]

    def __str__(self) -> str:
        # For programs' logs and tracebacks: what stands in an error came from files and servers.
        message = printable(self.message)
        parts = [f"{printable(str(self.location))}: {message}" if self.location else message]
        if self.location and (caret := self.location.caret()):
            parts.append("\n".join(f"    {line}" for line in caret.splitlines()))
        if self.hint:
            parts.append(f"hint: {printable(self.hint)}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (multiprocessing, celery): keyword-only arguments need help to survive.
        return _rebuild, (type(self), self.__dict__.copy())


def _rebuild(cls: type[MilvusProfilesError], state: dict[str, Any]) -> MilvusProfilesError:
    error = cls.__new__(cls, state["message"])
    error.args = (state["message"],)
    error.__dict__.update(state)
    return error


class UsageError(MilvusProfilesError):
    """The command line or the arguments of a call contradict each other."""

    code = "usage"
    exit_status = 2


class DeclinedError(MilvusProfilesError):
    """A question was answered with no, or there was nobody to ask."""

    code = "usage"


class ConfigError(MilvusProfilesError):
    """A file, a variable or an argument does not describe a valid profile."""

    code = "config"
    exit_status = 3
    stage = "config"


class MissingExtraError(ConfigError, ImportError):
    """A library that only some profiles and calls need is not installed, or cannot be used.

    The stage of a test is ``config``: the profile asks for what this machine does not have.
    """


class ParamError(ConfigError, ValueError):
    """An argument of a model such as ``Profile``, or of pymilvus's ``connections``, is unknown or wrong."""


class EditConflictError(MilvusProfilesError):
    """An edit was refused; the file is untouched."""

    code = "edit_conflict"
    exit_status = 3


class LockTimeoutError(EditConflictError, TimeoutError):
    """Another process holds the lock of the file for too long."""

    exit_status = 1


class UnknownProfileError(MilvusProfilesError, KeyError):
    """No profile has this alias."""

    code = "unknown_profile"
    exit_status = 3
    stage = "config"

    # KeyError would print the repr of the message.
    __str__ = MilvusProfilesError.__str__


class UntrustedError(MilvusProfilesError):
    """A project file that was merely found asks for something that needs trust."""

    code = "untrusted"
    exit_status = 5
    stage = "config"


class InsecureTransportError(MilvusProfilesError):
    """A secret would cross the network in plaintext."""

    code = "insecure"
    exit_status = 3
    stage = "config"


class SecretUnavailableError(MilvusProfilesError):
    """The token or password that the profile refers to could not be had."""

    code = "secret"
    exit_status = 4
    stage = "secret"


class UnreachableError(MilvusProfilesError, ConnectionError):
    """Nothing answered at the endpoint: name resolution, TCP, or a time-out."""

    code = "unreachable"
    exit_status = 6
    stage = "tcp"


class ConnectTimeoutError(UnreachableError, TimeoutError):
    """Nothing answered at the endpoint in the time that there was."""


class DatabaseInUseError(UnreachableError):
    """Another process has the Milvus Lite database open."""


class TLSError(MilvusProfilesError):
    """The TLS handshake failed, or one side speaks TLS and the other does not."""

    code = "tls"
    exit_status = 7
    stage = "tls"


class NotMilvusError(MilvusProfilesError):
    """Something answered that is not a Milvus."""

    code = "not_milvus"
    exit_status = 8
    stage = "grpc"


class ServerNotReadyError(MilvusProfilesError):
    """A Milvus answered, but it is still starting or it is unhealthy."""

    code = "not_ready"
    exit_status = 8
    stage = "grpc"


class AuthenticationError(MilvusProfilesError, PermissionError):
    """The server does not accept the token, or wants one and got none."""

    code = "auth"
    exit_status = 9
    stage = "auth"


class PermissionDeniedError(MilvusProfilesError, PermissionError):
    """The server knows the user and denies the call."""

    code = "permission"
    exit_status = 9
    stage = "auth"


class DatabaseNotFoundError(MilvusProfilesError):
    """The server has no database of that name."""

    code = "database"
    exit_status = 10
    stage = "database"


class ConnectionLimitError(MilvusProfilesError):
    """More connections than ``max_connections`` allows."""

    code = "limit"


class ThreadStartError(MilvusProfilesError):
    """The system gives no thread: a limit is reached, or the interpreter ends."""

    code = "limit"


class ConnectionClosedError(MilvusProfilesError):
    """The handle was closed, or its alias was disconnected."""

    code = "closed"


class PoolError(MilvusProfilesError):
    """A pool could not give a connection, or was given one that it does not wait for.

    Args:
        stats: what the pool looked like; None where it did not matter.
    """

    code = "pool"

    stats: PoolStats | None

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        location: Location | None = None,
        stats: PoolStats | None = None,
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.stats = stats


class PoolExhaustedError(PoolError):
    """All connections that the settings allow are in use, and no one more may wait for one."""


class PoolTimeoutError(PoolError, TimeoutError):
    """No connection was to be had within ``max_block_wait``, the connecting included."""


class PoolClosedError(PoolError):
    """The pool was closed."""


class ConnectFailedError(PoolError):
    """The pool could not connect; ``__cause__`` is what was found at the endpoint."""


class ForkError(MilvusProfilesError):
    """The connection cannot be used on this side of a fork."""

    code = "fork"
