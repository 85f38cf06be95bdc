"""``profile test``: whether a profile leads to a Milvus, and if not, which step fails and why."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..masked import SecretText
from . import keyring_access
from .file_warnings import warn_about_profiles
from .output import emit_json, escape, say
from .session import current

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..diagnosis.report import Report, Stage
    from ..profile import Profile

__all__ = ["run_one", "test"]

_MARKS = {
    "ok": ("ok", "green"),
    "failed": ("FAILED", "red"),
    "skipped": ("skipped", None),
    "warning": ("warning", "yellow"),
}
_SIDE_BY_SIDE = 16


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
) -> None:
    """Test profiles step by step: configuration, secret, network, TLS, gRPC, authentication, database."""
    session = current()
    profiles = session.profiles()
    if aliases and all_profiles:
        raise UsageError("aliases and --all are both given", hint="give one of them")
    if all_profiles:
        names = [alias for alias in profiles if not _is_template(profiles, alias)]
    elif aliases:
        # All are looked up before any is tested: an unknown one among them tests nothing.
        names = list(dict.fromkeys(profiles.select(alias, name="ALIAS").alias for alias in aliases))
    else:
        names = [session.select().alias]
    if not names:
        raise UsageError("there is no profile to test", hint="declare one with `milvus-profiles profile add`")
    warn_about_profiles(profiles, names)
    reports = _run(profiles, names, timeout, wait)
    if session.json:
        emit_json([report.as_json() for report in reports])
    codes = sorted(report.exit_code for report in reports if not report.ok)
    if codes:
        raise typer.Exit(codes[0])


def _is_template(profiles: Profiles, alias: str) -> bool:
    from ..config.values import has_address
    from ..errors import ConfigError

    try:
        return not has_address(profiles.raw(alias).values)
    except ConfigError:
        return False  # invalid is worth a test: it fails, and says why


def _run(profiles: Profiles, names: list[str], timeout: float | None, wait: float | None) -> list[Report]:
    from ..diagnosis.stages import diagnose

    def one(alias: str, report_stage: Callable[[Stage], None] | None = None) -> Report:
        return diagnose(
            profiles,
            alias,
            secrets=keyring_access.context(profiles, alias),
            timeout=timeout,
            wait=wait,
            on_stage=report_stage,
        )

    shown = not current().json
    if len(names) == 1:
        if not shown:
            return [one(names[0])]
        say(names[0], bold=True)
        report = one(names[0], _print_stage)
        _print_verdict(report)
        return [report]
    reports: dict[str, Report] = {}
    printing = threading.Lock()

    def run(alias: str) -> None:
        reports[alias] = report = one(alias)
        if shown:
            with printing:
                _print_whole(report)

    with ThreadPoolExecutor(max_workers=min(len(names), _SIDE_BY_SIDE)) as workers:
        for future in [workers.submit(run, alias) for alias in names]:
            future.result()
    return [reports[alias] for alias in names]


def run_one(profiles: Profiles, alias: str, profile: Profile, secret: SecretText | None) -> Report:
    """Test a profile that stands in no file yet, with its secret.

    Args:
        profiles: where its environment comes from.
        alias: its name.
        profile: the profile.
        secret: what is going to be stored for it; None takes what its reference gives.
    """
    from ..diagnosis.stages import diagnose_profile

    shown = not current().json
    report = diagnose_profile(
        profile,
        secrets=keyring_access.context(profiles, alias),
        token=secret,
        on_stage=_print_stage if shown else None,
    )
    if shown:
        _print_verdict(report)
    elif not report.ok:
        emit_json([report.as_json()])
    return report


def _print_whole(report: Report) -> None:
    say(report.alias, bold=True)
    for stage in report.stages:
        _print_stage(stage)
    _print_verdict(report)


def _print_stage(stage: Stage) -> None:
    if stage.status == "skipped" and not current().verbose:
        return
    mark, color = _MARKS[stage.status]
    time = "" if stage.status == "skipped" else f"{stage.ms:8.1f} ms"
    label = typer.style(f"{mark:8}", fg=color) if color and current().colors(sys.stdout) else f"{mark:8}"
    sys.stdout.write(f"  {label} {stage.name:9}{time:>11}  {escape(stage.detail)}".rstrip() + "\n")
    if stage.hint and stage.status in ("failed", "warning"):
        sys.stdout.write(f"           hint: {escape(stage.hint)}\n")
    sys.stdout.flush()


def _print_verdict(report: Report) -> None:
    if report.ok:
        say(f"{report.alias}: ok, Milvus {report.server_version or 'of unknown version'}", color="green")
    else:
        failed = next(stage.name for stage in report.stages if stage.status == "failed")
        say(f"{report.alias}: failed at {failed} (exit status {report.exit_code})", color="red")
