"""Threads of our own: answers within a time limit, and an error with a remedy where there is no thread to be had."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref

import pytest

from milvus_profiles.background import Latch, Pending, beside, start
from tests.support.waiting import until


def test_an_answer_comes_from_a_daemon_thread_and_an_exception_is_explained() -> None:
    def fail() -> str:
        raise ZeroDivisionError

    assert Pending(lambda: str(threading.current_thread().daemon), repr, "t").wait(10) == "True"
    assert Pending(fail, lambda error: type(error).__name__, "t").wait(10) == "ZeroDivisionError"


def test_waiting_is_bounded_and_can_go_on() -> None:
    go = threading.Event()
    pending = Pending(lambda: str(go.wait()), repr, "t")
    for seconds in (0.01, 0.0, -1.0):
        with pytest.raises(TimeoutError):
            pending.wait(seconds)
    assert pending.running
    go.set()
    assert pending.wait(10) == "True"


def test_at_the_end_of_the_interpreter_a_thread_that_cannot_be_had_is_an_error() -> None:
    program = """
from milvus_profiles.background import start
from milvus_profiles.errors import ThreadStartError

class Last:
    def __del__(self, start=start, error=ThreadStartError):
        try:
            start(print, "late")
        except error:
            pass
        print("end", flush=True)

last = Last()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split()[-1], done.stderr) == ("end", "")


def test_a_latch_lets_everybody_go_and_is_waited_for_in_time() -> None:
    latch = Latch()
    assert not latch.wait(0.01)
    gone: list[bool] = []
    threads = [threading.Thread(target=lambda: gone.append(latch.wait(30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    latch.set()
    latch.set()
    for thread in threads:
        thread.join(10)
    assert gone == [True] * 4
    assert latch.wait(0)


def test_what_is_started_is_a_daemon_with_its_name() -> None:
    seen: list[tuple[str, bool]] = []
    start(lambda: seen.append((threading.current_thread().name, threading.current_thread().daemon)), "some name")
    until(lambda: seen)
    assert seen == [("some name", True)]


def _idle() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "milvus-profiles idle"]


def test_one_thread_after_the_other_is_the_same_one_and_ends_when_there_is_no_more_to_do() -> None:
    until(lambda: not _idle())
    numbers = set()
    for _ in range(5):
        numbers.add(beside(threading.get_ident, "some name"))
        until(_idle)
    assert len(numbers) == 1
    until(lambda: not _idle())


def test_a_thread_that_waits_for_work_holds_nothing_of_what_it_did() -> None:
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing)
    start(lambda thing=thing: None, "some name")  # type: ignore[misc]
    del thing
    until(_idle)
    assert reference() is None


def test_two_at_once_are_two_threads_and_one_of_them_waits() -> None:
    until(lambda: not _idle())
    go, begun = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        begun.release()
        go.wait(30)

    for _ in range(3):
        start(work, "some name")
    for _ in range(3):
        assert begun.acquire(timeout=30)
    go.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "some name"])
    assert len(_idle()) <= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_no_thread_that_waits() -> None:
    beside(lambda: None, "some name")
    until(_idle)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if beside(lambda: 7, "some name") == 7 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
