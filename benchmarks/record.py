"""One run of the benchmarks as it is kept: a JSON file in ``history/``, of which the table and the picture are made."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.calibration import Look, Speed, fastest_of, machine, usual_of
from benchmarks.measure import Row
from benchmarks.processes import ROOT

__all__ = ["HISTORY", "Record", "git", "judged", "known", "read", "usual_here"]

HISTORY = ROOT / "benchmarks/history"
FORMAT = 1
_PEERS = ("grpcio", "pymilvus", "psycopg-pool", "SQLAlchemy", "typer", "pydantic-settings")
_MOST = 20
"""How many earlier runs say what is usual; a machine changes in time."""


@dataclass(frozen=True)
class Record:
    """What was measured, on what, and of which version.

    Attributes:
        date: when it began, UTC, ISO 8601.
        revision: the commit; "unknown" outside of a git repository.
        changed: whether files of the package or of the benchmarks differ from it.
        effort: how much was measured.
        seconds: how long it took.
        load: the machine's load before it began, work of others alone.
        machine: what makes its speeds comparable with those of another run.
        versions: of Python and of the peers.
        usual: the speed of the machine that counts as usual, in seconds of a slice.
        fastest: the most that it could do in this run; earlier runs' are what is usual in later ones.
        speeds: as parts of the usual speed, each under what came after the look; the last under "the end".
        rows: in the order of the table.
    """

    date: str
    revision: str
    changed: bool
    effort: str
    seconds: float
    load: float
    machine: str
    versions: dict[str, str]
    usual: Speed
    fastest: Speed
    speeds: dict[str, float]
    rows: tuple[Row, ...] = field(repr=False)

    @classmethod
    def of(
        cls, rows: Sequence[Row], looks: dict[str, Look], usual: Speed, *, began: dt.datetime, effort: str, load: float
    ) -> Record:
        """The record of a run that ends now."""
        now = dt.datetime.now(dt.timezone.utc)
        revision, changed = _revision()
        return cls(
            began.isoformat(timespec="seconds"), revision, changed, effort, (now - began).total_seconds(), load,
            machine(), {"CPython": platform.python_version(), **{name: version(name) for name in _PEERS}},
            usual, fastest_of(list(looks.values())),
            {name: round(one.now.beside(usual), 3) for name, one in looks.items()}, tuple(rows),
        )  # fmt: skip

    def write(self, directory: Path) -> Path:
        """Keep it in a directory, under a name that sorts by time; the file."""
        directory.mkdir(parents=True, exist_ok=True)
        moment = dt.datetime.fromisoformat(self.date).strftime("%Y-%m-%dT%H%M%SZ")
        path = directory / f"{moment}-{self.revision[:8]}.json"
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n")
        return path


def read(path: Path) -> Record:
    """A record from its file.

    Raises:
        ValueError: it is none, or of another format.
        OSError: it cannot be read.
    """
    try:
        plain: dict[str, Any] = json.loads(path.read_text())
        if (number := plain.pop("format")) != FORMAT:
            raise ValueError(f"{path} is of the format {number}; this program knows {FORMAT}")
        rows = tuple(Row.from_json(row) for row in plain.pop("rows"))
        usual, fastest = (Speed(**plain.pop(name)) for name in ("usual", "fastest"))
        return Record(**plain, usual=usual, fastest=fastest, rows=rows)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no record of a run: {error}") from None


def known(directory: Path = HISTORY) -> list[Path]:
    """The records of a directory, oldest first."""
    return sorted(directory.glob("*.json"))


def usual_here(looks: Sequence[Look], directory: Path = HISTORY) -> Speed:
    """The usual speed of this machine: that of its earlier records, else the most that it could do in this run."""
    here = [record for path in known(directory) if (record := read(path)).machine == machine()]
    return usual_of([record.fastest for record in here[-_MOST:]], looks)


def judged(rows: Sequence[Row], before: Look, after: Look, usual: Speed) -> list[Row]:
    """The rows of a figure with the speed that the machine had: the lower of before and after."""
    speed = round(min(one.now.beside(usual) for one in (before, after)), 3)
    return [replace(row, speed=speed) for row in rows]


def _revision() -> tuple[str, bool]:
    """The commit, and whether what is measured differs from it."""
    measured = ["milvus_profiles", "benchmarks/*.py", "benchmarks/figures", "pyproject.toml"]
    try:
        revision = git("rev-parse", "HEAD").strip()
        return revision, bool(git("status", "--porcelain", "--", *measured).strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def git(*words: str, cwd: Path = ROOT) -> str:
    """What git prints; it asks nothing, and takes a repository of another user too."""
    command = ["git", "-c", "safe.directory=*", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command, cwd=cwd, env=env, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout
