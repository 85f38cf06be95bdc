"""The first calls on a new channel: who the server is, whether it lets us in, whether the database is there.

What is called, and what the answers mean, is one plan that waits for nothing: a generator that yields what to do and
is sent what came of it.  :func:`drive` runs it over a blocking channel, :func:`async_drive` over ``grpc.aio``.  Nothing
here resolves secrets, opens channels or tries twice.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from ..background import in_executor
from ..channel.grpc_import import grpc
from ..channel.interrupts import let_go
from ..channel.metadata import Metadata, TokenHolder
from ..channel.receive_limits import LARGEST_ANSWER, OVERSIZED, is_compressed, is_oversized
from ..channel.wire import CONNECT, GET_VERSION, LIST_DATABASES, SHOW_COLLECTIONS, Method, sdk_version, status_of
from ..deadline import Deadline
from ..errors import DatabaseNotFoundError, MilvusProfilesError
from ..probe.context import ConnectContext
from ..probe.explain import classify, classify_body, needs_probes, no_such_database, not_milvus
from ..probe.explain_gateway import answered_by_gateway
from ..probe.results import ProbeResults, gather_results
from ..server_text import server_text

__all__ = [
    "PROBES_OF_PING",
    "Invoke",
    "Plan",
    "Probe",
    "Reply",
    "ServerInfo",
    "async_drive",
    "calls_deadline",
    "drive",
    "handshake_plan",
    "look",
    "make_call",
    "ping_plan",
]

T = TypeVar("T")

_RESERVE, _RESERVED_SHARE = 1.0, 0.1
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


@dataclass(frozen=True, slots=True)
class Probe:
    """To do: gather evidence on the server with :func:`look`, within some seconds and what time is left."""

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
Plan = Generator["Invoke | Probe", Any, T]


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
        "sdk_version": sdk_version(),
        "local_time": now().isoformat(timespec="seconds"),
        "user": user or "",
    }
    reply = yield Invoke(CONNECT, CONNECT.serialize({"client_info": client}), holder.credentials_only)
    connected = yield from _answer(CONNECT, reply, context, optional=True)
    if connected is None:
        info = ServerInfo((yield from _version_of_old(holder, context)), has_connect=False)
    else:
        info = yield from _introduced(connected, holder, context)
    if holder.db_name is not None:
        yield from _check_database(info, holder, context)
    return info


def _introduced(connected: Any, holder: TokenHolder, context: ConnectContext) -> Plan[ServerInfo]:
    server = connected.server_info
    if connected.identifier:
        holder.identifier = connected.identifier
    tags = _word(server.build_tags, holder)
    version: str | None = tags
    # Milvus Lite's tags are just its name.
    if not re.search(r"\d", tags):
        reply = yield Invoke(GET_VERSION, b"", holder.metadata)
        answer = yield from _answer(GET_VERSION, reply, context, optional=True)
        version = None if answer is None else _word(answer.version, holder)
    return ServerInfo(
        version=version or None,
        build_tags=tags,
        git_commit=_word(server.git_commit, holder),
        deploy_mode=_word(server.deploy_mode, holder),
        identifier=connected.identifier,
        build_time=_word(server.build_time, holder),
    )


def _word(text: str, holder: TokenHolder) -> str:
    return server_text(text, holder.token, longest=_LONGEST_WORD)


def _version_of_old(holder: TokenHolder, context: ConnectContext) -> Plan[str | None]:
    """The version of a server without Connect; one without GetVersion too may be a Milvus older still, or none."""
    reply = yield Invoke(GET_VERSION, b"", holder.metadata)
    answer = yield from _answer(GET_VERSION, reply, context, optional=True)
    if answer is not None:
        return _word(answer.version, holder) or None
    reply = yield Invoke(SHOW_COLLECTIONS, b"", holder.metadata)
    yield from _answer(SHOW_COLLECTIONS, reply, context, optional=True, denied=True)
    if reply.code is grpc.StatusCode.UNIMPLEMENTED:
        raise not_milvus(context)
    return None


def _check_database(info: ServerInfo, holder: TokenHolder, context: ConnectContext) -> Plan[None]:
    # GetVersion, CheckHealth and ListDatabases do not look at the database, and ListDatabases makes 2.2.8 panic.
    reply = yield Invoke(SHOW_COLLECTIONS, SHOW_COLLECTIONS.serialize({"db_name": holder.db_name}), holder.metadata)
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
    reply = yield Invoke(GET_VERSION, b"", tuple)
    # That it refuses is an answer, which is all that was asked.
    if reply.code in (grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
        return
    results = (yield Probe(PROBES_OF_PING)) if needs_probes(reply.code, reply.details) else None
    raise classify(reply.code, reply.details, context, method=GET_VERSION.name, results=results, opening=False)


# --- drivers ---------------------------------------------------------------------------------------------------------


def look(context: ConnectContext, deadline: Deadline) -> ProbeResults | None:
    """What a driver does for :class:`Probe`; it blocks.

    Returns:
        None where the search itself failed: what gRPC said has to do then.

    Raises:
        ConfigError, TLSError: a TLS file is wrong.
    """
    try:
        return gather_results(context.route, context.host, context.tls, deadline)
    except MilvusProfilesError:
        raise
    except Exception:
        return None


def calls_deadline(deadline: Deadline) -> Deadline:
    """The moment by which a handshake's calls have to end, so that time is left to look for the cause."""
    return Deadline(deadline.at - min(_RESERVE, deadline.remaining * _RESERVED_SHARE), deadline.clock)


