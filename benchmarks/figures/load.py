"""Reading a file of many profiles and taking one of them: time, and memory at its peak."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, turns
from benchmarks.processes import PYTHON, checked

PROGRAM = "benchmarks.figures.load"


def _peak() -> int:
    """The most memory that this process has had so far, in bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def _ours(path: str, alias: str) -> Any:
    import milvus_profiles as mp

    return mp.load(path, env={"HOME": "/nonexistent"}, cwd="/")[alias]


def _tomllib(path: str, alias: str) -> Any:
    if sys.version_info >= (3, 11):
        from tomllib import loads
    else:
        from tomli import loads
    with open(path, "rb") as file:
        return loads(file.read().decode())["profiles"][alias]


def _tomli(path: str, alias: str) -> Any:
    from tomli import loads

    with open(path, "rb") as file:
        return loads(file.read().decode())["profiles"][alias]


def _settings(path: str, alias: str) -> Any:
    from pydantic import BaseModel
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

    class Declared(BaseModel):
        uri: str
        user: str | None = None
        description: str | None = None
        timeout: float = 10

    class All(BaseSettings):
        profiles: dict[str, Declared]

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *others: Any, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (TomlConfigSettingsSource(settings_cls, Path(path)),)

    return All().profiles[alias]  # type: ignore[call-arg]


CONTESTANTS: dict[str, Callable[[str, str], Any]] = {
    "ours": _ours, "tomllib": _tomllib, "tomli": _tomli, "BaseSettings": _settings,
}  # fmt: skip


def _one(name: str, first: str, second: str, path: str, alias: str) -> None:
    """In a fresh process, where no file is known: a small file for the imports, and another one, then what counts.

    Imports leave the processor's caches full of something else, whenever a contestant makes them.
    """
    take = CONTESTANTS[name]
    take(first, "p0")
    take(second, "p0")
    # Processor time: nothing here waits, and other programs on the machine do not count.
    before, began = _peak(), time.process_time()
    kept = take(path, alias)
    seconds = time.process_time() - began
    print(json.dumps([seconds, max(_peak() - before, 1)]))
    del kept


def _text(count: int) -> str:
    return "".join(
        f'[profiles.p{n}]\nuri = "https://milvus-{n}.example:443/db{n}"\nuser = "user{n}"\n'
        f'description = "number {n}"\ntimeout = 20\n\n'
        for n in range(count)
    )


def _compared(count: int, rounds: int, directory: Path) -> list[Row]:
    first, second, path = (directory / f"{name}.toml" for name in ("first", "second", count))
    first.write_text(_text(1).replace("milvus-0", "another"))
    second.write_text(_text(1).replace("milvus-0", "third"))
    path.write_text(_text(count))
    peaks: dict[str, list[float]] = {name: [] for name in CONTESTANTS}

    def contestant(name: str) -> Callable[[], float]:
        words = [name, str(first), str(second), str(path), f"p{count // 2}"]

        def measure() -> float:
            seconds, peak = json.loads(checked([PYTHON, "-m", PROGRAM, "--one", *words]))
            peaks[name].append(float(peak))
            return float(seconds)

        return measure

    # Python's own parser takes minutes of a full run for the largest, and would be easy to beat there.
    names = [name for name in CONTESTANTS if count == 1 or name != "tomllib"]
    found = turns({name: contestant(name) for name in names}, rounds)
    figure = f"load {count:,} profiles and take one" if count > 1 else "load 1 profile"
    note = (
        "every contestant opens and reads the file; tomllib is the module of Python, tomli the compiled one that we "
        "parse with.  The rest of ours, the same whatever else is in the file, is looking at who may change the file, "
        "and validating one profile with the origin of each field"
    )
    rows = [compared(figure, "BaseSettings of all", "s", found["ours"], found["BaseSettings"])]
    if count == 1:
        rows.insert(0, compared(figure, "tomllib.loads", "s", found["ours"], found["tomllib"], at_most(2.5), note))
        rows.insert(1, compared(figure, "tomli.loads", "s", found["ours"], found["tomli"]))
    else:
        rows.insert(0, compared(figure, "tomli.loads", "s", found["ours"], found["tomli"], at_most(1.2)))
        # Of one, a page more or less says nothing.
        rows.append(compared(f"{figure}: memory", "tomli.loads", "B", peaks["ours"], peaks["tomli"], at_most(1.2)))
    return rows


def run(effort: Effort) -> list[Row]:
    plan = choose(effort, {1: 15, 1000: 15, 65_536: 5}, {1: 3, 1000: 3}, {1: 1, 1000: 1})
    with tempfile.TemporaryDirectory() as directory:
        return [row for count, rounds in plan.items() for row in _compared(count, rounds, Path(directory))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _one(*sys.argv[2:7])
    else:
        main(run)
