"""Outcomes of a test as values; how they look is the command line's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["STAGES", "Report", "Stage", "StageName", "Status"]

StageName = Literal["config", "secret", "dns", "tcp", "tls", "grpc", "auth", "version", "database"]
Status = Literal["ok", "failed", "skipped", "warning"]

STAGES: tuple[StageName, ...] = ("config", "secret", "dns", "tcp", "tls", "grpc", "auth", "version", "database")
"""The stages in their order; what comes after a failed one is skipped."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a test.

    Attributes:
        name: which.
        status: how it ended; a warning does not fail the test.
        ms: milliseconds that it took; 0 where it was skipped.
        detail: what was seen; holds no secret.
        hint: what to do; None where there is nothing to do.
    """

    name: StageName
    status: Status
    ms: float = 0.0
    detail: str = ""
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The stage with the documented keys."""
        return {
            "name": self.name,
            "status": self.status,
            "ms": round(self.ms, 3),
            "detail": self.detail,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The test of one profile.

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

    def as_json(self) -> dict[str, Any]:
        """The report with the documented keys."""
        return {
            "alias": self.alias,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "server_version": self.server_version,
            "stages": [stage.as_json() for stage in self.stages],
        }
