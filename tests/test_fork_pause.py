"""Calls and forks are kept apart, and neither ever waits for the other for long."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import grpc
import pytest

from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.grpc_process import PAUSE, ForkPause
from milvus_profiles.channel.metadata import TokenHolder
from tests.support.waiting import until

TraceFunction = Callable[[FrameType, str, Any], Any]

# Python 3.12 warns of what this is about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def core() -> Iterator[ChannelCore]:
    """It leads nowhere: its calls are counted here, and never made."""
    one = ChannelCore(grpc.insecure_channel("127.0.0.1:1"), TokenHolder())
    yield one
    one.close()


def fork(child: Callable[[], bool]) -> int:
    """Fork, and return the exit status of the child: 0 if it found what it should."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_fork_waits_for_a_call_under_way(core: ChannelCore) -> None:
    began = threading.Event()

    def call() -> None:
        with (mark := threading.Lock()):
            core.enter(mark)
            began.set()
            until(lambda: PAUSE.pending, 10)

    caller = threading.Thread(target=call)
    caller.start()
    assert began.wait(10)
    # In the child nothing is held: a call may begin.
    assert fork(lambda: core.in_flight == 0 and core.enter(threading.Lock()) is not None) == 0
    caller.join(10)
    assert not PAUSE.pending
    core.enter(threading.Lock())


def test_a_call_begins_wherever_it_meets_a_fork(core: ChannelCore) -> None:

    def entered(line: int) -> bool:
        """Begin a call, and have a fork asked for at one of the lines on the way; whether there are as many."""
        met = 0

        def look(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
            nonlocal met
            if frame.f_code is not ChannelCore.enter.__code__:
                return None
            met += event == "line"
            PAUSE.pending |= event == "line" and met == line
            return look

        before = sys.gettrace()
        sys.settrace(look)
        try:
            with (mark := threading.Lock()):
                assert core.enter(mark) is not None
        finally:
            sys.settrace(before)
        PAUSE.wait()
        return met >= line

    lines = 1
    while entered(lines):
        lines += 1
    assert lines > 8


def test_a_fork_does_not_wait_for_a_call_that_takes_long(core: ChannelCore) -> None:
    with (mark := threading.Lock()):
        core.enter(mark)
        assert fork(lambda: core.in_flight == 1) == 0  # it is the parent's, and goes on there
        assert not PAUSE.pending
        assert core.in_flight == 1
    assert core.in_flight == 0


def test_a_call_that_would_begin_in_the_middle_of_a_fork_waits_until_it_is_over(core: ChannelCore) -> None:
    PAUSE._before()
    entered = threading.Event()

    def call() -> None:
        core.enter(threading.Lock())
        entered.set()

    caller = threading.Thread(target=call)
    caller.start()
    assert not entered.wait(0.05)
    PAUSE._after_in_parent()
    assert entered.wait(10)
    caller.join(10)


def test_a_fork_that_never_says_that_it_is_over_is_not_waited_for(core: ChannelCore) -> None:
    PAUSE._before()
    began = time.monotonic()
    core.enter(threading.Lock())
    assert time.monotonic() - began < 5
    assert not PAUSE.pending


_TWO_THREADS = """
import os, threading
import grpc
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.grpc_process import PAUSE
from milvus_profiles.channel.metadata import TokenHolder

core = ChannelCore(grpc.insecure_channel("127.0.0.1:1"), TokenHolder())
outcomes = []
start = threading.Barrier(2)

def fork():
    pid = os.fork()
    if pid == 0:
        try:
            core.enter(threading.Lock())
            os._exit(0)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def work():
    start.wait()
    outcomes.extend(fork() for _ in range(5))

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
print(outcomes, PAUSE.pending, core.in_flight)
"""


def test_two_threads_that_fork_at_once_both_get_there() -> None:
    # In a process of its own, without what the tests load, which may have fork handlers too.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _TWO_THREADS], capture_output=True, text=True)
    assert done.stdout == f"{[0] * 10} False 0\n", done.stderr


def test_what_is_gone_is_not_waited_for() -> None:
    pause = ForkPause()
    core = ChannelCore(grpc.insecure_channel("127.0.0.1:1"), TokenHolder())
    pause.add(core)
    core.close()
    del core
    assert pause._all() == []
