"""``test | watch | ping``: whether profiles lead to a Milvus, which step fails and why, and how long it takes."""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer import Argument, Option

from ...background import start
from ...config.disclosure import shown
from ...config.values import has_address
from ...errors import ConfigError, MilvusProfilesError, ThreadStartError, UsageError
from ...text import counted
from .. import keyring_access
from ..asking import selected_or_picked
from ..early import SIDE_BY_SIDE, begun, probed
from ..options import OptionalAlias, TimeoutOption
from ..output import emit_json, print_error, say, warn, warn_about_profiles
from ..progress import View, view_of, watching
from ..report_files import check_report, page, write_report
from ..session import current

if TYPE_CHECKING:
    from ...config.profiles import Profiles
    from ...diagnosis.report import Report


def test(
    aliases: list[str] | None = Argument(None, metavar="[ALIAS]...", help="The profiles; default: the selected one."),
    all_profiles: bool = Option(False, "--all", help="Test every profile that has an address."),
    timeout: TimeoutOption = None,
    wait: float | None = Option(
        None, "--wait", metavar="S", min=0, help="Wait this long for a server that is starting."
    ),
    junit: str | None = Option(None, "--junit", metavar="FILE", help="Write the outcome as JUnit XML too."),
    html: str | None = Option(
        None, "--html", metavar="FILE", help="Write the outcome as a page too; - prints it instead."
    ),
    force: bool = Option(False, "--force", help="Replace what stands in the place of a report."),
    watch: float | None = Option(None, "--watch", metavar="S", min=0.1, max=86400, help="Test again every S seconds."),
) -> None:
    """Test profiles step by step: configuration, secret, network, TLS, gRPC, authentication, database."""
    session = current()
    profiles, names = named(aliases, all_profiles)
    files = {"--junit": junit, "--html": None if html == "-" else html}
    wanted = {option: path for option, path in files.items() if path is not None}
    if force and not wanted:
        raise UsageError(
            "--force is for the report of --junit or --html", hint="leave it out, or add --junit FILE or --html FILE"
        )
    if watch is not None:
        if junit is not None or html is not None:
            raise UsageError("--watch has no end, so there is no report", hint="leave --junit and --html out")
        watched(profiles, names, watch, timeout=timeout, wait=wait)
        return
    if html == "-" and session.json:
        raise UsageError("--json and --html - are both for standard output", hint="name a file: --html FILE")

    inside = {option: check_report(option, path, force) for option, path in wanted.items()}
    warn_about_profiles(profiles, names)
    view = View() if html == "-" else view_of(names)
    with view:
        reports = run_tests(profiles, names, view, timeout=timeout, wait=wait)
    if session.json:
        emit_json([report.as_json(verbose=session.verbose > 0) for report in reports])
    descriptions = {alias: _description(profiles, alias) for alias in names}
    if html == "-":
        sys.stdout.write(page(reports, descriptions))
    for option, path in wanted.items():
        write_report(option, path, inside[option], reports, descriptions)
    end_with(reports)


def end_with(reports: list[Report]) -> None:
    """End with the lowest status of the tests that failed, if one did."""
    codes = sorted(report.exit_code for report in reports if not report.ok)
    if codes:
        raise typer.Exit(codes[0])


def named(aliases: list[str] | None, all_profiles: bool) -> tuple[Profiles, list[str]]:
    """The profiles that a command tests; UsageError where there are none."""
    session = current()
    if (aliases or session.profile is not None) and all_profiles:
        raise UsageError("a profile and --all are both given", hint="give one of them")
    if all_profiles:
        profiles = session.profiles()
        session.tell_of_variable()
        names = [alias for alias in profiles if not _is_template(profiles, alias)]
    elif aliases and len(aliases) > 1:
        profiles = session.profiles()
        # All are looked up before any is tested: an unknown one among them tests nothing.
        names = list(dict.fromkeys(session.select(alias).alias for alias in aliases))
    else:
        names = [session.select(aliases[0] if aliases else selected_or_picked()).alias]
        profiles = session.profiles()
    if not names:
        raise UsageError("there is no profile to test", hint=f"declare one with {session.standing.adding()}")
    return profiles, names


def watched(
    profiles: Profiles,
    names: list[str],
    every: float,
    *,
    timeout: float | None = None,
    wait: float | None = None,
    count: int | None = None,
) -> None:
    """Test profiles again and again, for so many rounds; None goes on until somebody interrupts it."""
    warn_about_profiles(profiles, names)
    reports: list[Report] = []
    view = watching(names, every)
    with view:
        while True:
            began = time.monotonic()
            reports = run_tests(profiles, names, view, timeout=timeout, wait=wait)
            view.end_round(reports)
            if view.rounds == count:
                break
            time.sleep(max(0.0, began + every - time.monotonic()))
    end_with(reports)


def _description(profiles: Profiles, alias: str) -> str | None:
    try:
        value = profiles.raw(alias).values.get(("description",))
    except MilvusProfilesError:
        return None
    return None if value is None else str(shown(("description",), value.value))


def _is_template(profiles: Profiles, alias: str) -> bool:

    try:
        return not has_address(profiles.raw(alias).values)
    except ConfigError:
        return False  # invalid is worth a test: it fails, and says why


