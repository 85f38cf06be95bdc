"""How the command line reaches secrets: with more patience on a terminal, and never through an argument."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..errors import ConfigError, UsageError
from ..masked import SecretText, secret_fault
from ..secrets.os_keyring import OSKeyring, keyring_timeout
from ..secrets.resolution import SecretContext, resolve
from ..secrets.terminal import kept
from ..secrets.value import SIZE_LIMIT, Received, line_of
from ..text import Standing, printable
from .asking import ask_hidden
from .output import note
from .session import current

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..endpoint import Endpoint
    from ..profile import Profile

__all__ = ["ask_secret", "context", "keyring", "read_secret", "token_of"]


_PATIENCE = 60.0
"""Seconds for a command that may ask a person, as for the keyring."""


def keyring(profiles: Profiles | None) -> OSKeyring:
    """The keyring of this run, with the time limit that fits: a person can answer its prompt, a pipe cannot.

    The settings of the profiles name further backends; None where they could not be loaded.
    """
    session = current()
    if session.keyring is None:
        session.keyring = OSKeyring(
            extra_backends=profiles.settings.keyring_backends if profiles is not None else (),
            timeout=keyring_timeout(session.env, interactive=session.interactive),
            on_wait=(lambda: note("waiting for the keyring ...")) if session.interactive else None,
            terminal=kept,
        )
    return session.keyring


def context(alias: str, *, among: int = 1, standing: Standing | None = None) -> SecretContext:
    """What resolving a secret of a profile needs.

    Args:
        alias: the profile.
        among: how many are resolved side by side: of several commands none may ask on the terminal.
        standing: where it stands, if that is not among the profiles in force.
    """
    session = current()
    profiles = session.profiles()
    asks = session.interactive and not session.json and among == 1
    return SecretContext(
        env=session.env,
        keyring=keyring(profiles),
        alias=alias,
        verbose_stderr=session.verbose > 0,
        standing=standing or profiles.standing,
        time_limit=_PATIENCE if asks else SecretContext.time_limit,
        terminal=kept if asks else None,
    )


def token_of(profile: Profile) -> SecretText | None:
    """The token of a profile, wherever it says that its secret is; None where it has none."""
    if profile.credential is None:
        return None
    return resolve(profile.credential, profile.endpoint, context(profile.alias))


def ask_secret(endpoint: Endpoint, user: str | None, more: str = "") -> SecretText:
    """What somebody types at a hidden prompt, which may be nothing: the password of a user, or a whole token (None)."""
    what = f"Password of {user}" if user else "Token (API key or user:password)"
    # It is asked for twice only where a typing error could lock somebody out: not here, since the server tells at the
    # first test.
    text = f"{printable(what)} at {endpoint.uri}{more}"
    return line_of(ask_hidden(text))


def read_secret(endpoint: Endpoint, user: str | None, option: str) -> SecretText:
    """One secret: a hidden prompt on a terminal, else one line of standard input.

    Args:
        endpoint: what the secret is for.
        user: whose password it is; None for a whole token.
        option: the option that asked for it, for messages.

    Raises:
        UsageError: standard input is closed.
        ConfigError: what is given is no secret.
    """
    if sys.stdin is None:
        raise UsageError(f"{option} reads standard input, which is closed", hint=f"pipe the secret: … | … {option}")
    secret = ask_secret(endpoint, user) if sys.stdin.isatty() else _from_pipe(option)
    if (fault := secret_fault(secret)) is not None:
        raise ConfigError(
            f"the secret on standard input {fault} ({option})",
            hint=f'a secret is one line of text: printf %s "$SECRET" | milvus-profiles … {option}',
        )
    return secret


def _from_pipe(option: str) -> SecretText:
    received = Received()
    while not received.too_large and received.read_from(sys.stdin.buffer.read):
        pass
    if received.too_large:
        raise ConfigError(f"standard input is longer than {SIZE_LIMIT} bytes ({option})", hint="pipe one line")
    if (secret := received.text()) is None:
        raise ConfigError(f"standard input is not UTF-8 ({option})", hint="pipe one line of text")
    return secret
