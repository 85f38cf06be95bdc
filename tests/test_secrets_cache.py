"""What is kept of fetched secrets, and that one thread fetches for all."""

from __future__ import annotations

import os
import threading

import pytest

from milvus_profiles.errors import SecretUnavailableError
from milvus_profiles.masked import SecretText
from milvus_profiles.secrets.value import FOR_EVER, Fetched, SecretCache
from tests.support.environment import coverage_variables, run_python
from tests.support.waiting import side_by_side, until


class Key:
    """A key that counts how often it is looked up: twice by each caller before it waits or fetches."""

    def __init__(self) -> None:
        self.lookups = 0
        self._lock = threading.Lock()

    def __hash__(self) -> int:
        with self._lock:
            self.lookups += 1
        return 1

    def wait_for_callers(self, number: int) -> None:
        until(lambda: self.lookups > 2 * number)


def _callers(kept: SecretCache, key: Key, fetches: list[Fetched | BaseException], number: int) -> list[object]:
    """What several threads get that ask at the same time; the first to fetch waits until all have asked."""
    outcomes: list[object] = []
    everyone_asked = False

    def fetch() -> Fetched:
        nonlocal everyone_asked
        if not everyone_asked:
            key.wait_for_callers(number)
            everyone_asked = True
        answer = fetches.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def ask() -> None:
        try:
            outcomes.append(kept.get(key, fetch, now=lambda: 0.0, refresh=True).reveal())
        except BaseException as error:
            outcomes.append(error)

    side_by_side(ask, threads=number)
    return outcomes


@pytest.mark.parametrize("until", [None, 100.0, FOR_EVER])
def test_callers_at_the_same_time_share_one_fetch(until: float | None) -> None:
    assert _callers(SecretCache(), Key(), [(SecretText("once"), until)], 8) == ["once"] * 8


def test_a_failure_is_raised_in_each_thread_as_an_error_of_its_own() -> None:
    outcomes = _callers(SecretCache(), Key(), [SecretUnavailableError("no", hint="yes")], 4)
    assert [(type(o), str(o)) for o in outcomes] == [(SecretUnavailableError, "no\nhint: yes")] * 4
    assert len({id(o) for o in outcomes}) == 4


def test_when_the_fetching_thread_is_interrupted_another_fetches() -> None:
    outcomes = _callers(SecretCache(), Key(), [KeyboardInterrupt(), (SecretText("second"), FOR_EVER)], 4)
    assert sorted(map(repr, outcomes)) == ["'second'"] * 3 + ["KeyboardInterrupt()"]


def test_what_cannot_be_fetched_again_is_kept_even_when_a_refresh_is_asked_for() -> None:
    kept = SecretCache()
    fetches: list[Fetched] = [(SecretText("once"), FOR_EVER)]
    for refresh in (False, True):
        assert kept.get("k", lambda: fetches.pop(), now=lambda: 1e12, refresh=refresh).reveal() == "once"
    kept.forget()
    with pytest.raises(IndexError):
        kept.get("k", lambda: fetches.pop(), now=lambda: 0.0, refresh=False)


def test_what_has_expired_does_not_pile_up() -> None:
    kept = SecretCache()
    clock = iter(range(1000))
    for number in range(100):
        kept.get(number, lambda: (SecretText("x"), next(clock) + 50.0), now=lambda: float(next(clock)), refresh=False)
    assert len(kept._values) < 50


def test_the_child_of_a_fork_has_what_was_kept_and_is_not_held_up_by_its_parent_s_threads() -> None:
    program = """
import os, threading, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads, which is what this is about
from milvus_profiles.masked import SecretText
from milvus_profiles.secrets.value import SecretCache
kept, fetching, go = SecretCache(), threading.Event(), threading.Event()
kept.get("a", lambda: (SecretText("kept"), 100.0), now=lambda: 0.0, refresh=False)
def slow():
    fetching.set()
    go.wait()
    return SecretText("parent"), None
thread = threading.Thread(target=lambda: kept.get("b", slow, now=lambda: 0.0, refresh=False))
thread.start()
fetching.wait()
kept._lock.acquire()  # as if another thread were at it this very moment
if (pid := os.fork()) == 0:
    answers = [kept.get(k, lambda: (SecretText("child"), None), now=lambda: 0.0, refresh=False).reveal() for k in "ab"]
    os._exit(0 if answers == ["kept", "child"] else 1)
kept._lock.release()
go.set()
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = run_python(program, env={"PATH": os.environ["PATH"], **coverage_variables()})
    assert (done.stdout, done.stderr) == ("0\n", "")
