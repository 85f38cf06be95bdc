"""Whether a profile's server lets it in: what ``connect`` finds out, at the price that a probe of a container may have.

To import grpc, pydantic and what stands on them takes longer than all of connecting, so first it is tried without: the
same layers, the same rules of trust and of plaintext, the same readers of secrets, but for a profile of plain values
only, and a handshake over a plain socket.  What comes of that is yes or nothing: whatever is not plain, and whatever
fails, is for the machinery to judge, so every refusal is that of ``connect``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.documents import Document
from ..config.environment import read_environment
from ..config.in_force import directory_of, documents_in_force
from ..config.layers import Layers
from ..config.locations import UnreadFile, named
from ..config.permissions import refusal
from ..config.plain_values import DEFAULT_TIMEOUT, address_of, are_plain, endpoint_of
from ..config.plaintext import check_plaintext
from ..config.values import Raw, RawProfile
from ..deadline import Deadline
from ..endpoint import Address, Endpoint
from ..masked import MaskedMapping, SecretText, secret_fault
from ..secrets.value import line_of, make_token

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = [
    "PlainLayers",
    "PlainResolved",
    "check_served",
    "is_plainly_served",
    "plain",
    "plain_layers",
    "token_of",
]

_FIRST_SHARE = 0.5
"""Of the time, at most: the rest is for the machinery to find the cause."""


def check_served(
    alias: str | None = None,
    *,
    file: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> None:
    """See that the server of a profile answers, lets the profile in, and has its database; nothing stays open.

    Args:
        alias: the profile; None takes the selected one.
        file: a file that is read instead of all others.
        env: the environment; None takes the process's own.
        timeout: seconds for all of it, secrets included; None takes the profile's.

    Raises:
        MilvusProfilesError: what :func:`milvus_profiles.connect` raises.
    """
    began = time.monotonic()
    environment = MaskedMapping(os.environ if env is None else env)
    served = False
    # Whatever is wrong is said below.
    with suppress(Exception):
        served = is_plainly_served(alias, file, environment, timeout)
    if served:
        return
    from ..config.loading import load_for

    profiles = load_for(alias, file, env=environment, file_name="--config")[0]
    _check(profiles, profiles.select(alias).alias, timeout, began)


def _check(profiles: Profiles, alias: str, timeout: float | None, began: float) -> None:
    from .opening import check_opens

    resolved = profiles.use(alias)
    check_plaintext(resolved)
    check_opens(resolved, profiles, Deadline(began + (resolved.profile.timeout if timeout is None else timeout)))


# --- the short way ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TLS:
    """The TLS settings of a profile, with the names of the model's."""

    ca: str | None
    cert: str | None
    key: str | None
    server_name: str | None


@dataclass(frozen=True)
class _PlainProfile:
    """A profile of plain values, as far as connecting and the rule of plaintext ask for it; the model's names."""

    alias: str
    uri: str | None
    address: Address
    endpoint: Endpoint
    tls: _TLS | None
    user: str | None
    db_name: str | None
    credential: tuple[str, ...] | None
    allow_insecure: bool
    timeout: float
    proxy: None = None


@dataclass(frozen=True)
class PlainResolved:
    """A profile of plain values, the fields that it was made of, and whether files are there that are not read."""

    profile: _PlainProfile
    raw: RawProfile
    has_unread: bool


def is_plainly_served(
    alias: str | None, file: str | None, env: Mapping[str, str], timeout: float | None = None
) -> bool:
    """Whether the short way comes to a good end; arguments as for :func:`check_served`, and any exception is a no."""
    resolved: Any = plain(alias, file, env)
    if resolved is None:
        return False
    check_plaintext(resolved)
    profile: _PlainProfile = resolved.profile
    limit = profile.timeout if timeout is None else timeout
    from .plain_handshake import answers

    return answers(profile, token_of(resolved, env), Deadline.after(limit * _FIRST_SHARE))


