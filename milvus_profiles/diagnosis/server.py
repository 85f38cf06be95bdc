"""The stages above TCP, from one handshake: TLS, gRPC, authentication, version and database, each with its own time.

The handshake is the one of ``connect``, call by call; what this driver adds is a watch, a greeting without credentials
before it, and a look at TLS beside it.  Whether the server is usable is the handshake's verdict alone.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from ..background import Deadline, Pending
from ..channel.grpc_process import grpc
from ..channel.wire import (
    CONNECT,
    GET_VERSION,
    LIST_DATABASES,
    SHOW_COLLECTIONS,
    Method,
    is_oversized,
    oversized,
    status_of,
)
from ..config.disclosure import shown
from ..connectable import TLSSettings
from ..endpoint import is_numeric
from ..errors import (
    AuthenticationError,
    DatabaseNotFoundError,
    MilvusProfilesError,
    PermissionDeniedError,
    ThreadStartError,
    TLSError,
    UnreachableError,
)
from ..live.driving import calls_deadline, look, make_call, one_by_one
from ..live.handshake import Invoke, Probe, Reply, ServerInfo, Together, handshake_plan
from ..live.opening import CONFIRMING
from ..live.registry import OpenedChannel
from ..masked import server_text
from ..probe.causes import ResolversDifferError, answered_by_gateway, found_nothing, http_status_of
from ..probe.context import ConnectContext
from ..probe.explain import refused_here
from ..probe.tls import ProbeResults, TLSOutcome, probe_tls
from ..profile import Profile
from ..text import counted, printable
from .certificates import describe_tls
from .report import StageName, server_name
from .test_run import Cancelled, RetryBudget, StageDraft, TestRun, broken

T = TypeVar("T")

_LONGEST_DEBUG = 1000
_GREETING_SHARE = 0.5
_TLS_GRACE = 2.0
"""Seconds for a look at TLS that is still under way when the handshake is over."""
_CHECK = 1.0
"""Seconds at most for a call that only tells something more; less where the handshake took its whole time."""


@dataclass
class Channel:
    """The channel of a test, and how it is opened anew with numeric addresses in place of the endpoint's name."""

    opened: OpenedChannel
    reopen: Callable[[Sequence[str]], OpenedChannel]


def grpc_finds_more(opened: OpenedChannel, budget: RetryBudget) -> bool:
    """Whether gRPC connects to a name of which the system knows no address that answers."""
    context = opened.context
    if context.route.path or context.route.tunnel is not None or is_numeric(context.route.host):
        return False
    reply = make_call(opened.core.raw, Invoke.bare(CONNECT, CONNECT.serialize({})), budget.rest(_CHECK).remaining)
    return reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED and not found_nothing(reply.details)


def shake_hands(
    run: TestRun,
    profile: Profile,
    channel: Channel,
    budget: RetryBudget,
    reached: ProbeResults,
    ignored_variables: Sequence[str],
    now: Callable[[], dt.datetime],
) -> None:
    """Run the handshake on a channel, and the stages that it makes.

    ``ignored_variables`` look like credentials of this profile and are none; ``now`` is for the days that a certificate
    has left.
    """
    context = channel.opened.context
    began = time.perf_counter()
    seen = _Seen()
    failure: MilvusProfilesError | None = None
    differing: ResolversDifferError | None = None

    def once(deadline: Deadline) -> ServerInfo:
        nonlocal differing

        def observed() -> ServerInfo:
            nonlocal seen
            seen = _Seen()
            return _observed(channel.opened, profile.user, reached, deadline, seen)

        # The steps of connect.
        try:
            return observed()
        except ResolversDifferError:
            if differing is not None or deadline.remaining < CONFIRMING:
                raise
        run.cancellation.pause(CONFIRMING)
        try:
            return observed()
        except ResolversDifferError as error:
            differing = error
        channel.opened = channel.reopen(differing.addresses)
        return observed()

    try:
        info: ServerInfo | None = budget(once)
    except Cancelled:
        raise
    except Exception as error:
        failure, info = broken(error), None
    failed = None if failure is None else _stage_of(failure, seen)
    # What was waited for before the last try belongs to where it ended.
    waited = max(0.0, (time.perf_counter() - began) * 1000 - seen.all_ms)

    def outcome(name: StageName, stage: StageDraft, ms: float) -> None:
        """The time of a stage, and its failure if it is the one that failed."""
        stage.ms = ms + (waited if name == (failed or "grpc") else 0.0)
        if name == failed and failure is not None:
            stage.ms += seen.look_ms
            stage.notes += seen.debug(context)
            if name == "auth" and ignored_variables:
                stage.advise(f"{', '.join(ignored_variables)} is ignored, because MILVUS_URI is not set")
            raise failure

    with run.stage("tls") as stage:
        outcome("tls", stage, 0.0 if seen.tls is None else seen.tls.seconds * 1000)
        if context.tls is None:
            stage.skip("the profile has none")
        else:
            describe_tls(stage, seen.tls, context, now())
    with run.stage("grpc") as stage:
        outcome("grpc", stage, seen.greeting_ms)
        stage.detail = "a Milvus answers"
        stage.notes.append(f"{context.endpoint} by {reached.address or 'an address that only gRPC knows'}")
        if differing is not None:
            stage.warn(differing.message, differing.hint)
    with run.stage("auth") as stage:
        outcome("auth", stage, 0.0 if seen.greeting is None else seen.spent(CONNECT))
        stage.detail = _who(profile, context)
        if seen.is_open_to_all:
            stage.warn(
                "the server asks for no credentials, whatever is sent: its authorization is switched off",
                "switch on common.security.authorizationEnabled in the server's configuration, or leave the secret out",
            )
    run.version = None if info is None else info.version
    with run.stage("version") as stage:
        outcome("version", stage, seen.spent(GET_VERSION))
        stage.detail = "" if info is None else _describe(info)
    with run.stage("database") as stage:
        outcome("database", stage, seen.spent(SHOW_COLLECTIONS, LIST_DATABASES))
        _describe_database(stage, channel.opened, seen, budget.rest(_CHECK))


