"""``secret set | delete | status``: what the keyring holds for a profile's endpoint and user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ...errors import ConfigError
from ...secrets.resolution import status
from ...secrets.value import keyring_account
from .. import keyring_access
from ..keyring_access import confirm_loss
from ..options import AliasArgument
from ..output import answer, note
from ..protection import confirm_picked
from ..session import current

if TYPE_CHECKING:
    from ...config.resolved import Resolved


def set_secret(alias: AliasArgument) -> None:
    """Store the password or token of a profile in the keyring: asked for on a terminal, else one line of stdin."""
    # As to connect: in a repository that takes the name of one of the user's profiles for its own server, the secret
    # would be stored for that server.
    resolved = current().use(alias)
    profile, account = resolved.profile, _account(resolved)
    user = profile.credential.user if profile.credential else None
    secret = keyring_access.read_secret(profile.endpoint, user, "secret set")
    if user is None and profile.user is None and ":" not in secret.reveal():
        note("stored as an API key: it has no colon, so it is no user:password")
    keyring_access.store(account, secret, [profile.alias])
    answer(
        {"alias": profile.alias, "account": account, "stored": True},
        f"stored in the keyring for {profile.endpoint.uri}" + (f", user {user}" if user else ""),
    )


def delete_secret(alias: AliasArgument) -> None:
    """Delete the keyring's entry of a profile."""
    resolved = _resolve(alias)
    account = _account(resolved)
    confirm_picked(resolved.profile.alias, f"Delete the secret in the keyring for {account}")
    confirm_loss(account, [resolved.profile.alias], "delete")
    deleted = keyring_access.keyring(current().profiles()).delete(account)
    answer(
        {"alias": resolved.profile.alias, "account": account, "deleted": deleted},
        "deleted from the keyring" if deleted else "the keyring had no entry for it",
    )


def secret_status(alias: AliasArgument) -> None:
    """Say where the secret of a profile comes from and whether it is there; never shows it."""
    profile = _resolve(alias).profile
    credential = profile.credential
    found = status(credential, profile.endpoint, keyring_access.context(profile.alias))
    present = found.state == "present"
    account = keyring_account(profile.endpoint, credential.user) if credential and found.kind == "keyring" else None
    said = "connects without credentials"
    if credential is not None:
        said = f"{found.kind}, {'present' if present else 'missing'}"
    answer(
        {
            "alias": profile.alias,
            "auth": found.kind,
            "present": present,
            "backend": found.backend,
            "account": account,
        },
        f"{profile.alias}: {said}",
        *([f"  account {account}", f"  keyring {found.backend}"] if account else []),
    )
    if credential is not None and not present:
        raise typer.Exit(4)


def _resolve(alias: str | None) -> Resolved:
    selected = current().select(alias).alias
    return current().profiles().resolve(selected)


def _account(resolved: Resolved) -> str:
    """The keyring account of a profile that uses the keyring."""
    profile = resolved.profile
    if profile.endpoint.kind == "lite":
        raise ConfigError(
            f"{profile.alias!r} is a Milvus Lite profile, which has no authentication",
            location=resolved.origin.location(),
        )
    credential = profile.credential
    if credential is None or credential.kind != "keyring":
        uses = "connects without credentials" if credential is None else f"takes its secret from: {credential.kind}"
        field = "token" if profile.password is None else "password"
        in_file = resolved.origin_of(field).document is not None
        raise ConfigError(
            f"the keyring is never asked for {profile.alias!r}: it {uses}",
            hint=f"keep it in the keyring: {current().standing.into_keyring(profile.alias, field)}"
            if in_file
            else "set `user`, or `token = { keyring = true }`, in the profile",
            location=resolved.origin.location(),
        )
    return keyring_account(profile.endpoint, credential.user)