def _plain_profile(raw: RawProfile) -> _PlainProfile | None:
    """The profile that validation would make of it; None where that is not plain."""
    given = {path: value.value for path, value in raw.values.items()}
    if not are_plain(given):
        return None
    uri, user = (given.get((name,)) for name in ("uri", "user"))
    secrets = [path for path in given if path[0] in ("token", "password")]
    if (address := address_of(given)) is None or len(secrets) > 1:
        return None
    if (user is not None and not secrets) or (user is None and secrets and secrets[0][0] == "password"):
        return None  # the keyring's, or a fault
    database = given.get(("db_name",))
    ssl = _TLS(*(given.get(("ssl", name)) for name in ("ca", "cert", "key", "server_name")))
    if address.kind != "tcp" or (ssl.cert is None) != (ssl.key is None):
        return None
    if None not in (database, address.database) and database != address.database:
        return None
    endpoint = endpoint_of(address, given)
    return _PlainProfile(
        raw.alias,
        uri,
        address,
        endpoint,
        ssl if endpoint.tls else None,
        user,
        address.database or database,
        secrets[0] if secrets else None,
        given.get(("allow_insecure",), False),
        given.get(("timeout",), DEFAULT_TIMEOUT),
    )


def _token(profile: _PlainProfile, values: Raw, env: Mapping[str, str]) -> SecretText | None:
    """The token of a profile of plain values; ValueError where it is not to be had in a plain way."""
    if (path := profile.credential) is None:
        return None
    value = values[path].value
    if path[1:] == ("file",):
        from ..secrets.file import read_file

        if not os.path.isfile(value):  # a pipe gives what it holds once
            raise ValueError
        secret, _ = read_file(value, 0.0)
    else:
        secret = line_of(value if path[1:] == () else SecretText(env[value]))
        if secret_fault(secret) is not None:
            raise ValueError
    return make_token(profile.user if path[0] == "password" else None, secret)


def plain(alias: str | None, file: str | None, env: Mapping[str, str]) -> PlainResolved | None:
    """The profile that is meant, with what validation would make of it; None, or any exception, where it is not plain.

    Args:
        alias, file: as for :func:`check_served`.
        env: the environment.
    """
    if (found := plain_layers(file, env)) is None:
        return None
    choices = found.layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    raw = found.layers.raw(choices[0][0]) if choices else None
    if raw is None or (raw.document is not None and refusal(raw.document) is not None):
        return None
    profile = _plain_profile(raw)
    return None if profile is None else PlainResolved(profile, raw, bool(found.unread))


@dataclass(frozen=True)
class PlainLayers:
    """What is declared in files of full trust, whose roots are plain, and in the environment.

    Attributes:
        unread: files that are there and are not read.
    """

    layers: Layers
    documents: tuple[Document, ...]
    unread: tuple[UnreadFile, ...]


def plain_layers(file: str | None, env: Mapping[str, str]) -> PlainLayers | None:
    """The layers in force; None, or any exception, where they are not plain; arguments as for :func:`plain`."""
    directory = directory_of(None, named(file, env))
    documents, unread = documents_in_force(file, env, directory, "--config")
    plain_root = {"default_profile": str}
    if not all(isinstance(v, plain_root.get(k, ())) for document in documents for k, v in document.root.items()):
        return None
    if not _trusts(documents, env):
        return None
    layers = Layers(documents, read_environment(env, directory), env)
    return PlainLayers(layers, documents, unread)


def _trusts(documents: tuple[Document, ...], env: Mapping[str, str]) -> bool:
    """Whether every file has full trust: what one without it says depends on what the others say."""
    projects = [document for document in documents if document.role == "project"]
    if not projects:
        return True
    from ..config.trust import TrustStore

    store = TrustStore.load(env)
    return store.fault is None and all(map(store.trusts, projects))


def token_of(resolved: PlainResolved, env: Mapping[str, str]) -> SecretText | None:
    """The token of a profile of plain values; any exception where it is not to be had in a plain way."""
    return _token(resolved.profile, resolved.raw.values, env)
