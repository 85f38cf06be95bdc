"""The test of a profile: the steps of connecting, one by one, each with its time and, if it fails, the cause.

The steps are those that ``connect`` takes, made by the same functions: the same resolution, the same resolver of
secrets, the same channel, handshake and classification.  Below gRPC the probes look at one layer at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config.plaintext import check_plaintext
from ..connections.opening import Started, patiently, start
from ..errors import (
    AuthenticationError,
    DatabaseNotFoundError,
    MilvusProfilesError,
    PermissionDeniedError,
    TLSError,
    UnreachableError,
)
from ..masked import SecretText
from ..profile import Profile
from ..secrets import SecretContext, resolve
from ..transport.deadline import Deadline
from ..transport.handshake import ServerInfo, handshake
from ..transport.probes import connect_first
from ..transport.probes import resolve as resolve_host
from .report import STAGES, Report, Stage, StageName, Status

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["diagnose", "diagnose_profile"]


class _Failed(Exception):
    """A stage failed; the rest is skipped."""


class _Run:
    """The stages so far."""

    def __init__(self, alias: str, on_stage: Callable[[Stage], None] | None) -> None:
        self.alias = alias
        self.version: str | None = None
        self.exit_code = 0
        self._on_stage = on_stage
        self._stages: list[Stage] = []

    def add(self, name: StageName, status: Status, ms: float = 0.0, detail: str = "", hint: str | None = None) -> None:
        stage = Stage(name, status, ms, detail, hint)
        self._stages.append(stage)
        if self._on_stage is not None:
            self._on_stage(stage)

    @contextmanager
    def stage(self, name: StageName) -> Iterator[Callable[..., None]]:
        """Time a stage; what its body raises fails it."""
        began = time.perf_counter()
        done: dict[str, str | None] = {"status": "ok", "detail": "", "hint": None}

        def outcome(detail: str, *, status: Status = "ok", hint: str | None = None) -> None:
            done.update(status=status, detail=detail, hint=hint)

        try:
            yield outcome
        except MilvusProfilesError as error:
            self.fail(name, error, (time.perf_counter() - began) * 1000)
        status: Status = done["status"]  # type: ignore[assignment]
        self.add(name, status, (time.perf_counter() - began) * 1000, done["detail"] or "", done["hint"])

    def fail(self, name: StageName, error: MilvusProfilesError, ms: float) -> None:
        detail = f"{error.location}: {error.message}" if error.location else error.message
        self.add(name, "failed", ms, detail, error.hint)
        self.exit_code = error.exit_status
        raise _Failed from None

    def report(self) -> Report:
        seen = {stage.name for stage in self._stages}
        for name in STAGES:
            if name not in seen:
                self.add(name, "skipped")
        order = {name: index for index, name in enumerate(STAGES)}
        stages = tuple(sorted(self._stages, key=lambda stage: order[stage.name]))
        return Report(self.alias, self.exit_code, self.version, stages)


def diagnose(
    profiles: Profiles,
    alias: str,
    *,
    secrets: SecretContext,
    timeout: float | None = None,
    wait: float | None = None,
    on_stage: Callable[[Stage], None] | None = None,
) -> Report:
    """Test a profile.

    Args:
        profiles: where it is declared.
        alias: which one; it exists.
        secrets: how its secret is resolved.
        timeout: seconds for the network's stages; None takes the profile's.
        wait: seconds to wait for a server that is starting or not reachable yet.
        on_stage: called with each stage as it ends.
    """
    run = _Run(alias, on_stage)
    try:
        with run.stage("config") as outcome:
            resolved = profiles.use(alias)
            warning = check_plaintext(resolved)
            if warning is not None:
                outcome(warning, status="warning", hint="use https:// where the server has TLS")
            else:
                outcome(_where(resolved.profile))
        _connect(run, resolved.profile, secrets, None, timeout, wait)
    except _Failed:
        pass
    return run.report()


def diagnose_profile(
    profile: Profile,
    *,
    secrets: SecretContext,
    token: SecretText | None = None,
    timeout: float | None = None,
    on_stage: Callable[[Stage], None] | None = None,
) -> Report:
    """Test a profile that is declared nowhere yet.

    Args:
        profile: the profile, valid and with an address.
        secrets: how its secret is resolved.
        token: its whole token; None resolves it.
        timeout: seconds for the network's stages; None takes the profile's.
        on_stage: called with each stage as it ends.
    """
    run = _Run(profile.alias, on_stage)
    try:
        run.add("config", "ok", 0.0, _where(profile))
        _connect(run, profile, secrets, token, timeout, None)
    except _Failed:
        pass
    return run.report()


def _where(profile: Profile) -> str:
    return profile.endpoint.uri + (f", database {profile.db_name}" if profile.db_name else "")


def _connect(
    run: _Run,
    profile: Profile,
    secrets: SecretContext,
    token: SecretText | None,
    timeout: float | None,
    wait: float | None,
) -> None:
    with run.stage("secret") as outcome:
        if token is None:
            token = resolve(profile.credential, profile.endpoint, secrets)
        outcome("no credentials" if token is None else profile.auth)
    limit = profile.timeout if timeout is None else timeout
    failure: MilvusProfilesError | None
    try:
        started = start(profile, token, lambda: None)
    except MilvusProfilesError as error:
        failure = error
    else:
        failure = None
    if failure is not None:
        # Milvus Lite that cannot be started, or a TLS file that is wrong.
        run.fail("tcp" if profile.endpoint.kind == "lite" else "tls", failure, 0.0)
    try:
        _network(run, profile, started, limit, wait)
        _handshake(run, profile, started, limit, wait, token)
    finally:
        started.close()


def _network(run: _Run, profile: Profile, started: Started, limit: float, wait: float | None) -> None:
    """Name resolution and TCP; what is wrong above is told by the handshake, which looks deeper when it fails."""
    with run.stage("dns") as outcome:
        resolution = resolve_host(started.attempt.route, Deadline.after(limit))
        if resolution.failure is not None:
            raise UnreachableError(
                f"the host name {resolution.host!a} cannot be resolved: {resolution.failure}",
                hint="check its spelling, and the network's name server",
            )
        found = ", ".join(dict.fromkeys(address.host for address in resolution.addresses))
        outcome(found if profile.endpoint.kind == "tcp" else "not needed")

    def connected() -> str:
        outcomes = connect_first(resolution.addresses, Deadline.after(limit))
        if not outcomes[-1].is_connected:
            tried = "; ".join(f"{outcome.address}: {outcome.detail or outcome.status}" for outcome in outcomes)
            raise UnreachableError(
                f"{profile.endpoint} cannot be reached: {tried}",
                hint="is the server running, are host and port right, and does a firewall let it through?",
            )
        return str(outcomes[-1].address)

    with run.stage("tcp") as outcome:
        outcome(patiently(connected, wait))


def _stage_of(error: MilvusProfilesError) -> StageName:
    """The stage at which a handshake failed."""
    if isinstance(error, TLSError):
        return "tls"
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "auth"
    return "database" if isinstance(error, DatabaseNotFoundError) else "grpc"


def _handshake(
    run: _Run, profile: Profile, started: Started, limit: float, wait: float | None, token: SecretText | None
) -> None:
    def attempt() -> ServerInfo:
        return handshake(started.core, started.attempt, Deadline.after(limit), user=profile.user)

    # One exchange passes several stages at once; its time is shown where it waits, at gRPC or where it fails.
    began = time.perf_counter()
    failure: MilvusProfilesError | None = None
    try:
        run.version = patiently(attempt, wait).version
    except MilvusProfilesError as error:
        failure = error
    ms = (time.perf_counter() - began) * 1000
    passed: dict[StageName, str] = {
        "tls": "verified",
        "grpc": "a Milvus answers",
        "auth": _who(profile, token),
        "version": run.version or "not told by the server",
        "database": profile.db_name or "the default one",
    }
    failed = None if failure is None else _stage_of(failure)
    for name, detail in passed.items():
        if name == failed and failure is not None:
            run.fail(name, failure, ms)
        if name == "tls" and not profile.endpoint.tls:
            continue
        # A database that is not there ends the handshake before the version is known here.
        if not (name == "version" and failed is not None):
            run.add(name, "ok", ms if name == "grpc" else 0.0, detail)


def _who(profile: Profile, token: SecretText | None) -> str:
    if token is None:
        return "no credentials, and none are asked for"
    return f"user {profile.user}" if profile.user else "token accepted"
