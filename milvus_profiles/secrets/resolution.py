"""From a profile's credential to the token that goes into the header, whatever kind of reference it is.

Everything outside comes in through :class:`SecretContext`.  Every failure is one kind of error, which names the
profile, the kind of reference and the remedy.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from ..connectable import CommandSource, Credential, EnvSource, FileSource, KeyringSource
from ..endpoint import Endpoint
from ..errors import SecretUnavailableError
from ..log import log
from ..masked import MaskedMapping, SecretText, secret_fault
from ..text import ANSWERS, OPTIONS, Standing
from .account import keyring_account
from .cache import SecretCache
from .file import read_file
from .os_keyring import OSKeyring
from .value import line_of, make_token

__all__ = ["SecretContext", "SecretStatus", "forget", "resolve", "status", "takes_time"]

_KEPT = SecretCache()


@dataclass(frozen=True)
class SecretContext:
    """What resolving needs to know of the world.

    Attributes:
        env: the process's environment; it is copied and masked.
        keyring: the operating system's keyring.
        alias: the profile, for messages; empty for a connection without one.
        now: the clock, in seconds since the epoch.
        verbose_stderr: let commands write to our standard error.
        time_limit: seconds that a command or a pipe may take.
        standing: where the profile stands, for remedies.
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
    """Whether a secret is there.

    Attributes:
        state: whether it is there.  A file is not read and a command not run for this: they are ``"present"`` if the
            file or the program exists.
        kind: as in :class:`~milvus_profiles.profile.Credential`; ``"none"`` for a profile without credentials.
        backend: dotted name of the keyring's backend; None where the keyring is not asked.
    """

    state: Literal["present", "missing"]
    kind: Literal["none", "keyring", "inline", "env", "file", "command"]
    backend: str | None = None


def resolve(
    credential: Credential | None, endpoint: Endpoint, context: SecretContext, *, refresh: bool = False
) -> SecretText | None:
    """The whole token of a credential: ``user:password``, or the token itself.

    It blocks while it reads files, runs commands or waits for the keyring.

    Args:
        credential: what the profile says; None gives None.
        endpoint: where the token will be sent; the keyring's entries are bound to it.
        context: the environment and the keyring.
        refresh: get it anew although a command's result is still kept, because the server refused it.

    Raises:
        SecretUnavailableError: it cannot be had.
    """
    if credential is None:
        return None
    with _naming(credential, endpoint, context):
        token = make_token(credential.user, _secret(credential, endpoint, context, refresh))
    log("secret", alias=context.alias, kind=credential.kind)
    return token


def status(credential: Credential | None, endpoint: Endpoint, context: SecretContext) -> SecretStatus:
    """Whether a secret is there, without showing it.

    Raises:
        SecretUnavailableError: the keyring cannot tell: it is absent, locked, silent, or not one that is allowed.
    """
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


def takes_time(credential: Credential | None) -> bool:
    """Whether finding the secret takes about as long as a network: the keyring is asked, or a program run."""
    return credential is not None and isinstance(credential.source, (KeyringSource, CommandSource))


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
        return _from_keyring(credential, endpoint, context)
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


def _from_keyring(credential: Credential, endpoint: Endpoint, context: SecretContext) -> SecretText:
    account = keyring_account(endpoint, credential.user)
    value = context.keyring.get(account)
    if value is None:
        raise SecretUnavailableError(f"the keyring has no secret for {account}", hint=_stored(context))
    return _checked(value, f"the keyring's secret for {account}", _stored(context))


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