def drive(plan: Plan[T], context: ConnectContext, channel: grpc.Channel, deadline: Deadline, calls_end: Deadline) -> T:
    """Run a plan over a blocking channel; all of it, probes included, is over by the deadline."""
    reply: Reply | ProbeResults | None = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Probe):
                reply = look(context, deadline.sooner(step.within))
            else:
                reply = make_call(channel, step, calls_end.remaining)
    except StopIteration as done:
        result: T = done.value
        return result


async def async_drive(
    plan: Plan[T], context: ConnectContext, channel: grpc.aio.Channel, deadline: Deadline, calls_end: Deadline
) -> T:
    """:func:`drive`, awaited; probes run in a thread, where they end by their deadline on their own."""
    reply: Reply | ProbeResults | None = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Probe):
                reply = await in_executor(partial(look, context, deadline.sooner(step.within)))
            else:
                reply = await _make_async_call(channel, step, calls_end.remaining)
    except StopIteration as done:
        result: T = done.value
        return result


def _debug_string(error: grpc.RpcError) -> str:
    tell = getattr(error, "debug_error_string", None)
    return str(tell() or "") if tell is not None else ""


def make_call(channel: grpc.Channel, call: Invoke, timeout: float) -> Reply:
    """What a blocking driver does for :class:`Invoke`, within a timeout in seconds."""
    try:
        response = channel.unary_unary(call.method.path, None, None)(
            call.request, timeout=timeout, metadata=call.metadata()
        )
    except grpc.RpcError as error:
        return Reply(error.code(), details=error.details() or "", debug=_debug_string(error))
    except ValueError:
        # What grpc says to a call on a channel that was closed meanwhile.
        return Reply(grpc.StatusCode.CANCELLED)
    except BaseException as error:
        let_go(error)  # else closing the channel, or gRPC's finalizer of it, waits for ever
        # grpc's frames hold the metadata.
        raise error.with_traceback(None) from None
    return Reply.to_call(response)


async def _make_async_call(channel: grpc.aio.Channel, call: Invoke, timeout: float) -> Reply:
    try:
        response = await channel.unary_unary(call.method.path, None, None)(
            call.request, timeout=timeout, metadata=call.metadata()
        )
    except grpc.aio.AioRpcError as error:
        return Reply(error.code(), details=error.details() or "")
    except grpc.aio.UsageError:
        return Reply(grpc.StatusCode.CANCELLED)
    except BaseException as error:
        raise error.with_traceback(None) from None
    return Reply.to_call(response)
