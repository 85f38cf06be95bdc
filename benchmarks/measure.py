"""Measuring side by side: contestants take turns, and what counts is the ratio within each turn.

On a machine that does other work too, absolute times drift by more than the differences sought.  What a contestant
and its peer show within one turn drifts together, so each turn gives a pair of values with one ratio, and the figure is
the median of these with their quartiles.  A goal for a time by itself is judged only where the machine ran at its usual
speed (`calibration` tells).
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

__all__ = [
    "USUAL", "Effort", "Floor", "Goal", "Row", "Spread", "at_least", "at_most", "choose", "compared", "main", "orders",
    "own", "timed", "turns",
]  # fmt: skip

USUAL = 0.85
"""The part of its usual speed below which a machine is too slow to judge a time by itself."""

Effort = Literal["full", "quick", "tiny"]
"""How much is measured: for the record, for a look, or just enough to see that the program runs."""

T = TypeVar("T")


def choose(effort: Effort, full: T, quick: T, tiny: T) -> T:
    """What to take for an effort."""
    return {"full": full, "quick": quick, "tiny": tiny}[effort]


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Goal:
    """What is to be reached.

    Attributes:
        limit: the number.
        at_most: whether less is better.
        of: whether it is the ratio to the peer that counts, or the measured value itself.
    """

    limit: float
    at_most: bool = True
    of: Literal["ratio", "value"] = "ratio"

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


def at_most(limit: float) -> Goal:
    """The ratio to the peer is to be this at most."""
    return Goal(limit)


def at_least(limit: float) -> Goal:
    """The ratio to the peer is to be this at least."""
    return Goal(limit, at_most=False)


@dataclass(frozen=True)
class Floor:
    """What no program could do better, as measured in the same run.

    Attributes:
        what: the limit, such as ``python -c pass``.
        value: the median, in the unit of the row.
    """

    what: str
    value: float


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        figure: what was measured.
        peer: beside what; empty where the value stands alone.
        unit: of both values: "s", "B" or "calls/s".
        ours: the value.
        theirs: the peer's.
        ratio: ours to theirs.
        goal: what is to be reached; None for a row that informs.
        note: what a reader should know.
        pairs: how many ratios the median is of; 0 where the value stands alone.
        floor: the limit of the machine, the network or the interpreter; None where none can be named.
        speed: of the machine while this was measured, as a part of its usual one; None where nobody looked.
    """

    figure: str
    peer: str
    unit: str
    ours: Spread
    theirs: Spread | None = None
    ratio: Spread | None = None
    goal: Goal | None = None
    note: str = ""
    pairs: int = 0
    floor: Floor | None = None
    speed: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether there is a goal, and the machine ran fast enough to tell."""
        if self.goal is None:
            return False
        is_time = self.unit == "s" or self.unit.endswith("/s")
        return self.goal.of == "ratio" or not is_time or self.speed is None or self.speed >= USUAL

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None where there is none, or where it is not judged."""
        if self.goal is None or not self.is_judged:
            return None
        judged = self.ours if self.goal.of == "value" else self.ratio
        assert judged is not None
        return self.goal.is_met(judged.median)

    @classmethod
    def from_json(cls, plain: dict[str, object]) -> Row:
        spreads = {name: Spread(**plain[name]) for name in ("ours", "theirs", "ratio") if plain[name]}  # type: ignore[arg-type]
        goal = Goal(**plain["goal"]) if plain["goal"] else None  # type: ignore[arg-type]
        floor = Floor(**plain["floor"]) if plain.get("floor") else None  # type: ignore[arg-type]
        return cls(**{**plain, **spreads, "goal": goal, "floor": floor})  # type: ignore[arg-type]


def timed(action: Callable[[], object], count: int) -> Callable[[], float]:
    """What measures the seconds of an action, on average over a number of them; it has run once already."""

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(count):
            action()
        return (time.perf_counter() - began) / count

    measure()
    return measure


def orders(names: Sequence[T], rounds: int) -> Iterator[tuple[T, ...]]:
    """The order of each turn: every second one is the one before it backwards, and each begins in its turn.

    So of any two contestants each comes before the other equally often.  For that an odd number of rounds above one is
    made even.
    """
    for turn in range(rounds + rounds % 2 if rounds > 1 else rounds):
        shift = turn // 2 % len(names)
        order = (*names[shift:], *names[:shift])
        yield order[::-1] if turn % 2 else order


def turns(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let the contestants take turns, in the orders of `orders`.

    Args:
        contestants: each measures itself and returns the value.
        rounds: how often each has its turn; an odd number above one becomes even.
    """
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for order in orders(list(contestants), rounds):
        for name in order:
            gc.collect()
            found[name].append(contestants[name]())
    return found


def compared(
    figure: str,
    peer: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    goal: Goal | None = None,
    note: str = "",
    floor: Floor | None = None,
) -> Row:
    """The row of two contestants that took turns."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Row(
        figure, peer, unit, Spread.of(ours), Spread.of(theirs), Spread.of(ratios), goal, note, len(ratios), floor
    )


def own(figure: str, unit: str, ours: Sequence[float], limit: float, note: str = "", floor: Floor | None = None) -> Row:
    """The row of a value that is to be so much at most, whatever the peers do."""
    return Row(figure, "", unit, Spread.of(ours), goal=Goal(limit, of="value"), note=note, floor=floor)


def main(run: Callable[[Effort], list[Row]]) -> None:
    """The program of a figure: one JSON array on standard output."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--effort", choices=("full", "quick", "tiny"), default="full")
    json.dump([asdict(row) for row in run(parser.parse_args().effort)], sys.stdout)
