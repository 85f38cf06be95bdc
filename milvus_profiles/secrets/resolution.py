"""From a profile's credential to the token that goes into the header, whatever kind of reference it is.

Everything outside comes in through :class:`SecretContext`.  Every failure is one kind of error, which names the
profile, the kind of reference and the remedy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from ..connectable import CommandSource, Credential, EnvSource, FileSource, KeyringSource
from ..endpoint import Endpoint
from ..errors import SecretUnavailableError
from ..files.regular_file import FileFault, is_given, open_file, wait_readable
from ..log import log
from ..masked import MaskedMapping, SecretText, line_of, secret_fault
from ..text import ANSWERS, OPTIONS, Standing
from .os_keyring import OSKeyring
from .value import FOR_EVER, Fetched, Received, SecretCache, keyring_account, make_token

_HINT = "write the secret into that file, or name another one in the profile"


def read_file(path: str, seconds: float) -> Fetched:
    """Read a secret from a file, in full and bounded in size; a pipe may take so many seconds to give all of it.

    What came from a pipe that this process was started with is kept FOR_EVER: that gives it only once.
    """
    try:
        descriptor, status = open_file(path, pipes=True)
    except FileFault as refused:
        if refused.errno == errno.EISDIR:
            raise SecretUnavailableError(
                f"{path} is a directory", hint="name the file in it that holds the secret"
            ) from None
        reason = "does not exist" if refused.errno == errno.ENOENT else refused.reason
        raise SecretUnavailableError(f"the file {path} {reason}", hint=_HINT) from None
    try:
        if os.isatty(descriptor):
            # What is typed would be seen.
            raise SecretUnavailableError(f"{path} is a terminal", hint="pipe the secret in, or keep it in the keyring")
        received = Received()
        is_pipe = stat.S_ISFIFO(status.st_mode)
        # What is no pipe and has nothing to give now, such as /proc/kmsg, will have no end either.
        _receive(received, descriptor, path, seconds if is_pipe else None)
    finally:
        os.close(descriptor)
    if received.too_large:
        raise SecretUnavailableError(f"the file {path} is larger than 64 KiB", hint="a secret is one line of text")
    secret = received.text()
    if secret is None:
        raise SecretUnavailableError(f"the file {path} is not UTF-8 text", hint="a secret is one line of UTF-8 text")
    if (what := secret_fault(secret)) is not None:
        hint = "a pipe must have its writer before it is read, and gives what it holds only once" if is_pipe else _HINT
        raise SecretUnavailableError(f"the file {path} {what}", hint=hint)
    # A named pipe may have a writer for each reader; /dev/stdin and the shell's /dev/fd/63 have one in all.
    return secret, FOR_EVER if is_pipe and path.startswith(("/dev/", "/proc/")) else None


def _receive(received: Received, descriptor: int, path: str, seconds: float | None) -> None:
    deadline = time.monotonic() + (seconds or 0.0)
    # There the /dev/fd/63 of a shell is the very descriptor that it made, whose reads wait.
    waits = sys.platform == "darwin" and seconds is not None and is_given(path)
    try:
        while not received.too_large and _read_or_wait(received, descriptor, deadline, waits):
            pass
    except TimeoutError:
        if seconds is None:
            raise SecretUnavailableError(f"the file {path} is not a file that has an end", hint=_HINT) from None
        raise SecretUnavailableError(
            f"the pipe {path} did not end within {seconds:g} s", hint="let its writer write the secret and end"
        ) from None
    except OSError as error:
        raise SecretUnavailableError(f"the file {path} cannot be read: {error.strerror}", hint=_HINT) from None


def _read_or_wait(received: Received, descriptor: int, deadline: float, waits: bool) -> bool:
    """False at the end of the file."""
    try:
        if waits:
            wait_readable(descriptor, deadline)
        return received.read_from(partial(os.read, descriptor))
    except BlockingIOError:
        wait_readable(descriptor, deadline)
        return True


_KEPT = SecretCache()


@dataclass(frozen=True)
class SecretContext:
    """What resolving needs to know of the world.

    Attributes:
        env: the process's environment; it is copied and masked.
        alias: the profile, for messages; empty for a connection without one.
        now: the clock, in seconds since the epoch.
        time_limit: seconds that a command or a pipe may take.
        terminal: held while a command may ask on the terminal; None gives it none.
    """

    env: Mapping[str, str]
    keyring: OSKeyring
    alias: str
    now: Callable[[], float] = time.time
    verbose_stderr: bool = False
    time_limit: float = 30.0
    standing: Standing = field(default_factory=Standing)
    terminal: Callable[[], AbstractContextManager[None]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.env, MaskedMapping):
            object.__setattr__(self, "env", MaskedMapping(self.env))


@dataclass(frozen=True)
class SecretStatus:
    """Whether a secret is there, its kind, and the dotted name of the keyring's backend where that is asked.

    A file is not read and a command not run for this: they are ``"present"`` if the file or the program exists.
    """

    state: Literal["present", "missing"]
    kind: Literal["none", "keyring", "inline", "env", "file", "command"]
    backend: str | None = None


def resolve(
    credential: Credential | None, endpoint: Endpoint, context: SecretContext, *, refresh: bool = False
) -> SecretText | None:
    """The whole token of a credential: ``user:password``, or the token itself; None of None.

    It blocks while it reads files, runs commands or waits for the keyring, whose entries are bound to the endpoint that
    the token will be sent to.  ``refresh`` gets it anew although a command's result is still kept, because the server
    refused it.  SecretUnavailableError where it cannot be had.
    """
    if credential is None:
        return None
    with _naming(credential, endpoint, context):
        token = make_token(credential.user, _secret(credential, endpoint, context, refresh))
    log("secret", alias=context.alias, kind=credential.kind)
    return token


def status(credential: Credential | None, endpoint: Endpoint, context: SecretContext) -> SecretStatus:
    """Whether a secret is there, without showing it; SecretUnavailableError where the keyring cannot tell."""
    if credential is None:
        return SecretStatus("missing", "none")
    source, env = credential.source, context.env
    backend = None
    if isinstance(source, KeyringSource):
        with _naming(credential, endpoint, context):
            there = context.keyring.get(keyring_account(endpoint, credential.user)) is not None
            backend = context.keyring.backend()
    elif isinstance(source, EnvSource):
        there = bool(env.get(source.env))
    elif isinstance(source, FileSource):
        there = os.path.exists(source.file) and not os.path.isdir(source.file)
    elif isinstance(source, CommandSource):
        from .command import find_program

        program = find_program(source.command[0], env)
        there = program is not None and os.access(program, os.X_OK)
    else:
        there = True
    return SecretStatus("present" if there else "missing", credential.kind, backend)


def takes_time(credential: Credential) -> bool:
    """Whether finding the secret takes about as long as a network: the keyring is asked, or a program run."""
    return isinstance(credential.source, (KeyringSource, CommandSource))


def forget() -> None:
    """Drop the results of commands that the process keeps until they expire, and what it read from pipes."""
    _KEPT.forget()


@contextlib.contextmanager
def _naming(credential: Credential, endpoint: Endpoint, context: SecretContext) -> Iterator[None]:
    try:
        yield
    except SecretUnavailableError as error:
        who = f"profile {context.alias!r}" if context.alias else f"the connection to {endpoint}"
        raise SecretUnavailableError(f"{who} ({credential.kind}): {error.message}", hint=error.hint) from None


def _secret(credential: Credential, endpoint: Endpoint, context: SecretContext, refresh: bool) -> SecretText:
    source = credential.source
    if isinstance(source, KeyringSource):
        account = keyring_account(endpoint, credential.user)
        if (value := context.keyring.get(account)) is None:
            raise SecretUnavailableError(f"the keyring has no secret for {account}", hint=_stored(context))
        return _checked(value, f"the keyring's secret for {account}", _stored(context))
    if isinstance(source, EnvSource):
        if source.env not in context.env:
            raise SecretUnavailableError(f"the variable {source.env} is not set", hint=f"set {source.env}")
        return _checked(SecretText(context.env[source.env]), f"the variable {source.env}", "set it to one line of text")
    if isinstance(source, FileSource):
        path = source.file
        return _KEPT.get(("file", path), lambda: read_file(path, context.time_limit), now=context.now, refresh=refresh)
    if isinstance(source, CommandSource):
        return _from_command(source, credential.user, endpoint, context, refresh)
    return _checked(source, "the text in the configuration", _stored(context))


def _checked(value: SecretText, where: str, hint: str) -> SecretText:
    value = line_of(value)
    if (what := secret_fault(value)) is not None:
        raise SecretUnavailableError(f"{where} {what}", hint=hint)
    return value


def _stored(context: SecretContext) -> str:
    if context.standing.prefix == ANSWERS:
        return "correct how you sign in"
    if context.standing.prefix == OPTIONS:
        return "give it with --password-stdin or --token-stdin"
    return f"store the secret with {context.standing.command('secret', 'set', context.alias or 'ALIAS')}"


def _from_command(
    command: CommandSource, user: str | None, endpoint: Endpoint, context: SecretContext, refresh: bool
) -> SecretText:
    from .command import run_command, variables

    env = variables(command, context.env, terminal=context.terminal is not None)
    # Masked as a whole: arguments and variables may be secrets themselves.
    key = SecretText(repr((command.command, command.directory, list(env.items()), endpoint, user)))
    return _KEPT.get(
        key,
        lambda: run_command(
            command,
            env,
            seconds=context.time_limit,
            show_stderr=context.verbose_stderr,
            terminal=context.terminal,
        ),
        now=context.now,
        refresh=refresh,
    )