# --- the driver ------------------------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """What one handshake showed; times are in milliseconds.

    Attributes:
        greeting: what came of a call without credentials before it; None without one.
        greeting_ms: how long the first call took, which opens the connection.
        look_ms: how long the search for the cause of a failure took.
        tls: what the port showed to a TLS client beside it.
        is_open_to_all: a token was given, and the server answers without one.
    """

    greeting: Reply | None = None
    greeting_ms: float = 0.0
    calls: list[tuple[Method, Reply, float]] = field(default_factory=list)
    look_ms: float = 0.0
    tls: TLSOutcome | None = None
    is_open_to_all: bool = False

    @property
    def all_ms(self) -> float:
        own = 0.0 if self.greeting is None else self.greeting_ms
        return own + self.look_ms + sum(ms for _, _, ms in self.calls)

    def spent(self, *methods: Method) -> float:
        return sum(ms for method, _, ms in self.calls if method in methods)

    def reply(self, method: Method) -> Reply | None:
        return next((reply for called, reply, _ in reversed(self.calls) if called is method), None)

    def debug(self, context: ConnectContext) -> list[str]:
        """gRPC's own account of the last call that failed."""
        words = [reply.debug for _, reply, _ in self.calls if reply.debug]
        return [f"gRPC: {server_text(words[-1], context.token, longest=_LONGEST_DEBUG)}"] if words else []


def _observed(
    opened: OpenedChannel, user: str | None, reached: ProbeResults, deadline: Deadline, seen: _Seen
) -> ServerInfo:
    """One handshake, as ``live.handshake`` drives it, with a watch on every step."""
    core, context = opened.core, opened.context
    calls_end = calls_deadline(deadline)
    tls_seen = None if context.tls is None else _look_at_tls(reached, context.host, context.tls, calls_end)

    def looked() -> ProbeResults | None:
        if tls_seen is None:
            return look(context, deadline)
        found = tls_seen(deadline.remaining)
        if isinstance(found, MilvusProfilesError):
            raise found  # as it would end connect
        seen.tls = found
        return replace(reached, tls=found)

    def made(call: Invoke) -> Reply:
        reply, ms = _timed(partial(make_call, core.raw, call, calls_end.remaining))
        seen.calls.append((call.method, reply, ms))
        if seen.greeting is None and len(seen.calls) == 1:
            seen.greeting_ms = ms
        return reply

    plan = handshake_plan(core.holder, context, user=user)
    step = next(plan)
    if context.token is not None and not isinstance(step, Probe):
        # First without the token: whoever is there is seen before a secret goes out, and a server that asks for none
        # shows.  The verdict is not this call's.
        share = calls_end.remaining * _GREETING_SHARE
        first = step.first if isinstance(step, Together) else step
        greeting, ms = _timed(partial(make_call, core.raw, Invoke.bare(first.method, first.request), share))
        seen.greeting, seen.greeting_ms = greeting, ms
        if (refusal := refused_here(greeting.code, greeting.details, context, first.method.name)) is not None:
            # It may not show that once more: the next call may find the connection closed.
            seen.calls.append((first.method, greeting, ms))
            raise refusal
    try:
        while True:
            reply: Any
            if isinstance(step, Probe):
                reply, seen.look_ms = _timed(looked)
            else:  # one by one, so that each has a time of its own
                reply = one_by_one(step, made) if isinstance(step, Together) else made(step)
            step = plan.send(reply)
    except StopIteration as done:
        info: ServerInfo = done.value
    finally:
        if tls_seen is not None and seen.tls is None:
            found = tls_seen(_TLS_GRACE)
            seen.tls = _unexamined(found.message) if isinstance(found, MilvusProfilesError) else found
    if (greeted := seen.greeting) is not None:
        if not info.has_connect:
            # A server from before Connect; this call asks for credentials wherever they are asked for at all.
            greeted = make_call(core.raw, Invoke.bare(GET_VERSION, b""), deadline.sooner(_CHECK).remaining)
        seen.is_open_to_all = greeted.code is grpc.StatusCode.OK
    return info


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1000