def run_tests(
    profiles: Profiles, names: list[str], view: View, *, timeout: float | None, wait: float | None
) -> list[Report]:
    """Test profiles side by side, in threads, of which none keeps the process from ending when it is interrupted."""
    from ...diagnosis.stages import ProfileTest, diagnose_declared
    from ...diagnosis.test_run import Cancellation, Cancelled

    # Made before any thread asks for it.
    keyring_access.keyring(profiles)
    cancellations = {alias: Cancellation() for alias in names}

    def one(alias: str) -> Report:
        view.begin(alias)
        secrets, early = keyring_access.context(alias, among=len(names)), begun(alias)
        how = ProfileTest(
            secrets, timeout, wait, lambda stage: view.stage(alias, stage), cancellations[alias], early=early
        )
        report = diagnose_declared(profiles, alias, how)
        view.end(report)
        return report

    if len(names) == 1:
        return [one(names[0])]
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Report | BaseException]] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                alias = waiting.get_nowait()
            except queue.Empty:
                return
            outcome: Report | BaseException
            try:
                outcome = one(alias)
            except Cancelled:
                continue
            except BaseException as error:
                outcome = error
            done.put((alias, outcome))

    for alias in names:
        waiting.put(alias)
    started = 0
    with contextlib.suppress(ThreadStartError):  # fewer do it too
        for _ in range(min(len(names), SIDE_BY_SIDE)):
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


def watch(
    aliases: list[str] | None = Argument(None, metavar="[ALIAS]...", help="The profiles; default: all."),
    every: float = Option(5.0, "--every", metavar="S", min=0.1, max=86400, help="Seconds from one round to the next."),
    count: int | None = Option(None, "--count", "-c", metavar="N", min=1, help="End after so many rounds."),
    timeout: TimeoutOption = None,
) -> None:
    """Test profiles again and again: a table with the round trip of each and its last failure, until Ctrl+C.

    The round trip is that of one call over the open connection. On a pipe, and with --json, each round is one line of
    JSON. With --count the exit status is that of the last round.
    """
    # --profile and MILVUS_PROFILE name one as well as the argument does.
    profiles, names = named(aliases, not aliases and current().named is None)
    watched(profiles, names, every, timeout=timeout, count=count)


_STAGES = ("secret", "dns", "tcp", "tls", "grpc", "auth")


def ping(
    alias: OptionalAlias = None,
    count: int | None = Option(None, "--count", "-c", metavar="N", min=1, help="How often to ask.", show_default="5"),
    interval: float | None = Option(
        None, "--interval", "-i", metavar="S", min=0, max=3600, help="Seconds between two.", show_default="1.0"
    ),
    timeout: TimeoutOption = None,
    probe: bool = Option(
        False, "--probe", help="Answer with the exit status alone, once; for containers. -v says why not."
    ),
) -> None:
    """Ask a server for its version, again and again: how long it takes, and where the time goes.

    All questions go over one connection; where the time goes is seen as another one is made, from its
    secret on. With --json each answer is a line, and the summary is the last one.
    """
    if probe:
        if current().json:
            raise UsageError("--probe prints nothing, and so no JSON", hint="leave --json out; the exit status answers")
        for option, given in (("--count", count), ("--interval", interval)):
            if given is not None:
                raise UsageError(f"--probe asks once, so {option} has no place beside it", hint=f"leave {option} out")
        session = current()
        raise typer.Exit(probed(session.agreed(alias), session.config, timeout, explains=session.verbose > 0))
    count, interval = 5 if count is None else count, 1.0 if interval is None else interval
    from ...diagnosis.stages import ProfileTest, diagnose_declared
    from ...live.api import opened
    from ...live.request import CallFields, request

    session = current()
    name, profiles = session.select(alias).alias, session.profiles()
    warn_about_profiles(profiles, [name])
    asked = request(name, profiles=profiles, fields=CallFields({}))
    for warning in asked.warnings:
        warn(str(warning))
    times: list[float] = []
    failure: MilvusProfilesError | None = None
    with opened(asked) as connection:
        report = diagnose_declared(profiles, name, ProfileTest(keyring_access.context(name), timeout))
        stages: dict[str, float] = {stage.name: round(stage.ms, 3) for stage in report.stages if stage.name in _STAGES}
        try:
            for number in range(count):
                if number:
                    time.sleep(interval)
                try:
                    times.append(connection.ping(timeout))
                except MilvusProfilesError as error:
                    failure = error
                    _tell({"alias": name, "number": number + 1, "ms": None, "error": error.code}, None)
                    print_error(error)
                else:
                    milliseconds = round(times[-1] * 1000, 3)
                    line = f"{name}: {number + 1} of {count}, {milliseconds:.2f} ms"
                    _tell({"alias": name, "number": number + 1, "ms": milliseconds, "error": None}, line)
        finally:
            _summarise(name, times, stages)
    if failure is not None:
        raise typer.Exit(failure.exit_status)


def _tell(record: dict[str, Any], line: str | None) -> None:
    if current().json:
        sys.stdout.write(json.dumps(record) + "\n")
    elif line is not None and not current().quiet:
        say(line)
    sys.stdout.flush()


def _summarise(alias: str, times: Sequence[float], stages: dict[str, float]) -> None:
    found = {name: round(value * 1000, 3) for name, value in _figures(times).items()}
    if current().json:
        sys.stdout.write(json.dumps({"alias": alias, "answers": len(times), **found, "stages": stages}) + "\n")
        return
    figures = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    say(f"{alias}: {counted(len(times), 'answer')}" + (f", {figures} ms" if figures else ""), bold=True)
    say("to connect once more: " + ", ".join(f"{name} {ms:.2f}" for name, ms in stages.items()) + " ms")


def _figures(times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {}
    from statistics import median  # which takes long to import

    ordered = sorted(times)
    last = len(ordered) - 1
    return {
        "min": ordered[0],
        "median": median(ordered),
        "p99": ordered[min(last, round(0.99 * last))],
        "max": ordered[-1],
    }
