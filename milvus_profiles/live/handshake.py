"""The first calls on a new channel: who the server is, whether it lets us in, whether the database is there.

What is called, and what the answers mean, is one plan that waits for nothing: a generator that yields what to do and
is sent what came of it; :mod:`.driving` carries it out.  Nothing here resolves secrets, opens channels or tries twice.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from ..channel.grpc_process import grpc
from ..channel.metadata import Metadata, TokenHolder
from ..channel.wire import (
    CONNECT,
    GET_VERSION,
    LARGEST_ANSWER,
    LIST_DATABASES,
    OVERSIZED,
    SHOW_COLLECTIONS,
    Method,
    is_compressed,
    is_oversized,
    status_of,
)
from ..endpoint import Endpoint
from ..errors import DatabaseNotFoundError
from ..masked import server_text, server_texts
from ..probe.causes import answered_by_gateway
from ..probe.context import ConnectContext
from ..probe.explain import classify, classify_body, needs_probes, no_such_database, not_milvus
from ..probe.tls import ProbeResults
from ..version import __version__

T = TypeVar("T")

_FIRST_WITH_DATABASES = (2, 2, 9)
_LONGEST_WORD = 100
PROBES_OF_PING = 1.0
"""Seconds for the look at a server that did not answer a ping."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server said of itself, made printable and cut.

    Attributes:
        version: ``"v2.3.5"``; None where it tells none.
        build_tags: as Connect's answer has them, on most servers the version; empty without Connect.
        git_commit: the commit it was built from; may be empty.
        deploy_mode: ``"STANDALONE"``, ``"CLUSTER"``, ``"embedded"`` …; may be empty.
        identifier: the number that it gave this client, for the metadata of later calls; 0 for none.
        has_connect: whether it knows the Connect call; servers before 2.2.9 do not.
        build_time: when it was built, in its own words; may be empty.
    """

    version: str | None
    build_tags: str = ""
    git_commit: str = ""
    deploy_mode: str = ""
    identifier: int = 0
    has_connect: bool = True
    build_time: str = ""


@dataclass(frozen=True, slots=True)
class Invoke:
    """To do: a unary call; what makes its metadata is to be called where the call is made."""

    method: Method
    request: bytes
    metadata: Callable[[], Metadata] = field(repr=False)

    @classmethod
    def bare(cls, method: Method, request: bytes) -> Invoke:
        """One without metadata of its own."""
        return cls(method, request, tuple)


@dataclass(frozen=True, slots=True)
class Together:
    """To do: calls that go out at once, and take the time of one; their replies are sent in, in the same order.

    Where the first fails by its status, the others are not waited for; their replies are that they were cancelled.
    """

    first: Invoke
    others: tuple[Invoke, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """To do: examine the server with :func:`.driving.look`, within some seconds and what time is left."""

    within: float = math.inf


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call.

    Attributes:
        code: its status.
        response: the serialized response, where the status is OK; None where none came with it.
        details: the words beside the status, where it is not.
        debug: gRPC's own account of the failure, for experts; it quotes the server.
    """

    code: grpc.StatusCode
    response: bytes | None = b""
    details: str = ""
    debug: str = ""

    @classmethod
    def to_call(cls, response: bytes | None) -> Reply:
        """What came of a call that ended well; None where the server sent no answer, or not the whole of one."""
        # gRPC lets more of some methods through, for the sake of those who use the channel later.
        if response is not None and len(response) > LARGEST_ANSWER:
            return cls(grpc.StatusCode.RESOURCE_EXHAUSTED, details=OVERSIZED)
        return cls(grpc.StatusCode.OK, response)


# What is sent in depends on what was yielded, which no type can say.
Plan = Generator["Invoke | Together | Probe", Any, T]


def handshake_plan(
    holder: TokenHolder,
    context: ConnectContext,
    *,
    user: str | None = None,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc),
) -> Plan[ServerInfo]:
    """The calls of the handshake: a generator that yields what to do, is sent what came of it, and returns the server.

    It stores the identifier that the server gives in the holder.

    Args:
        holder: makes the metadata; also names the database to check.
        context: what is tried, for the words of an error.
        user: the profile's user, which the server shows to its administrators.  Neither the user of the operating
            system nor the name of this machine is sent.
        now: the time that the server is told.

    Raises:
        MilvusProfilesError: the classified failure of a call.
    """
    client = {
        "sdk_type": "milvus-profiles",
        "sdk_version": __version__,
        "local_time": now().isoformat(timespec="seconds"),
        "user": user or "",
    }
    connect = Invoke(CONNECT, CONNECT.serialize({"client_info": client}), holder.credentials_only)
    ask_version = Invoke(GET_VERSION, b"", holder.metadata)
    others: list[Invoke] = []
    if holder.db_name is not None:
        # GetVersion, CheckHealth and ListDatabases do not look at the database, and ListDatabases makes 2.2.8 panic.
        request = SHOW_COLLECTIONS.serialize({"db_name": holder.db_name})
        others.append(Invoke(SHOW_COLLECTIONS, request, holder.metadata))
    endpoint = context.profile.endpoint
    if endpoint.kind == "lite" or endpoint in _UNTOLD:
        others.append(ask_version)
    replies = list((yield Together(connect, tuple(others)))) if others else [(yield connect)]
    connected = yield from _answer(CONNECT, replies.pop(0), context, optional=True)
    checked = replies.pop(0) if holder.db_name is not None else None
    info = ServerInfo(None, has_connect=False) if connected is None else _introduced(connected, holder)
    if re.search(r"\d", info.build_tags):
        _UNTOLD.discard(endpoint)
    else:  # Milvus Lite's are just its name
        _remember_untold(endpoint)
        reply = replies.pop() if replies else (yield ask_version)
        info = replace(info, version=(yield from _version(reply, info, holder, context)))
    if checked is not None:
        yield from _check_database(checked, info, holder, context)
    return info