_Found = TLSOutcome | MilvusProfilesError
"""What a look at TLS came to; an error says that a TLS file has changed since the channel was opened."""


def _look_at_tls(reached: ProbeResults, host: str, tls: TLSSettings, deadline: Deadline) -> Callable[[float], _Found]:
    """Look in a thread of its own; the result waits for it, and is no verdict if it failed or takes too long."""
    # Here and not in the thread: where a process ends while a thread loads this, Rust's runtime aborts it.
    from cryptography import x509  # noqa: F401

    def failed(error: BaseException) -> _Found:
        if isinstance(error, MilvusProfilesError):
            return error
        return _unexamined(f"the look at it failed ({type(error).__name__})")

    if reached.address is None:
        return lambda _: _unexamined("only gRPC knows its address")
    work = partial(probe_tls, reached.address, host, tls, deadline)
    try:
        pending: Pending[_Found] = Pending(work, failed, "milvus-profiles tls")
    except ThreadStartError:
        return lambda _: _unexamined("no thread could be started for a look at it")

    def result(seconds: float) -> _Found:
        try:
            return pending.wait(max(seconds, 0.001))
        except TimeoutError:
            return _unexamined("there was no time for a look at it")
        except ThreadStartError:
            return _unexamined("the look at it was ended from outside")

    return result


def _unexamined(why: str) -> TLSOutcome:
    return TLSOutcome("unexamined", detail=why)


# --- what it means ---------------------------------------------------------------------------------------------------


def _stage_of(error: MilvusProfilesError, seen: _Seen) -> StageName:
    if seen.calls and answered_by_gateway(seen.calls[-1][1].details):
        return "grpc"
    if isinstance(error, TLSError):
        return "tls"
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "auth"
    if isinstance(error, DatabaseNotFoundError):
        return "database"
    unheard = seen.tls is not None and not seen.tls.speaks_tls and seen.tls.status != "unexamined"
    if isinstance(error, UnreachableError) and unheard:
        return "tls"
    return "grpc"


def _who(profile: Profile, context: ConnectContext) -> str:
    if context.token is None:
        return "no credentials, and none are asked for"
    return f"user {profile.user}" if profile.user else "token accepted"


def _describe(info: ServerInfo) -> str:
    version = info.version or ""
    if (name := server_name(version)).startswith("Milvus Lite"):
        return name
    parts = [version or "not told by the server"]
    if info.git_commit:
        built = f" of {info.build_time}" if info.build_time else ""
        parts.append(f"build {info.git_commit}{built}")
    if info.deploy_mode:
        parts.append(info.deploy_mode)
    if not info.has_connect:
        parts.append("from before the Connect call")
    return ", ".join(parts)


def _describe_database(stage: StageDraft, opened: OpenedChannel, seen: _Seen, rest: Deadline) -> None:
    holder = opened.core.holder
    named = printable(shown(("db_name",), holder.db_name) if holder.db_name else "the default one")
    reply = seen.reply(SHOW_COLLECTIONS)
    if holder.db_name is None:
        # connect does not look where nothing is named; whether this user may is worth knowing all the same.
        call = Invoke(SHOW_COLLECTIONS, SHOW_COLLECTIONS.serialize({}), holder.metadata)
        reply, ms = _timed(lambda: make_call(opened.core.raw, call, rest.remaining))
        stage.ms = (stage.ms or 0.0) + ms
    stage.detail = named
    if reply is not None and (status := http_status_of(reply.details)) is not None:
        stage.warn(
            f"a gateway does not let the list of collections through (HTTP status {status})",
            "nothing, if programs need no more; else see the gateway's own rules",
        )
        return
    if reply is None or reply.code is grpc.StatusCode.UNIMPLEMENTED:
        return
    if reply.code is grpc.StatusCode.PERMISSION_DENIED:
        stage.warn(
            "this user may not list collections, so "
            + ("that it exists cannot be verified" if holder.db_name else "nothing more is known of it"),
            "nothing, if the user needs no more; else grant the privilege ShowCollections",
        )
        return
    number, why = _collections(reply)
    if why is None:
        stage.detail = f"{named}, {counted(number, 'collection')}"
    else:
        said = server_text(why, holder.token)
        stage.warn(f"its collections cannot be listed: {said}", "see what the server's own log says")


def _collections(reply: Reply) -> tuple[int, str | None]:
    """How many there are, or why that is not known."""
    if is_oversized(reply.code, reply.details):
        return 0, oversized(SHOW_COLLECTIONS.name)
    if reply.code is not grpc.StatusCode.OK:
        return 0, f"{reply.code.name} {reply.details}"
    try:
        answer = SHOW_COLLECTIONS.deserialize(reply.response or b"")
    except DecodeError:
        return 0, "the answer cannot be read"
    code, reason = status_of(answer)
    return len(answer.collection_names), f"code {code}, {reason}" if code else None
