"""A profile as environment variables, under the names that the tools in the field read, and programs run with them.

``MILVUS_URI``, ``MILVUS_ADDRESS``, ``MILVUS_TOKEN``, ``MILVUS_DB``, ``MILVUS_USER`` and ``MILVUS_PASSWORD`` are read by
many programs and standardised by none.  A program runs in place of this process, or beside a Milvus Lite that lives as
long as it does: where a process can be replaced, it is; then signals, job control and the exit status are the program's
own.  Beside a server in this process the program is a child, and this process passes on what it is told.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from ..endpoint import Endpoint
from ..masked import MaskedMapping, SecretText

if TYPE_CHECKING:
    from ..profile import Profile

PREFIX = "MILVUS_"
"""What the names begin with, unless another prefix is wanted."""

LEAVES = ("URI", "ADDRESS", "TOKEN", "DB", "USER", "PASSWORD")
SECRET_LEAVES = ("TOKEN", "PASSWORD")

# What would contradict a variable of ours, or be taken for one: read by this package and by others.
_OTHERS = ("TOKEN_FILE", "DB_NAME", "API_KEY", "USERNAME", "URL", "HOST", "PORT", "DATABASE")


def variables(
    profile: Profile, endpoint: Endpoint, token: SecretText | None, *, prefix: str = PREFIX, address: bool = False
) -> MaskedMapping:
    """The variables of a profile (for Milvus Lite of its server), those of the secret only with a whole token.

    With ``address`` also ``MILVUS_ADDRESS``, the URI under the name that Attu and servers of MCP read: not in what is
    written down, where it would have to be kept the same by hand.
    """
    found = {"URI": endpoint.uri}
    if address:
        found["ADDRESS"] = endpoint.uri
    if profile.db_name is not None:
        found["DB"] = profile.db_name
    if token is not None:
        # A token with a colon is user:password to every Milvus; an API key has none.
        user, colon, password = token.reveal().partition(":")
        found["TOKEN"] = token.reveal()
        if colon:
            found |= {"USER": user, "PASSWORD": password}
    elif profile.credential is not None and profile.credential.user is not None:
        found["USER"] = profile.credential.user
    return MaskedMapping({prefix + leaf: value for leaf, value in found.items()})


def superseded(*, prefix: str = PREFIX) -> tuple[str, ...]:
    """Names that must not be inherited beside :func:`variables`: the rest of another connection.

    A token that is left over from somewhere else would be sent to this profile's server.
    """
    names = [prefix + leaf for leaf in (*LEAVES, *_OTHERS)]
    if prefix == PREFIX:
        # It beats MILVUS_URI, so a child that reads profiles would go elsewhere.
        names.append("MILVUS_PROFILE")
    return tuple(names)


def unsaid(profile: Profile) -> tuple[str, ...]:
    """The settings of a profile that no variable says, by their names in a file."""
    fields = ("ca", "cert", "key", "server_name")
    names = tuple(f"ssl.{name}" for name in fields if getattr(profile.tls, name, None) is not None)
    return names if profile.proxy is None else (*names, "proxy")


# --- programs ---------------------------------------------------------------------------------------------------------

SIGNAL_STATUS = 128
"""What a shell adds to the number of the signal that ended a program."""

if sys.platform == "win32":
    import errno
    import subprocess

    from ..secrets.command import find_program

    def replace(command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
        """Windows replaces no process: run the program and end with its status."""
        sys.exit(run_child(command, env))

    @contextlib.contextmanager
    def holding_signals() -> Iterator[None]:
        """Nothing to hold on Windows, where Ctrl+C reaches the program as well."""
        yield

    def run_child(command: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a program, searched for in PATH and not in the current directory, and return its status."""
        if (program := find_program(command[0], env)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        # What is pressed reaches the program too, and is its business: this process waits for what comes of it.
        keys = (signal.SIGINT, signal.SIGBREAK)
        before = {number: signal.signal(number, lambda *_: None) for number in keys}
        try:
            status = subprocess.Popen([program, *command[1:]], env=dict(env)).wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        # What ended by a fault has a number that C calls negative.
        return status - (1 << 32) if status >= 1 << 31 else status

else:
    # Python ignores these from its start, and what is ignored stays so in a new program.
    _RESTORED = tuple(getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name))
    _FORWARDED = frozenset(
        (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
    )
    _WATCHED = _FORWARDED | {signal.SIGCHLD}
    # A terminal sends these to every process in its foreground.
    _FROM_TERMINAL = frozenset((signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))

    def replace(command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
        """Become another program, which is searched for in PATH, with this whole environment.

        Raises:
            OSError: it cannot be run.  The frames of the error hold the environment: let it go no further.
        """
        before = {number: signal.signal(number, signal.SIG_DFL) for number in _RESTORED}
        try:
            os.execvpe(command[0], list(command), dict(env))  # noqa: S606
        finally:  # it could not be run: a closed socket must not end this process
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def holding_signals() -> Iterator[None]:
        """Keep signals waiting until :func:`run_child` passes them on.

        To be entered before threads are started: each inherits what is held, and would be interrupted otherwise.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run_child(command: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a program as :func:`replace`, and pass on to it the signals that this process gets.

        To be called within :func:`holding_signals`.

        Returns:
            Its exit status; 128 + n where signal n ended it, or came before it was started.
        """
        if early := signal.sigpending() & _FORWARDED:
            number = int(min(early))
            signal.sigwait({number})  # taken, so that it does not end this process once signals are let in again
            return SIGNAL_STATUS + number
        # Not fork: gRPC's threads run, and a child of theirs must not run Python code.
        child = os.posix_spawnp(command[0], list(command), dict(env), setsigmask=(), setsigdef=_RESTORED)
        while True:
            number, reached_child = _next_signal()
            if number != signal.SIGCHLD:
                if not reached_child:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, number)
                continue
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended == child:
                return SIGNAL_STATUS + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _next_signal() -> tuple[int, bool]:
        """The next signal, and whether the child got it too, since a terminal sent it."""
        if hasattr(signal, "sigwaitinfo"):
            info = signal.sigwaitinfo(_WATCHED)
            # A positive code means the kernel: for these signals, a key on the terminal or its end.
            return info.si_signo, info.si_code > 0 and info.si_signo in _FROM_TERMINAL
        number = signal.sigwait(_WATCHED)  # macOS
        return number, number in _FROM_TERMINAL and os.isatty(0)
