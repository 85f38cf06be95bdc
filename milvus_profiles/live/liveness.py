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
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..channel.metadata import TokenHolder
from ..config.plaintext import check_plaintext
from ..deadline import Deadline
from ..masked import MaskedMapping, SecretText
from ..probe.sockets import open_socket, resolve, route_to
from ..probe.stream import Stream
from ..probe.unary import UnaryCalls, field_of, fields_in
from .plain import PlainProfile, plain, token_of

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


def is_plainly_served(
    alias: str | None, file: str | None, env: Mapping[str, str], timeout: float | None = None
) -> bool:
    """Whether the short way comes to a good end; arguments as for :func:`check_served`, and any exception is a no."""
    resolved: Any = plain(alias, file, env)
    if resolved is None:
        return False
    check_plaintext(resolved)
    profile: PlainProfile = resolved.profile
    limit = profile.timeout if timeout is None else timeout
    return _answers(profile, token_of(resolved, env), Deadline.after(limit * _FIRST_SHARE))


def _answers(profile: PlainProfile, token: SecretText | None, deadline: Deadline) -> bool:
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


def _lets_in(stream: Stream, profile: PlainProfile, holder: TokenHolder) -> bool:
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
