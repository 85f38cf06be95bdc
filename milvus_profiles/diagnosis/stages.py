"""The test of a profile: the steps of connecting, one by one, each with its time and, if it fails, the cause.

The steps are those that ``connect`` takes, made by the same functions.  Below gRPC the probes look at one layer at a
time; the verdict on what they see is the classification's, as for ``connect``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..background import Deadline
from ..channel.grpc_process import grpc
from ..channel.wire import LARGEST_ANSWER
from ..config.disclosure import shown
from ..config.resolved import check_plaintext
from ..errors import MilvusProfilesError, ParamError, ThreadStartError
from ..live.opening import start
from ..live.registry import OpenedChannel
from ..masked import SecretText, server_text
from ..names import seconds_of
from ..probe.context import ConnectContext
from ..probe.early import EarlyLook
from ..probe.explain import classify
from ..probe.http import HTTPAnswer, http_get
from ..probe.sockets import PROXY_VARIABLES, Resolution, SocketAddress, connect_first, proxy_in_force, route_to
from ..probe.sockets import resolve as resolve_host
from ..probe.tls import ProbeResults, reach
from ..probe.tls_stream import verifying_context
from ..profile import Profile
from ..secrets.resolution import SecretContext, resolve
from ..text import printable
from .report import Report, Stage, StageName
from .server import Channel, grpc_finds_more, shake_hands
from .test_run import Cancellation, RetryBudget, StageDraft, StageFailed, TestRun, broken

if TYPE_CHECKING:
    from ..config.profiles import Profiles


@dataclass(frozen=True)
class ProfileTest:
    """How a profile is tested.

    Attributes:
        secrets: how its secret is resolved.
        timeout: seconds for reaching the server, and again for the handshake; None takes the profile's.
        wait: seconds to wait for a server that is starting or not reachable yet; None tries once.
        on_stage: called with each stage as it ends, in the thread of the test.
        cancellation: ends the test from another thread.
        early: a look at the server that has begun already, so that its time has too; None begins one.
        now: the time, for the days that a certificate has left.
    """

    __test__ = False  # nothing for pytest to collect

    secrets: SecretContext
    timeout: float | None = None
    wait: float | None = None
    on_stage: Callable[[Stage], None] | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.timezone.utc)
    early: EarlyLook | None = None

    def __post_init__(self) -> None:
        for name, given in (("timeout=", self.timeout), ("wait_ready=", self.wait)):
            if given is not None:
                seconds_of(name, given)
        if self.on_stage is not None and not callable(self.on_stage):
            raise ParamError(f"on_stage= is a function, not a value of the type {type(self.on_stage).__name__}")


def diagnose_declared(profiles: Profiles, alias: str, test: ProfileTest) -> Report:
    """Test a profile that is declared; Cancelled where the test is cancelled."""
    run = TestRun(alias, test.on_stage, test.cancellation)
    with suppress(StageFailed):
        with run.stage("config", "correct it there") as stage:
            resolved = profiles.use(alias)
            stage.detail = _where(resolved.profile)
            stage.notes.append(f"declared at {resolved.origin}")
            if (warning := check_plaintext(resolved)) is not None:
                stage.warn(warning, "use https:// where the server has TLS")
        _connect(run, resolved.profile, test, None, profiles.settings.environment.ignored)
    return run.report()


def diagnose_profile(profile: Profile, test: ProfileTest, *, token: SecretText | None = None) -> Report:
    """Test a profile that is declared nowhere yet, as :func:`diagnose_declared`; a token of None is resolved."""
    run = TestRun(profile.alias, test.on_stage, test.cancellation)
    with suppress(StageFailed):
        with run.stage("config") as stage:
            stage.detail = _where(profile)
        _connect(run, profile, test, token, ())
    return run.report()


def _where(profile: Profile) -> str:
    database = profile.db_name and shown(("db_name",), profile.db_name)
    return profile.endpoint.uri + (f", database {database}" if database else "")


def _connect(
    run: TestRun, profile: Profile, test: ProfileTest, token: SecretText | None, ignored_variables: Sequence[str]
) -> None:
    with run.stage("secret") as stage:
        if token is None:
            token = resolve(profile.credential, profile.endpoint, test.secrets)
        stage.detail = "no credentials" if token is None else profile.auth
    opened = [_open(run, profile, token)]

    def reopen(addresses: Sequence[str]) -> OpenedChannel:
        opened.append(start(profile, token, lambda: None, largest=LARGEST_ANSWER, addresses=addresses))
        return opened[-1]

    try:
        with test.cancellation.closing(lambda: opened[-1].core.close()):
            limit = profile.timeout if test.timeout is None else test.timeout
            early = test.early if test.early is not None and test.early.fits(opened[0].context.route, limit) else None
            budget = RetryBudget(limit, test.wait, test.cancellation, None if early is None else early.deadline)
            reached = _reach(run, profile, opened[0], budget, test.secrets.env, early)
            # As for connect, the handshake has the whole time: a slow name server takes nothing from it.
            budget.renew()
            shake_hands(run, profile, Channel(opened[0], reopen), budget, reached, ignored_variables, test.now)
        ask_rest(run, profile, opened[-1], reached.address, budget)
        ask_management(run, profile, opened[-1].core.holder.token, test.secrets.env, budget)
    finally:
        for one in opened:
            one.close()


def _open(run: TestRun, profile: Profile, token: SecretText | None) -> OpenedChannel:
    """The channel; where it cannot be made, Milvus Lite does not start, or a TLS file is wrong."""
    failure: MilvusProfilesError
    try:
        return start(profile, token, lambda: None, largest=LARGEST_ANSWER)
    except Exception as error:
        failure = broken(error)
    if isinstance(failure, ThreadStartError):
        where: StageName = "grpc"
    else:
        where = "tcp" if profile.endpoint.kind == "lite" else "tls"
    with run.stage(where):
        raise failure
    raise AssertionError("the stage fails")


def _reach(
    run: TestRun,
    profile: Profile,
    opened: OpenedChannel,
    budget: RetryBudget,
    env: Mapping[str, str],
    early: EarlyLook | None,
) -> ProbeResults:
    """The stages below TLS; what comes of them has an address, unless gRPC alone knows one."""
    context, is_tcp = opened.context, profile.endpoint.kind == "tcp"
    looks = [] if early is None else [early]  # its answers are given once

    def resolved(deadline: Deadline) -> Resolution:
        found = looks[0].resolution() if looks else None
        if found is None:
            looks.clear()
            found = resolve_host(context.route, deadline)
        if found.failure is not None:
            looks.clear()
        if found.failure is not None and not grpc_finds_more(opened, budget):
            raise _unreachable(context, ProbeResults(found))
        return found

    with run.stage("dns") as stage:
        ignored = _ignored_proxies(profile, env)
        unused = f"{', '.join(ignored)} is set, and not used"
        use_it = f"{context.remedy('proxy=http://HOST:PORT')} uses a proxy"
        advice = f"{unused}: {use_it}" if ignored else None
        stage.advise(advice)
        resolution = budget(resolved)
        stage.hint = None
        hosts = dict.fromkeys(address.host for address in resolution.addresses)
        stage.detail = ", ".join(hosts) if is_tcp else "not needed"
        if resolution.failure is not None:
            _warn_of_resolvers(stage, f"the system's resolver does not know the name ({printable(resolution.failure)})")
        if context.route.tunnel is not None:
            stage.detail += " (the proxy's)"
        stage.notes += [str(address) for address in resolution.addresses]

    def connected(deadline: Deadline) -> ProbeResults:
        attempts = looks.pop().attempts() if looks else None
        # What was waited for before this stage is its time too.
        stage.ms = None if attempts is None else sum(tried.seconds for tried in attempts) * 1000
        if attempts is None:
            attempts = connect_first(resolution.addresses, deadline)
        results = ProbeResults(resolution, attempts)
        stage.notes[:] = [f"{tried.address}: {tried.words} after {tried.seconds:.3f} s" for tried in results.attempts]
        if results.address is None and not (resolution.failure or grpc_finds_more(opened, budget)):
            raise _unreachable(context, results)
        return results

    with run.stage("tcp") as stage:
        stage.advise(advice)
        reached = budget(connected)
        stage.hint = None
        stage.detail = "; ".join(f"{tried.address} {tried.words}" for tried in reached.attempts)
        if reached.address is None:
            _warn_of_resolvers(stage, "no address that the system knows answers")
        if context.route.tunnel is not None:
            stage.detail += f" and leads to {context.route.tunnel}"
        if ignored:
            stage.warn(f"{unused}: the connection is a direct one", f"{use_it}; unset the variable if none is needed")
        elif profile.proxy is not None and context.route.tunnel is None and is_tcp:
            stage.warn("the profile's proxy is not used: no_proxy names the host", "see no_grpc_proxy and no_proxy")
    return reached


def _warn_of_resolvers(stage: StageDraft, words: str) -> None:
    stage.warn(
        f"{words}; gRPC's own resolver leads to a server",
        "other programs may not reach it: see /etc/hosts, /etc/nsswitch.conf and /etc/resolv.conf",
    )


def _unreachable(context: ConnectContext, results: ProbeResults) -> MilvusProfilesError:
    return classify(grpc.StatusCode.UNAVAILABLE, "", context, results=results)


def _ignored_proxies(profile: Profile, env: Mapping[str, str]) -> list[str]:
    """The variables from which other gRPC programs would take a proxy to this host."""
    if profile.endpoint.kind != "tcp" or profile.proxy is not None or not proxy_in_force(profile.endpoint.host, env):
        return []
    return [name for name in PROXY_VARIABLES if env.get(name)]


# --- what a server says by HTTP: information, whatever comes ----------------------------------------------------------
#
# To the port that gRPC uses the token goes along, to the very place that gRPC has just sent it to, and under the same
# verification of TLS.  The management port has neither TLS nor authentication, and no secret is sent to it.

_SHARE = 1.0
"""Seconds at most for each of the two."""
# Milvus 2.4 and later; 2.3.  Both list the collections.
_PATHS = {"v2": "/v2/vectordb/collections/list", "v1": "/v1/vector/collections"}
_LONGEST_METRICS = 2 << 20
"""Bytes of the metrics that are read; a busy server has some hundred kilobytes of them."""
# milvus_build_info{built="…",git_commit="…",version="…"} 1: Milvus 2.4 and later.
_BUILD_INFO = re.compile(rb'^milvus_build_info\{[^}\n]*\bversion="([^"\n]{1,100})"', re.MULTILINE)


def ask_rest(
    run: TestRun, profile: Profile, opened: OpenedChannel, address: SocketAddress | None, budget: RetryBudget
) -> None:
    with run.stage("rest") as stage:
        if address is None:
            stage.skip("gRPC alone knows the server's address")
            return
        if profile.endpoint.kind == "lite":
            stage.skip("Milvus Lite has none")
            return
        deadline, context = budget.rest(_SHARE), opened.context
        try:
            tls = None if context.tls is None else verifying_context(context.tls, protocol="http/1.1")
        except MilvusProfilesError as error:  # a file has changed since the handshake
            stage.skip(f"no HTTP API here: {error.message}")
            return
        for version, path in _PATHS.items():
            answer = http_get(
                address, path, deadline, authority=context.endpoint.authority or "localhost",
                tls=tls, server_name=context.host, token=opened.core.holder.token,
            )  # fmt: skip
            if _settled(stage, version, answer):
                return
        stage.skip("no HTTP API here: neither the path of v2 nor that of v1 is known")


def _settled(stage: StageDraft, version: str, answer: HTTPAnswer) -> bool:
    """Say what an answer means; False if the next path has to be asked."""
    if not answer.status:
        stage.skip(f"no HTTP API here: {answer.failure}")
    elif answer.status == 401:
        stage.detail = f"{version} answers"
        stage.warn(
            "it does not let this profile in, though gRPC does (HTTP status 401)",
            "the HTTP API takes user:password or an API key as a bearer token",
        )
    elif answer.status == 403:
        stage.detail = f"{version} answers; this user may not list collections"
    elif answer.status == 404:
        return False
    elif answer.status < 300 or answer.status == 405:  # 405: it is there, for another method
        stage.detail = f"{version} answers"
    else:
        stage.skip(f"no HTTP API here: {version} answers with HTTP status {answer.status}")
    return True


def ask_management(
    run: TestRun, profile: Profile, token: SecretText | None, env: Mapping[str, str], budget: RetryBudget
) -> None:
    """Look at ``/healthz`` and ``/metrics``; the token is for masking: a server that was sent it could say it here."""
    with run.stage("management") as stage:
        if profile.endpoint.kind != "tcp":
            stage.skip("there is none: the endpoint is no host")
            return
        endpoint = replace(profile.endpoint, port=profile.management_port, tls=False)
        deadline = budget.rest(_SHARE)
        reached = reach(route_to(endpoint, proxy=profile.proxy, env=env), deadline)
        if (address := reached.address) is None:
            why = reached.attempts[-1].words if reached.attempts else "the host name cannot be resolved"
            stage.skip(f"{endpoint.authority} does not answer: {why}")
            return
        stage.notes.append(f"http://{address}/healthz")
        health = http_get(address, "/healthz", deadline, authority=endpoint.authority)
        if not health.status or health.status == 404:
            why = health.failure or "it does not know /healthz"
            stage.skip(f"{endpoint.authority} is no management port: {why}")
            return
        if health.status == 200:
            stage.detail = "healthy"
        else:
            line = server_text(_decoded(health.body.strip().split(b"\n", 1)[0]), token, longest=100) or "nothing"
            stage.warn(f"/healthz says {line} (HTTP status {health.status})", "see what the server's log says")
        if (version := _version(address, endpoint.authority, budget.rest(_SHARE))) is not None:
            stage.detail += f", version {server_text(version, token)}"


def _version(address: SocketAddress, authority: str, deadline: Deadline) -> str | None:
    answer = http_get(address, "/metrics", deadline, authority=authority, longest=_LONGEST_METRICS)
    found = _BUILD_INFO.search(answer.body) if answer.status == 200 else None
    return None if found is None else _decoded(found[1])


def _decoded(said: bytes) -> str:
    return said.decode("utf-8", "replace")
