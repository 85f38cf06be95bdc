"""Outcomes of a test as values, and how they look, to a terminal and to a program that prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..display import Line, Lined
from ..masked import even_half_made
from ..text import counted

StageName = Literal[
    "config", "secret", "dns", "tcp", "tls", "grpc", "auth", "version", "database", "rest", "management"
]
Status = Literal["ok", "failed", "skipped", "warning"]

STAGES: tuple[StageName, ...] = get_args(StageName)
"""The stages in their order; what comes after a failed one is skipped."""

_LITE = re.compile(r"milvus[-_ ]?lite[-_ ]?v?", re.IGNORECASE)  # what Milvus Lite calls its version

INFORMATION: frozenset[StageName] = frozenset({"rest", "management"})
"""The stages that tell something more and never fail."""


def server_name(version: str | None) -> str:
    """The name and version of a server for people, from the version as the server names it."""
    if not version:
        return "Milvus of unknown version"
    lite = _LITE.match(version)
    return f"Milvus {version}" if lite is None else f"Milvus Lite {version[lite.end() :]}".rstrip()


@even_half_made
@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a test.

    Attributes:
        name: which.
        status: how it ended; a warning does not fail the test.
        ms: milliseconds that it took; 0 where it was skipped.
        detail: what was seen and what that means; holds no secret.
        hint: what to do; None where there is nothing to do.
        code: the stable code of the error that failed it, as ``MilvusProfilesError.code``; None if none did.
        notes: more for experts, such as addresses, certificates and gRPC's own words; holds no secret.
    """

    name: StageName
    status: Status
    ms: float = 0.0
    detail: str = ""
    hint: str | None = None
    code: str | None = None
    notes: tuple[str, ...] = ()

    def as_json(self, *, verbose: bool = False) -> dict[str, Any]:
        """The stage as ``--json`` has it.

        Args:
            verbose: with ``notes``, too.
        """
        value: dict[str, Any] = {
            "name": self.name,
            "status": self.status,
            "ms": round(self.ms, 3),
            "detail": self.detail,
            "hint": self.hint,
        }
        return {**value, "notes": list(self.notes)} if verbose else value


_MARKS = {
    "ok": ("ok", "green"),
    "failed": ("FAILED", "red"),
    "skipped": ("skipped", "dim"),
    "warning": ("warning", "yellow"),
}
_INDENT = " " * 11


def mark(status: str) -> tuple[str, str]:
    """The word for a status, padded, with its style."""
    word, style = _MARKS[status]
    return f"{word:8}", style


def stage_lines(stage: Stage, *, verbose: bool = False, see: str | None = None) -> list[Line]:
    """The lines of a stage; skipped ones, and what is for experts, only where verbose; ``see`` explains its error."""
    if stage.status == "skipped" and not verbose:
        return []
    took = "" if stage.status == "skipped" else f"{stage.ms:8.1f} ms"
    lines: list[Line] = [[("  ", ""), mark(stage.status), (f" {stage.name:10}{took:>11}  {stage.detail}", "")]]
    if stage.hint and stage.status in ("failed", "warning"):
        lines.append([(f"{_INDENT}hint: {stage.hint}", "")])
    if see is not None:
        lines.append([(f"{_INDENT}see: {see}", "")])
    if verbose:
        lines += [[(_INDENT + note, "dim")] for note in stage.notes]
    return lines


@even_half_made
@dataclass(frozen=True, slots=True)
class Report(Lined):
    """The test of one profile.  Printed, it is what the terminal shows; notebooks and rich show it too.

    Attributes:
        alias: the profile.
        exit_code: 0, or the exit status of the failed stage's error.
        server_version: as the server names it; None if the test did not get that far.
        stages: in their order.
    """

    alias: str
    exit_code: int
    server_version: str | None
    stages: tuple[Stage, ...]

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return self.exit_code == 0

    @property
    def server(self) -> str:
        """The server's name and version for people, such as ``Milvus v2.3.5`` or ``Milvus Lite 3.2.2``."""
        return server_name(self.server_version)

    @property
    def failure(self) -> Stage | None:
        """The stage that failed; None if none did."""
        return next((stage for stage in self.stages if stage.status == "failed"), None)

    @property
    def warnings(self) -> tuple[Stage, ...]:
        """The stages that passed with a warning."""
        return tuple(stage for stage in self.stages if stage.status == "warning")

    def as_json(self, *, verbose: bool = False) -> dict[str, Any]:
        """The report as ``--json`` has it.

        Args:
            verbose: with the ``notes`` of its stages.
        """
        return {
            "alias": self.alias,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "server_version": self.server_version,
            "stages": [stage.as_json(verbose=verbose) for stage in self.stages],
        }

    def _lines(self) -> Iterator[Line]:
        yield [(self.alias, "bold")]
        for stage in self.stages:
            explained = stage.code and f"milvus-profiles explain {stage.code}"
            yield from stage_lines(stage, see=explained)
        yield verdict(self)


def verdict(report: Report, *, short: bool = False) -> Line:
    """The line that ends a test; short without its alias."""
    name = "" if short else f"{report.alias}: "
    if (failed := report.failure) is not None:
        return [(f"{name}failed at {failed.name} (exit status {report.exit_code})", "red")]
    number = len(report.warnings)
    warned = f", {counted(number, 'warning')}" if number else ""
    return [(f"{name}ok, {report.server}{warned}", "yellow" if number else "green")]
