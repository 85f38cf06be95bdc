"""Whose an entry of the keyring is, and what becomes of it when a profile is stored, removed or led elsewhere.

An entry belongs to an endpoint and a user: all profiles that lead there share it, whatever they are called.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import DeclinedError, MilvusProfilesError
from ..names import fold_alias, some
from ..profile import Profile
from ..secrets import keyring_account
from .asking import agreed
from .keyring_access import keyring
from .output import note, warn
from .session import current

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..masked import SecretText

__all__ = [
    "account_in",
    "account_of",
    "confirm_loss",
    "confirm_replacing",
    "delete_unused",
    "follow",
    "kept_note",
    "note_left_behind",
    "users_of",
]


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
    return account_of(found) if isinstance(found, Profile) else None


def confirm_replacing(account: str, kept: SecretText | None, value: SecretText, mine: Collection[str]) -> None:
    """Say whose secret is replaced by another one, and ask where there is somebody.

    Args:
        account: where it stands.
        kept: what stands there; None is nothing.
        value: what takes its place.
        mine: the profiles that it is stored for.

    Raises:
        DeclinedError: the answer was no.
    """
    if kept is not None and kept != value:
        confirm_loss(account, mine, "replace")


def confirm_loss(account: str, mine: Collection[str], verb: str) -> None:
    """The same of whatever takes a secret from the others that use it: ``replace``, ``delete``."""
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
