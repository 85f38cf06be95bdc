"""How the command line reaches secrets: with more time on a terminal, and never through an argument.

An entry of the keyring belongs to an endpoint and a user: all profiles that lead there share it, whatever they are
called.  What becomes of it when a profile is stored, removed or led elsewhere is decided here.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..config.invalid import Findings
from ..errors import ConfigError, DeclinedError, MilvusProfilesError, UsageError
from ..masked import SecretText, line_of, secret_fault
from ..names import fold_alias, some
from ..secrets.os_keyring import OSKeyring, keyring_timeout
from ..secrets.resolution import SecretContext, resolve
from ..secrets.terminal import kept
from ..secrets.value import SIZE_LIMIT, Received, keyring_account
from ..text import Standing, printable
from .asking import agreed, ask_hidden
from .output import note, warn
from .session import current

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..endpoint import Endpoint
    from ..profile import Profile


_TIME_TO_UNLOCK = 60.0
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

    Where it is resolved beside others (``among``), no command may ask on the terminal.  ``standing`` is where the
    profile stands, if that is not among those in force.
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
        time_limit=_TIME_TO_UNLOCK if asks else SecretContext.time_limit,
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
    """The password of a user, or a whole token (None): from a hidden prompt on a terminal, else a line of stdin.

    ``option`` is what asked for it, for messages.
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


def account_of(profile: Profile) -> str | None:
    """The account of a profile that takes its secret from the keyring; None for any other."""
    credential = profile.credential
    if profile.is_template or credential is None or credential.kind != "keyring":
        return None
    return keyring_account(profile.endpoint, credential.user)


def kept_note(profile: Profile) -> str:
    """What a prompt for a secret says of an empty answer, which leaves the keyring as it is."""
    account = account_of(profile)
    try:
        kept = account is not None and keyring(current().profiles()).get(account) is not None
    except MilvusProfilesError:
        kept = False  # whoever stores or needs it will say what is wrong
    return f" (empty: {'keep what the keyring has' if kept else 'store it later'})"


def users_of(profiles: Profiles, account: str, but: Collection[str] = ()) -> list[str]:
    """The profiles that take their secret from an account, but for those that are named."""
    folded = set(map(fold_alias, but))
    return [alias for alias in profiles if fold_alias(alias) not in folded and account_in(profiles, alias) == account]


def account_in(profiles: Profiles, alias: str) -> str | None:
    """The account of a profile by its name; None also for one that is invalid, which connects nowhere."""
    found = profiles.examine(alias)[1] if alias in profiles else None
    return None if found is None or isinstance(found, Findings) else account_of(found)


def store(account: str, value: SecretText, mine: Collection[str]) -> None:
    """Store a secret for the profiles ``mine``; somebody is asked whether others that use the account lose theirs."""
    profiles = current().profiles()
    ring = keyring(profiles)
    # Where nobody else uses it there is nothing to compare.
    if users_of(profiles, account, mine) and ring.get(account) not in (None, value):
        confirm_loss(account, mine, "replace")
    ring.set(account, value)


def confirm_loss(account: str, mine: Collection[str], verb: str) -> None:
    """Ask before a secret is taken from others that use it (``verb``: ``replace``, ``delete``), or say whose it is."""
    others = users_of(current().profiles(), account, mine)
    if not others:
        return
    use = f"{some(others, len(others))} use{'s' if len(others) == 1 else ''}"
    if not current().interactive:
        warn(f"this {verb}s the secret in the keyring for {account}, which {use} too")
        return
    question = f"{use} the secret in the keyring for {account} too. {verb.capitalize()} it?"
    if not agreed(question):
        raise DeclinedError(
            "the secret in the keyring was left as it is, and nothing was written",
            hint="profiles of one address have secrets of their own where their users differ",
        )


def delete_unused(account: str, mine: Collection[str]) -> None:
    """Delete an entry that was taken along elsewhere, unless another profile uses it."""
    profiles = current().profiles(fresh=True)
    if users_of(profiles, account, mine):
        return
    try:
        keyring(profiles).delete(account)
    except MilvusProfilesError as error:  # what was asked for is done
        warn(f"the keyring still has the secret for {account}: {error.message}")


def note_left_behind(before: Profiles, after: Profiles) -> None:
    """Say of which profiles the secret does not follow to where they lead after an edit."""
    for alias in before:
        old, new = account_in(before, alias), account_in(after, alias)
        if old is not None and new is not None and old != new:
            _note_staying(alias, old, new)


def _note_staying(alias: str, old: str, new: str) -> None:
    remedy = current().remedy("secret", "set", alias)
    note(f"the secret in the keyring is for {old} and does not follow to {new}: {remedy}")


def follow(alias: str, before: Profile, after: Profile) -> tuple[str, str, SecretText] | None:
    """Say that the secret of an address does not follow to another, and offer to take it along.

    Returns:
        The old account, the new one, and the secret that is to stand there; None where none is.
    """
    old, new = account_of(before), account_of(after)
    if old is None or new is None or old == new:
        return None
    remedy = current().remedy("secret", "set", alias)
    if not current().interactive:
        _note_staying(alias, old, new)
        return None
    question = f"The secret in the keyring is for {old}. Take it along to {new}?"
    if not agreed(question):
        note(f"it does not follow: {remedy}")
        return None
    ring = keyring(current().profiles())
    secret = ring.get(old)
    if secret is None:
        note(f"the keyring has no secret for {old}: {remedy}")
    elif ring.get(new) is not None:
        note(f"the keyring has a secret for {new} already, which stays")
    else:
        return old, new, secret
    return None
