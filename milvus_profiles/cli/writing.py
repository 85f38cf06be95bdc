"""From a new profile to the keyring and a file, for ``profile add``, ``connect`` and ``import``.

What can fail without a side effect is tried first; then the keyring is written, then the file, and if the file cannot
be written the keyring gets back what it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..config.loading import load_text
from ..config.values import Origin
from ..errors import ConfigError, MilvusProfilesError, SecretUnavailableError, UnknownProfileError, UsageError
from ..masked import SecretText
from ..profile import Profile
from . import keyring_access
from .output import note, warn
from .session import current
from .target import Target, apply, confirm_protected, note_edit

if TYPE_CHECKING:
    from ..config.edit import EditResult, Operation
    from ..secrets import OSKeyring

__all__ = ["Secret", "ask_secret", "refuse_existing", "store", "test_first", "validated", "whole_token"]


@dataclass(frozen=True)
class Secret:
    """A secret for the keyring.

    Attributes:
        account: the account that it goes to.
        value: the password, or the whole token.
    """

    account: str
    value: SecretText


def validated(alias: str, fields: dict[str, Any], target: Target) -> Profile:
    """The profile as the file will declare it, validated before anything is written."""
    from ..config.invalid import Findings, validate
    from ..config.values import Raw, RawProfile, Value, resolved_paths

    names = {"db_name": "--db-name", "allow_insecure": "--allow-insecure", "server_name": "--server-name"}
    raw: Raw = {}
    for name, value in fields.items():
        leaves: dict[str | None, Any] = dict(value) if isinstance(value, dict) else {None: value}
        for key, leaf in leaves.items():
            path = (name,) if key is None else (name, key)
            option = (
                f"--{key}" if name == "ssl" and key else f"--token-{key}" if name == "token" and key else f"--{name}"
            )
            raw[path] = Value(leaf, Origin("call", names.get(key or name, option)))
    values = resolved_paths(raw, target.directory)
    result = validate(Profile, RawProfile(alias, values, [], Origin("call", "ALIAS"), None))
    if isinstance(result, Findings):
        raise result.errors(1)[0]
    assert isinstance(result, Profile)
    _ = result.endpoint
    return result


def refuse_existing(alias: str, target: Target, force: bool, yes: bool) -> None:
    """Stop early, before a prompt, where the file declares the alias already."""
    from ..config.atomic import read_bytes

    content = read_bytes(target.path)
    if content is None:
        return
    profiles = load_text(content, target.path, target.role, env=current().env)
    del content
    try:
        existing = profiles.raw(alias)
    except UnknownProfileError:
        return
    if not force:
        raise ConfigError(
            f"there is a profile {existing.alias!r} already",
            hint="choose another name, or replace it with --force",
            location=existing.declared.location("key"),
        )
    confirm_protected(profiles, existing.alias, "replace", yes)


def ask_secret(profile: Profile, token_stdin: bool, password_stdin: bool) -> Secret | None:
    """The secret of a new profile, from standard input or a person; None where the keyring is to keep what it has."""
    credential = profile.credential
    if credential is None or credential.kind != "keyring":
        if token_stdin or password_stdin:
            raise UsageError(
                "Milvus Lite has no authentication, so there is nothing to store", hint="leave the secret out"
            )
        return None
    from ..secrets import keyring_account

    account = keyring_account(profile.endpoint, credential.user)
    if password_stdin or token_stdin:
        option = "--password-stdin" if password_stdin else "--token-stdin"
        return Secret(account, keyring_access.read_secret(profile.endpoint, credential.user, option))
    if current().interactive:
        more = " (empty: keep what the keyring has)"
        if secret := keyring_access.ask_secret(profile.endpoint, credential.user, more):
            return Secret(account, secret)
    return None


def test_first(profile: Profile, secret: Secret | None) -> None:
    """Test a profile before it is written; end the run if it fails."""
    from .commands.profile_test import run_one

    report = run_one(current().profiles(), profile.alias, profile, whole_token(profile, secret))
    if not report.ok:
        note("nothing was written")
        raise typer.Exit(report.exit_code)


def whole_token(profile: Profile, secret: Secret | None) -> SecretText | None:
    """The token that a secret makes for a profile."""
    from ..secrets import make_token

    credential = profile.credential
    return None if secret is None or credential is None else make_token(credential.user, secret.value)


def store(
    target: Target,
    operations: list[Operation],
    secrets: Sequence[Secret],
    *,
    touched: Sequence[str],
    replace: bool = True,
) -> None:
    """The keyring first, then the file; nothing stays behind of an attempt that fails.

    Args:
        target: the file.
        operations: what to do to it.
        secrets: what the keyring is to hold.
        touched: the aliases that must be valid in the new text.
        replace: whether a secret may take the place of another one that the keyring has, of whatever profile.

    Raises:
        ConfigError: it would, and may not; nothing was written.
        SecretUnavailableError: the keyring cannot keep a secret; nothing was written.
        MilvusProfilesError: the edit was refused; the keyring is as it was.
    """
    if not secrets:
        _edit(target, operations, touched)
        return
    # Whether the file takes the edit is found out before the keyring is touched.
    planned, _ = apply(target, operations, dry_run=True, touched=touched)
    ring = keyring_access.keyring(current().profiles())
    before: list[tuple[str, SecretText | None]] = []
    try:
        for secret in secrets:
            kept = ring.get(secret.account)
            if kept is not None and kept != secret.value and not replace:
                raise ConfigError(
                    f"the keyring has another secret for {secret.account} already, so nothing was written",
                    hint="replace it with --force, if no other profile needs it",
                )
            before.append((secret.account, kept))
            ring.set(secret.account, secret.value)
    except SecretUnavailableError as error:
        _restore(ring, before)
        raise SecretUnavailableError(
            f"the secret could not be stored, so nothing was written: {error.message}",
            hint=error.hint or "give the secret another way: --token-file PATH or --token-env NAME",
        ) from None
    except BaseException:
        _restore(ring, before)
        raise
    try:
        _edit(target, operations, touched)
    except BaseException:
        # An interrupt may come right after the file was changed: then its secret belongs into the keyring.
        if not was_made(planned):
            _restore(ring, before)
        raise


def was_made(planned: EditResult) -> bool:
    """Whether a file has become what an edit was to make of it, although the edit ended in an exception."""
    from ..config.atomic import read_bytes

    try:
        return planned.changed and read_bytes(planned.path) == planned.after
    except MilvusProfilesError:
        return False


def _restore(ring: OSKeyring, before: list[tuple[str, SecretText | None]]) -> None:
    # Backwards: two secrets may be for one account, and the first entry knows what was there.
    for account, value in reversed(before):
        _give_back(ring, account, value)


def _give_back(ring: OSKeyring, account: str, value: SecretText | None) -> None:
    try:
        if value is None:
            ring.delete(account)
        else:
            ring.set(account, value)
    except SecretUnavailableError as error:
        warn(f"the keyring could not be given back what it had for {account}: {error.message}")


def _edit(target: Target, operations: list[Operation], touched: Sequence[str]) -> None:
    result, trusted = apply(target, operations, touched=touched)
    note_edit(target, trusted, result.notes)
