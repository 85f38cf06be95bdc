"""``ping``: how long a server takes to answer, again and again, and where the time goes."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer import Option

from ...errors import MilvusProfilesError, UsageError
from .. import keyring_access
from ..file_warnings import warn_about_profiles
from ..options import OptionalAlias
from ..output import counted, print_error, say, warn
from ..session import current

__all__ = ["ping"]

_STAGES = ("secret", "dns", "tcp", "tls", "grpc", "auth")


def ping(
    alias: OptionalAlias = None,
    count: Annotated[
        int | None, Option("--count", "-c", metavar="N", min=1, help="How often to ask.", show_default="5")
    ] = None,
    interval: Annotated[
        float | None,
        Option("--interval", "-i", metavar="S", min=0, max=3600, help="Seconds between two.", show_default="1.0"),
    ] = None,
    timeout: Annotated[
        float | None, Option("--timeout", metavar="S", min=0.001, help="Seconds for each; default: the profile's.")
    ] = None,
    probe: Annotated[
        bool, Option("--probe", help="Answer with the exit status alone, once; for containers. -v says why not.")
    ] = False,
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
        _probe(alias, timeout)
        return
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


def _probe(alias: str | None, timeout: float | None) -> None:
    """What :mod:`container_probe` answers before this is imported, where that did not understand the words."""
    from ...live.liveness import check_served

    session = current()
    alias = session.agreed(alias)
    try:
        check_served(alias, file=session.config, env=session.env, timeout=timeout)
    except MilvusProfilesError as error:
        if session.verbose:
            print_error(error)
        raise typer.Exit(error.exit_status) from None


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
    ordered = sorted(times)
    last = len(ordered) - 1
    return {
        "min": ordered[0],
        "median": statistics.median(ordered),
        "p99": ordered[min(last, round(0.99 * last))],
        "max": ordered[-1],
    }