_UNTOLD: set[Endpoint] = set()
"""Servers whose answer to Connect did not tell their version: the next time GetVersion goes out beside it."""
_UNTOLD_KEPT = 64


def _remember_untold(endpoint: Endpoint) -> None:
    if len(_UNTOLD) >= _UNTOLD_KEPT:
        _UNTOLD.clear()
    _UNTOLD.add(endpoint)


def _introduced(connected: Any, holder: TokenHolder) -> ServerInfo:
    server = connected.server_info
    if connected.identifier:
        holder.identifier = connected.identifier
    said = (server.build_tags, server.git_commit, server.deploy_mode, server.build_time)
    tags, git_commit, deploy_mode, build_time = server_texts(said, holder.token, longest=_LONGEST_WORD)
    return ServerInfo(
        version=tags or None,
        build_tags=tags,
        git_commit=git_commit,
        deploy_mode=deploy_mode,
        identifier=connected.identifier,
        build_time=build_time,
    )


def _word(text: str, holder: TokenHolder) -> str:
    return server_text(text, holder.token, longest=_LONGEST_WORD)


def _version(reply: Reply, info: ServerInfo, holder: TokenHolder, context: ConnectContext) -> Plan[str | None]:
    """The version by the reply to GetVersion; one without that and Connect may be a Milvus older still, or none."""
    answer = yield from _answer(GET_VERSION, reply, context, optional=True)
    if answer is not None:
        return _word(answer.version, holder) or None
    if not info.has_connect:
        reply = yield Invoke(SHOW_COLLECTIONS, b"", holder.metadata)
        yield from _answer(SHOW_COLLECTIONS, reply, context, optional=True, denied=True)
        if reply.code is grpc.StatusCode.UNIMPLEMENTED:
            raise not_milvus(context)
    return None


def _check_database(reply: Reply, info: ServerInfo, holder: TokenHolder, context: ConnectContext) -> Plan[None]:
    try:
        yield from _answer(SHOW_COLLECTIONS, reply, context, optional=True, denied=True)
    except DatabaseNotFoundError:
        names = (yield from _database_names(holder)) if info.has_connect else ()
        raise no_such_database(context, names) from None
    # A server from before there were databases ignores the name and would use the only one it has.
    if not info.has_connect and _numbers(info.version) < _FIRST_WITH_DATABASES and holder.db_name != "default":
        raise no_such_database(context)


def _database_names(holder: TokenHolder) -> Plan[Sequence[str]]:
    """The databases that there are; none where the server does not know the call, or does not let this user."""
    reply = yield Invoke(LIST_DATABASES, b"", holder.metadata)
    try:
        answer = LIST_DATABASES.deserialize(reply.response or b"") if reply.code is grpc.StatusCode.OK else None
    except DecodeError:
        return ()
    names: Sequence[str] = () if answer is None or status_of(answer)[0] else answer.db_names
    return names


def _numbers(version: str | None) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version or "")
    return tuple(int(number) for number in found.groups()) if found else _FIRST_WITH_DATABASES


def _answer(
    method: Method, reply: Reply, context: ConnectContext, *, optional: bool = False, denied: bool = False
) -> Plan[Any]:
    """The response of a call; None where the server does not know the method, or denies it, and that may be.

    Args:
        method: what was called.
        reply: what came of it.
        context: what is tried.
        optional: the server need not know the method.
        denied: it may deny it, or answer more than is taken.
    """
    code = reply.code
    if denied and is_oversized(code, reply.details):
        return None
    if code is grpc.StatusCode.OK:
        if reply.response is None:
            raise not_milvus(context, f"its answer to {method.name} is missing, or cut off")
        try:
            response = method.deserialize(reply.response)
        except DecodeError:
            raise not_milvus(context, "its answer cannot be read") from None
        body, reason = status_of(response)
        if body:
            raise classify_body(body, reason, context, method=method.name)
        return response
    # A gateway that answers the first call by itself has let nobody speak who could lack the method.
    stopped = method is CONNECT and answered_by_gateway(reply.details)
    if (
        not stopped
        and not is_compressed(reply.details)
        and (
            (optional and code is grpc.StatusCode.UNIMPLEMENTED)
            or (denied and code is grpc.StatusCode.PERMISSION_DENIED)
        )
    ):
        return None
    results: ProbeResults | None = (yield Probe()) if needs_probes(code, reply.details) else None
    raise classify(code, reply.details, context, method=method.name, results=results)


def ping_plan(context: ConnectContext) -> Plan[None]:
    """One call that the server answers whatever the user's rights are, over a channel that adds its own metadata."""
    reply = yield Invoke.bare(GET_VERSION, b"")
    # That it refuses is an answer, which is all that was asked.
    if reply.code in (grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
        return
    results = (yield Probe(PROBES_OF_PING)) if needs_probes(reply.code, reply.details) else None
    raise classify(reply.code, reply.details, context, method=GET_VERSION.name, results=results, opening=False)
