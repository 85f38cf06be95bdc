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

from ..background import Deadline
from ..config.documents import Document, refusal
from ..config.in_force import directory_of, documents_in_force
from ..config.layers import Layers
from ..config.locations import UnreadFile, named
from ..config.resolved import check_plaintext, plain_profile
from ..config.settings import read_environment
from ..config.values import RawProfile
from ..connectable import EnvSource, FileSource, PlainProfile
from ..masked import MaskedMapping, SecretText, line_of, secret_fault
from ..secrets.value import make_token

if TYPE_CHECKING:
    from ..config.profiles import Profiles

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
class PlainResolved:
    """A profile of plain values, the fields that it was made of, and whether files are there that are not read."""

    connectable: PlainProfile
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
    profile: PlainProfile = resolved.connectable
    limit = profile.timeout if timeout is None else timeout
    from .plain_handshake import answers

    return answers(profile, token_of(profile, env), Deadline.after(limit * _FIRST_SHARE))


def token_of(profile: PlainProfile, env: Mapping[str, str]) -> SecretText | None:
    """The token of a profile of plain values; any exception where it is not to be had in a plain way."""
    if (credential := profile.credential) is None:
        return None
    source = credential.source
    if isinstance(source, FileSource):
        from ..secrets.resolution import read_file

        if not os.path.isfile(source.file):  # a pipe gives what it holds once
            raise ValueError
        secret, _ = read_file(source.file, 0.0)
    else:
        found = SecretText(env[source.env]) if isinstance(source, EnvSource) else source
        if not isinstance(found, SecretText):
            raise ValueError
        secret = line_of(found)
        if secret_fault(secret) is not None:
            raise ValueError
    return make_token(credential.user, secret)


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
    profile = plain_profile(raw, check_files=False)
    if profile is None or profile.address.kind != "tcp" or profile.auth == "keyring":
        return None
    return PlainResolved(profile, raw, bool(found.unread))


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
