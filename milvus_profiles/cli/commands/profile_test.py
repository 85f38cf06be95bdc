"""``profile test``: whether a profile leads to a Milvus, and if not, which step fails and why."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ...background import start
from ...errors import ThreadStartError, UsageError
from ...masked import SecretText
from .. import keyring_access
from ..file_warnings import warn_about_profiles
from ..output import emit_json
from ..session import current

if TYPE_CHECKING:
    from ...config.profiles import Profiles
    from ...diagnosis.cancellation import Cancellation
    from ...diagnosis.report import Report
    from ...profile import Profile

__all__ = ["run_one", "test"]

_SIDE_BY_SIDE = 128
"""Tests that run at once: they wait for the network, nearly all of the time."""


def test(
    aliases: Annotated[
        list[str] | None, typer.Argument(metavar="[ALIAS]...", help="The profiles; default: the selected one.")
    ] = None,
    all_profiles: Annotated[bool, typer.Option("--all", help="Test every profile that has an address.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="S", min=0.001, help="Seconds for each; default: the profile's."),
    ] = None,
    wait: Annotated[
        float | None, typer.Option("--wait", metavar="S", min=0, help="Wait this long for a server that is starting.")
    ] = None,
    junit: Annotated[
        str | None, typer.Option("--junit", metavar="FILE", help="Write the outcome as JUnit XML too.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what stands in the place of the JUnit report.")
    ] = False,
) -> None:
    """Test profiles step by step: configuration, secret, network, TLS, gRPC, authentication, database."""
    session = current()
    if (aliases or session.profile is not None) and all_profiles:
        raise UsageError("a profile and --all are both given", hint="give one of them")
    if all_profiles:
        profiles = session.profiles()
        names = [alias for alias in profiles if not _is_template(profiles, alias)]
    elif aliases and len(aliases) > 1:
        profiles = session.profiles()
        # All are looked up before any is tested: an unknown one among them tests nothing.
        names = list(dict.fromkeys(session.select(alias).alias for alias in aliases))
    else:
        names = [session.select(aliases[0] if aliases else None).alias]
        profiles = session.profiles()
    if not names:
        raise UsageError("there is no profile to test", hint=f"declare one with {session.remedy('profile', 'add')}")
    if force and junit is None:
        raise UsageError("--force is for the report of --junit", hint="leave it out, or add --junit FILE")
    inside = None
    if junit is not None:
        from ..junit import check_report

        inside = check_report(junit, force)
    warn_about_profiles(profiles, names)
    reports = _run(profiles, names, timeout, wait)
    if session.json:
        emit_json([report.as_json(verbose=session.verbose > 0) for report in reports])
    if junit is not None:
        from ..junit import write_report

        write_report(junit, inside, reports)
    codes = sorted(report.exit_code for report in reports if not report.ok)
    if codes:
        raise typer.Exit(codes[0])


def _is_template(profiles: Profiles, alias: str) -> bool:
    from ...config.values import has_address
    from ...errors import ConfigError

    try:
        return not has_address(profiles.raw(alias).values)
    except ConfigError:
        return False  # invalid is worth a test: it fails, and says why


def _run(profiles: Profiles, names: list[str], timeout: float | None, wait: float | None) -> list[Report]:
    from ...diagnosis.cancellation import Cancellation
    from ...diagnosis.stages import ProfileTest, diagnose_declared
    from ..progress import view_of

    # Made before any thread asks for it.
    keyring_access.keyring(profiles)
    with view_of(names) as view:

        def one(alias: str, cancellation: Cancellation) -> Report:
            view.begin(alias)
            secrets = keyring_access.context(alias, among=len(names))
            how = ProfileTest(secrets, timeout, wait, lambda stage: view.stage(alias, stage), cancellation)
            report = diagnose_declared(profiles, alias, how)
            view.end(report)
            return report

        if len(names) == 1:
            return [one(names[0], Cancellation())]
        return _side_by_side(names, one)


def _side_by_side(names: list[str], one: Callable[[str, Cancellation], Report]) -> list[Report]:
    """Run the tests in threads, of which none keeps the process from ending when it is interrupted."""
    from ...diagnosis.cancellation import Cancellation, Cancelled

    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Report | BaseException]] = queue.SimpleQueue()
    cancellations = {alias: Cancellation() for alias in names}

    def work() -> None:
        while True:
            try:
                alias = waiting.get_nowait()
            except queue.Empty:
                return
            outcome: Report | BaseException
            try:
                outcome = one(alias, cancellations[alias])
            except Cancelled:
                continue
            except BaseException as error:
                outcome = error
            done.put((alias, outcome))

    for alias in names:
        waiting.put(alias)
    started = 0
    with contextlib.suppress(ThreadStartError):  # fewer do it too
        for _ in range(min(len(names), _SIDE_BY_SIDE)):
            start(work, "milvus-profiles test")
            started += 1
    if not started:
        work()
    reports: dict[str, Report] = {}
    try:
        while len(reports) < len(names):
            alias, outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            reports[alias] = outcome
    finally:
        for cancellation in cancellations.values():
            cancellation.cancel()
    return [reports[alias] for alias in names]


def run_one(profile: Profile, secret: SecretText | None) -> Report:
    """Test a profile that stands in no file yet, with what is going to be stored for it; None: with its reference."""
    from ...diagnosis.stages import ProfileTest, diagnose_profile
    from ..progress import view_of

    session, alias = current(), profile.alias
    with view_of([alias]) as view:
        view.begin(alias)
        how = ProfileTest(keyring_access.context(alias), on_stage=lambda stage: view.stage(alias, stage))
        report = diagnose_profile(profile, how, token=secret)
        view.end(report)
    if session.json and not report.ok:
        emit_json([report.as_json(verbose=session.verbose > 0)])
    return report
