"""The handshake of ``connect`` over a plain socket, without grpc: yes, or nothing.

It takes a profile of plain values as :mod:`.liveness` reads it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..background import Deadline
from ..channel.metadata import TokenHolder
from ..masked import SecretText
from ..probe.sockets import Stream, open_socket, resolve, route_to
from ..probe.unary import UnaryCalls, field_of, fields_in
from ..version import __version__

_SERVICE = "/milvus.proto.milvus.MilvusService/"


def answers(profile: Any, token: SecretText | None, deadline: Deadline) -> bool:
    """Whether the handshake of ``connect`` comes to a good end."""
    addresses = resolve(route_to(profile.endpoint), deadline).addresses
    for tried, address in enumerate(addresses):
        opened, _ = open_socket(address, deadline.sooner(deadline.remaining / (len(addresses) - tried)))
        if opened is None:
            continue
        with opened:
            stream = Stream(opened, deadline)
            if profile.tls is not None:
                from ..probe.tls_stream import TLSStream, verifying_context

                settings: Any = profile.tls
                name = profile.tls.server_name or profile.endpoint.host
                stream = secured = TLSStream(opened, deadline, verifying_context(settings), name)
                secured.handshake()
                if secured.session.selected_alpn_protocol() != "h2":
                    return False
            return _lets_in(stream, profile, TokenHolder(token, db_name=profile.db_name))
    return False


def _lets_in(stream: Stream, profile: Any, holder: TokenHolder) -> bool:
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
