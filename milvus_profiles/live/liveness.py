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

from .. import __version__
from ..channel.metadata import TokenHolder
from ..config.environment import read_environment
from ..config.in_force import directory_of, documents_in_force
from ..config.layers import Layers
from ..config.locations import home_directory, named
from ..config.permissions import refusal
from ..config.plain_values import DEFAULT_TIMEOUT, address_of, are_plain, endpoint_of
from ..config.plaintext import check_plaintext
from ..config.values import Raw, RawProfile
from ..deadline import Deadline
from ..endpoint import Address, Endpoint
from ..masked import MaskedMapping, SecretText, secret_fault
from ..probe.sockets import open_socket, resolve, route_to
from ..probe.stream import Stream
from ..probe.unary import UnaryCalls, field_of, fields_in
from ..secrets.value import line_of, make_token

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["check_served", "is_plainly_served"]

_FIRST_SHARE = 0.5
"""Of the time, at most: the rest is for the machinery to find the cause."""
_SERVICE = "/milvus.proto.milvus.MilvusService/"


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
class _PlainResolved:
    profile: _PlainProfile
    raw: RawProfile


def is_plainly_served(
    alias: str | None, file: str | None, env: Mapping[str, str], timeout: float | None = None
) -> bool:
    """Whether the short way comes to a good end; arguments as for :func:`check_served`, and any exception is a no."""
    directory = directory_of(None, named(file, env))
    documents, _ = documents_in_force(file, env, directory, "--config")
    plain = {"default_profile": str}
    if any(
        document.role == "project" or not all(isinstance(v, plain.get(k, ())) for k, v in document.root.items())
        for document in documents
    ):
        return False
    layers = Layers(documents, read_environment(env, directory), home_directory(env) or "")
    choices = layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    raw = layers.raw(choices[0][0]) if choices else None
    if raw is None or (raw.document is not None and refusal(raw.document) is not None):
        return False
    profile = _plain_profile(raw)
    if profile is None:
        return False
    resolved: Any = _PlainResolved(profile, raw)
    check_plaintext(resolved)
    limit = profile.timeout if timeout is None else timeout
    return _answers(profile, _token(profile, raw.values, env), Deadline.after(limit * _FIRST_SHARE))


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


def _answers(profile: _PlainProfile, token: SecretText | None, deadline: Deadline) -> bool:
    """Whether the handshake of ``connect`` comes to a good end."""
    addresses = resolve(route_to(profile.endpoint), deadline).addresses
    for tried, address in enumerate(addresses):
        opened, _ = open_socket(address, deadline.sooner(deadline.remaining / (len(addresses) - tried)))
        if opened is None:
            continue
        with opened:
            stream = Stream(opened, deadline)
            if profile.tls is not None:
                from ..probe.stream import TLSStream
                from ..probe.tls_context import verifying_context

                settings: Any = profile.tls
                name = profile.tls.server_name or profile.endpoint.host
                stream = secured = TLSStream(opened, deadline, verifying_context(settings), name)
                secured.handshake()
                if secured.session.selected_alpn_protocol() != "h2":
                    return False
            return _lets_in(stream, profile, TokenHolder(token, db_name=profile.db_name))
    return False


def _lets_in(stream: Stream, profile: _PlainProfile, holder: TokenHolder) -> bool:
    authority = (profile.tls and profile.tls.server_name) or profile.endpoint.authority
    calls = UnaryCalls(stream, tls=profile.tls is not None, authority=authority)
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    client = {1: "milvus-profiles", 2: __version__, 3: now, 4: profile.user or ""}
    introduction = field_of(2, b"".join(field_of(number, text) for number, text in client.items()))
    answer = dict(fields_in(calls.call(f"{_SERVICE}Connect", introduction, holder.credentials_only())))
    if not _is_good(answer) or not _tells_version(answer.get(2)):
        return False  # without a version connect would ask on
    if isinstance(identifier := answer.get(3), int):
        holder.identifier = identifier
    if profile.db_name is None:
        return True
    request = field_of(2, profile.db_name)
    return _is_good(dict(fields_in(calls.call(f"{_SERVICE}ShowCollections", request, holder.metadata()))))


def _is_good(answer: Mapping[int, int | bytes]) -> bool:
    """Whether the status in an answer, its first field, has neither of the codes that a failure has."""
    status = answer.get(1, b"")
    return isinstance(status, bytes) and not any(value for number, value in fields_in(status) if number in (1, 3))


def _tells_version(server: int | bytes | None) -> bool:
    """Whether Connect's answer says which version the server has: in the first of its words about it."""
    tags = dict(fields_in(server)).get(1) if isinstance(server, bytes) else None
    return isinstance(tags, bytes) and any(byte in b"0123456789" for byte in tags)
