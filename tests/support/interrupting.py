"""A KeyboardInterrupt at each of the places where one can come, one after the other.

CPython looks for signals when a call returns, when a function begins and when a loop turns; 3.10 at every jump that is
made on a condition, too.  (A `with` on a lock of the interpreter's own is one step, but for the 3.14s that lack the fix
of python/cpython#148874.)  `at_step` runs an operation and raises at the n-th of these, in whatever Python code it
comes to in this thread, the standard library's included; so trying 1, 2, 3 ... leaves nothing out, which no storm of
real signals can promise.
"""

from __future__ import annotations

import dis
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

_OLD = sys.version_info < (3, 11)
_CALLS = {"CALL", "CALL_KW", "CALL_FUNCTION", "CALL_FUNCTION_KW", "CALL_FUNCTION_EX", "CALL_METHOD", "RESUME"}
_JUMPS = {"JUMP_BACKWARD", "JUMP_ABSOLUTE"}
_RESUME = dis.opmap.get("RESUME")
_UNHEARD = {"SETUP_FINALLY", "SETUP_WITH", "BEFORE_ASYNC_WITH", "YIELD_FROM"}
"""Before these 3.10 does not look at the beginning of a function."""


@functools.cache
def _places(code: CodeType) -> dict[int, int]:
    """From the offset of each instruction at which a signal is seen to the one that comes next then.

    Raising at the next is as raising at the first, unless the two have different handlers: such places are left out.
    """
    table = getattr(dis, "_parse_exception_table", lambda _: ())(code)

    def handler(offset: int) -> int | None:
        return next((entry.target for entry in table if entry.start <= offset < entry.end), None)

    found = {}
    instructions = [each for each in dis.get_instructions(code) if each.opname not in ("CACHE", "PRECALL", "KW_NAMES")]
    for before, after in zip(instructions, instructions[1:]):  # noqa: B905, RUF007
        if before.opname in _CALLS:
            place = after.offset
        elif before.opname in _JUMPS or before.opname.startswith("POP_JUMP_IF" if _OLD else "POP_JUMP_BACKWARD"):
            place = before.argval
        else:
            continue
        if handler(before.offset) == handler(place):
            found[before.offset] = place
    if not _OLD:
        # The instruction at which a function begins is over when tracing begins.
        found[-1] = next((place for offset, place in found.items() if code.co_code[offset] == _RESUME), -1)
    elif instructions[0].opname not in _UNHEARD:
        found[-1] = 0
    return found


class _Raiser:
    def __init__(self, step: int) -> None:
        self._left = step
        self._before: dict[FrameType, int] = {}
        self.where: str | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if self.where is not None or frame.f_code.co_filename == __file__:
            return None
        frame.f_trace = self._local  # before the next line, says 3.13
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._local

    def _local(self, frame: FrameType, event: str, _: Any) -> Any:
        if self.where is not None:
            return None
        if event == "opcode":
            before, self._before[frame] = self._before.get(frame, -1), frame.f_lasti
            if _places(frame.f_code).get(before) == frame.f_lasti:
                self._left -= 1
                if self._left <= 0:
                    self.where = _told(frame)
                    self._before.clear()
                    raise KeyboardInterrupt
        return self._local


def _told(frame: FrameType | None) -> str:
    told: list[str] = []
    while frame is not None and frame.f_code.co_filename != __file__ and len(told) < 5:
        told.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(told)


def at_step(step: int, operation: Callable[[], object]) -> str | None:
    """Run an operation, and interrupt it.

    Args:
        step: at the how manyth place, from 1.
        operation: it; what it raises besides is raised.

    Returns:
        Where it was interrupted; None if it was over before.
    """
    raiser = _Raiser(step)
    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # 3.12 asks when tracing begins whether anybody wants to see instructions
    sys.settrace(raiser)
    try:
        operation()
    except BaseException:
        if raiser.where is None:  # an interrupt may end as another exception, out of the library's depths
            raise
    finally:
        sys.settrace(before)
    return raiser.where


Interrupted = Callable[[Callable[[], object]], str]


def each_step(stride: int = 1) -> Iterator[Interrupted]:
    """For an operation that is made anew each time: one place later each time, until it gets to its end, which counts.

    Yields:
        What runs the operation, and returns where it interrupted it.
    """
    step, over = 1, False

    def interrupted(operation: Callable[[], object]) -> str:
        nonlocal over
        where = at_step(step, operation)
        over = where is None
        return f"{step}: {where or 'the end'}"

    while not over:
        yield interrupted
        step += stride


def everywhere(operation: Callable[[], object]) -> Iterator[str]:
    """Run an operation again and again, interrupted one place later each time, until it gets to its end.

    Yields:
        Where it was interrupted just now.
    """
    step = 1
    while (where := at_step(step, operation)) is not None:
        yield f"{step}: {where}"
        step += 1


def within(seconds: float, work: Callable[[], Any], what: str) -> Any:
    """The answer of some work that might wait for ever, in a thread of its own.

    Raises:
        AssertionError: it takes longer.
    """
    answers: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise AssertionError(f"{what}: {failures[0]!r}") from failures[0]
    assert answers, f"not within {seconds:g} s, after an interrupt at {what}"
    return answers[0]
