"""A KeyboardInterrupt may come anywhere: no lease is lost, nobody waits for ever, closing ends in its time.

The first tests try every place at which one can come (see `tests.support.interrupting`); the storms try real signals,
several at once, and exceptions thrown into threads.  `STORM_SECONDS` says how long each storm of `make campaign` lasts.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import grpc
import pytest
from grpc import StatusCode

import milvus_profiles as mp
from milvus_profiles.background import Latch, start
from milvus_profiles.channel.channel import ProfileChannel
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.grpc_process import let_go
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.channel.options import open_channel
from milvus_profiles.errors import SecretUnavailableError
from milvus_profiles.live.registry import Registry
from milvus_profiles.live.shared_base import ConnectionInfo
from milvus_profiles.live.spec import OPEN_CONNECTIONS, ConnectionLimit
from milvus_profiles.log import LOG
from milvus_profiles.masked import SecretText
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings
from milvus_profiles.secrets.value import SecretCache
from tests.support import scripted_grpc
from tests.support.environment import run_python
from tests.support.interrupting import each_step, everywhere, within
from tests.support.pool_outside import Outside
from tests.support.waiting import until

pytestmark = [
    pytest.mark.security,
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning",
        # An interrupt in a finalizer, and an exception that was thrown into a thread: both are said, and end there.
        "ignore::pytest.PytestUnraisableExceptionWarning",
        "ignore::pytest.PytestUnhandledThreadExceptionWarning",
    ),
]

LIMIT = 10.0
"""Seconds that something may take which takes milliseconds, on a busy machine."""


@pytest.fixture(autouse=True)
def _no_handler_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the middle of a handler of the standard library's leaves its lock held, and pytest has some.

    It gives them to a logger that does not propagate, too.  So records are made here, and handed to nobody.
    """
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        LOG.isEnabledFor(level)  # which has a lock, where it does not know it yet
    monkeypatch.setattr(LOG, "callHandlers", lambda record: None)


# --- the pool ---

_settings = partial(PoolSettings, max_total=2, max_block_wait=LIMIT, drain_timeout=0.5)
MODES = {
    "exclusive": _settings(mode="exclusive", max_total_per_key=2),
    "shared": _settings(mode="shared", max_channels=2, soft_limit=1, hard_limit=1),
    "careful": _settings(
        mode="exclusive", max_total_per_key=2, test_on_borrow=True, test_on_return=True, leak_threshold=60
    ),
}
SINGLE = _settings(mode="exclusive", max_total_per_key=1)


def lease(pool: ConnectionPool) -> None:
    with pool.lease("a"):
        pass


OPERATIONS: dict[str, Callable[[ConnectionPool], object]] = {
    "lease": lease,
    "client": lambda pool: pool.return_client("a", pool.get_client("a")),
    "connection.close": lambda pool: pool.get_client("a").close(),
    "prepare": lambda pool: pool.prepare("a"),
    "configure": lambda pool: pool.configure("a", PoolSettings(max_uses=1000)),
    "clear": lambda pool: pool.clear(),
    "drain": lambda pool: pool.drain(),
    "stats": lambda pool: pool.stats(),
    "close": lambda pool: pool.close(0.2),
}


def as_it_was(pool: ConnectionPool, where: str) -> None:
    def lease_all() -> bool:
        for _ in range(2):
            leases = [pool.get_client("a") for _ in range(2)]
            for conn in leases:
                conn.close()
        assert pool.total_active_count() == 0
        return True

    within(3 * LIMIT, lease_all, where)


def closes(pool: ConnectionPool, where: str) -> None:
    within(LIMIT, lambda: pool.close(0.2), where)
    assert pool.stats().pool_size == 0, where


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"close"}))
def test_a_pool_is_as_it_was_wherever_an_operation_is_interrupted(operation: str, mode: str) -> None:
    pool = ConnectionPool(MODES[mode], connector=Outside())
    as_it_was(pool, "the beginning")
    for where in everywhere(lambda: OPERATIONS[operation](pool)):
        as_it_was(pool, where)
    closes(pool, "the end")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_pool_that_nothing_was_done_with_yet_is_as_it_was(operation: str) -> None:
    for interrupted in each_step():
        pool = ConnectionPool(MODES["exclusive"], connector=Outside())
        where = interrupted(partial(OPERATIONS[operation], pool))
        if operation != "close":
            as_it_was(pool, where)
        closes(pool, where)


def test_closing_a_pool_ends_in_its_time_wherever_it_was_interrupted_before() -> None:
    for interrupted in each_step():
        pool = ConnectionPool(MODES["shared"], connector=(outside := Outside()))
        as_it_was(pool, "the beginning")
        where = interrupted(partial(pool.close, 0.2))
        closes(pool, where)
        assert all(link.closed for link in outside.links), where


def test_who_waits_gets_his_lease_wherever_it_is_returned_with_an_interrupt() -> None:
    pool = ConnectionPool(SINGLE, connector=Outside())
    with ThreadPoolExecutor(1) as thread:
        for interrupted in each_step():
            held: Any = pool.get_client("a")
            waiter = thread.submit(lambda: pool.get_client("a").close())
            until = time.monotonic() + LIMIT
            while pool.stats().requests_waiting == 0 and time.monotonic() < until:
                time.sleep(0.0005)
            where = interrupted(partial(pool.return_client, "a", held))
            held.close()
            began = time.monotonic()
            waiter.result(2 * LIMIT)
            assert time.monotonic() - began < LIMIT / 2, where
    closes(pool, "the end")


def test_who_is_interrupted_while_waiting_leaves_the_queue_wherever_that_is() -> None:
    pool = ConnectionPool(SINGLE, connector=Outside())
    held = pool.get_client("a")

    def wait() -> None:
        with contextlib.suppress(mp.PoolTimeoutError):
            pool.get_client("a", timeout=0.001)

    for where in everywhere(wait):
        stats = pool.stats()
        assert (stats.requests_waiting, stats.pool_active) == (0, 1), where
    held.close()
    within(LIMIT, lambda: pool.get_client("a").close(), "the end")
    closes(pool, "the end")


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_a_lease_that_is_dropped_comes_back_wherever_its_finalizer_is_interrupted(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's keeps the frames, and with them the lease
    pool = ConnectionPool(MODES[mode], connector=Outside())
    as_it_was(pool, "the beginning")
    places = 0
    for interrupted in each_step():
        places += 1
        held = [pool.get_client("a")]
        where = interrupted(held.clear)
        as_it_was(pool, where)
    assert places > 2
    closes(pool, "the end")


# --- calls ---


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "Many": grpc.unary_stream_rpc_method_handler(lambda request, context: iter([request] * 2)),
    }
    with scripted_grpc.serving(grpc.method_handlers_generic_handler("test", methods)) as port:
        yield f"127.0.0.1:{port}"


def spinning() -> set[int]:
    """gRPC's threads for streams and futures, of which a channel has one as long as any is under way."""

    def is_one(frame: FrameType | None) -> bool:
        return frame is not None and (frame.f_code.co_name == "channel_spin" or is_one(frame.f_back))

    return {thread for thread, frame in sys._current_frames().items() if is_one(frame)}


@pytest.mark.parametrize("kind", ["call", "future", "stream"])
def test_a_channel_works_and_closes_wherever_a_call_is_interrupted(
    kind: str, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ended = spinning(), list[Any]()
    monkeypatch.setattr(threading, "excepthook", lambda hook: ended.append(hook.exc_value))
    for interrupted in each_step():
        core = ChannelCore(grpc.insecure_channel(echo), TokenHolder())
        channel = ProfileChannel(core)
        say, many = channel.unary_unary("/test/Say"), channel.unary_stream("/test/Many")
        say(b"")

        def operation(say: Any = say, many: Any = many) -> object:
            if kind == "call":
                return say(b"", timeout=LIMIT)
            return say.future(b"", timeout=LIMIT).result() if kind == "future" else list(many(b"", timeout=LIMIT))

        where = interrupted(operation)
        assert within(LIMIT, lambda say=say: say(b"x", timeout=LIMIT), where) == b"x"  # type: ignore[misc]
        assert within(LIMIT, lambda core=core: core.wait_idle(LIMIT), where), where  # type: ignore[misc]
        began = time.monotonic()
        within(LIMIT, lambda core=core: core.close() is None, where)  # type: ignore[misc]
        assert time.monotonic() - began < 5, where
        # Or it looks for events where closing has taken them away, and the process may end.
        until(lambda: not spinning() - before, LIMIT)
        assert not ended, where


def how_it_ends(stream: Any) -> StatusCode:
    try:
        list(stream)
    except grpc.RpcError as error:
        return error.code()
    return StatusCode.OK


@pytest.mark.parametrize("doing", ["result", "exception", "add_done_callback", "cancel", "code", "repr", "list"])
def test_other_calls_go_on_wherever_waiting_for_one_is_interrupted(doing: str, echo: str) -> None:
    core = ChannelCore(grpc.insecure_channel(echo), TokenHolder())
    channel = ProfileChannel(core)
    say, many = channel.unary_unary("/test/Say"), channel.unary_stream("/test/Many")
    for interrupted in each_step():
        rpc = many(b"", timeout=LIMIT) if doing == "list" else say.future(b"", timeout=LIMIT)
        operations: dict[str, Callable[[], object]] = {
            "add_done_callback": lambda rpc=rpc: rpc.add_done_callback(lambda _: None),  # type: ignore[misc]
            "repr": partial(repr, rpc),
            "list": partial(list, rpc),
        }
        where = interrupted(operations.get(doing) or getattr(rpc, doing))
        if doing == "list":  # gRPC cannot go on with it
            assert within(LIMIT, partial(how_it_ends, rpc), where) in (StatusCode.OK, StatusCode.CANCELLED)
        # Its thread is one for all calls: it must not wait for the lock of this one.
        other = say.future(b"x", timeout=LIMIT)
        assert within(2 * LIMIT, other.result, where) == b"x"
        del rpc, operations
    within(LIMIT, partial(core.wait_idle, LIMIT), "the end")
    core.close()


@pytest.mark.parametrize("others", ["begun before", "begun after"])
@pytest.mark.parametrize("kind", ["future", "stream"])
def test_other_calls_go_on_wherever_beginning_one_is_interrupted(kind: str, others: str, echo: str) -> None:
    for interrupted in each_step():
        core = ChannelCore(grpc.insecure_channel(echo), TokenHolder())
        channel = ProfileChannel(core)
        say, many = channel.unary_unary("/test/Say"), channel.unary_stream("/test/Many")
        other = say.future(b"x", timeout=LIMIT) if others == "begun before" else None
        where = interrupted(partial(say.future if kind == "future" else many, b"", timeout=LIMIT))
        other = other or say.future(b"x", timeout=LIMIT)
        assert within(2 * LIMIT, other.result, where) == b"x"
        core.close()


def test_a_stream_or_a_future_is_begun_in_the_context_of_its_caller(echo: str) -> None:
    seen: list[str] = []
    context = contextvars.ContextVar("context", default="none")

    class Looks(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg,misc,unused-ignore]
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            seen.append(context.get())
            return continuation(details, request)

    core = ChannelCore(grpc.intercept_channel(grpc.insecure_channel(echo), Looks()), TokenHolder())
    context.set("the caller's")
    assert ProfileChannel(core).unary_unary("/test/Say").future(b"x", timeout=LIMIT).result() == b"x"
    core.close()
    assert seen == ["the caller's"]


def condition_of(channel: grpc.Channel) -> threading.Condition:
    """What gRPC guards a channel by, which its compiled code hides."""
    (state,) = (each for each in gc.get_referents(channel._channel) if type(each).__name__ == "_ChannelState")  # type: ignore[attr-defined]
    (found,) = (each for each in gc.get_referents(state) if isinstance(each, threading.Condition))
    return found


def test_the_lock_of_a_channel_is_held_no_more_wherever_a_call_is_interrupted(echo: str) -> None:
    profiles = mp.load(env={"MILVUS_PROFILES__P__URI": f"http://{echo}"}, cwd="/")
    raw = open_channel(profiles.resolve("p").profile)
    say, condition = raw.unary_unary("/test/Say", None, None), condition_of(raw)
    say(b"")
    for where in everywhere(lambda: say(b"", timeout=LIMIT)):
        assert not condition._is_owned(), where  # type: ignore[attr-defined]


def test_a_lock_is_let_go_of_though_letting_go_is_interrupted_too(echo: str) -> None:
    raw = grpc.insecure_channel(echo)
    say, condition = raw.unary_unary("/test/Say", None, None), condition_of(raw)
    say(b"")
    caught: list[BaseException] = []

    def operation() -> None:
        try:
            say(b"", timeout=LIMIT)
        except KeyboardInterrupt as error:
            caught[:] = [error]
            raise

    # As it is without being prepared.
    where = next(where for where in everywhere(operation) if condition._is_owned())  # type: ignore[attr-defined]
    assert "threading.py" in where
    places = 0
    for where in everywhere(lambda: let_go(caught[0])):
        if "_let_go" in where:  # not right before or after
            places += 1
            assert not condition._is_owned(), where  # type: ignore[attr-defined]
        condition.acquire()
    assert places > 10
    let_go(caught[0])
    raw.close()


@pytest.mark.parametrize("fate", ["dropped", "closed", "closed and dropped", "kept"])
def test_neither_the_garbage_collector_nor_the_end_waits_for_a_lock_that_is_held_for_ever(fate: str) -> None:
    program = """
import gc, sys
import grpc
from milvus_profiles.background import Latch, start
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.grpc_process import let_go
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.channel.options import open_channel
from tests.test_interrupts import condition_of

def opened():
    return ChannelCore(grpc.insecure_channel("127.0.0.1:1"), TokenHolder())

core, taken = opened(), Latch()

def take():
    condition_of(core.raw).acquire()
    taken.set()

start(take, "holds a lock")
assert taken.wait(10)
if "closed" in sys.argv[1]:
    core.close()
if "dropped" in sys.argv[1]:
    del core
    gc.collect()
    opened().close()  # now it would be closed, and is given up
"""
    run_python(program, fate, timeout=30, check=True)


def test_a_channel_that_was_dropped_is_closed_when_another_is_opened(echo: str) -> None:
    core = ChannelCore(grpc.insecure_channel(echo), TokenHolder())
    inner = core.raw._channel
    assert core.raw.unary_unary("/test/Say", None, None)(b"x") == b"x"
    del core
    gc.collect()
    inner.check_connectivity_state(False)  # it is open still
    ChannelCore(grpc.insecure_channel(echo), TokenHolder()).close()

    def closes() -> bool:
        with contextlib.suppress(ValueError):
            while True:
                inner.check_connectivity_state(False)
                time.sleep(0.005)
        return True

    assert within(LIMIT, closes, "the end")


def hold(channel: grpc.Channel) -> Any:
    """A call that is under way and whose lock, which is grpc's, a thread has taken that never comes back."""
    rpc: Any = channel.unary_unary(f"{scripted_grpc.SERVICE}Slow", None, None).future(b"")
    taken = Latch()

    def take() -> None:
        rpc._state.condition.acquire()
        taken.set()
        time.sleep(3600)

    start(take, "holds a lock")
    assert taken.wait(LIMIT)
    return rpc


def test_closing_ends_in_its_time_though_a_lock_of_grpc_is_held_for_ever() -> None:
    program = """
import sys, time
import milvus_profiles as mp
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.profile import PoolSettings
from tests.support import scripted_grpc
from tests.test_interrupts import hold

def timed(close):
    began = time.monotonic()
    close()
    print(f"{time.monotonic() - began:.2f}", flush=True)

profiles = mp.load(env={"MILVUS_PROFILES__P__URI": sys.argv[1]}, cwd="/")
calls = []
for dedicated in (True, False):
    conn = mp.connect("p", profiles=profiles, dedicated=dedicated)
    calls.append(hold(conn.channel))
    timed(conn.close)
timed(lambda: mp.disconnect_all(grace=1))
for leased in (True, False):
    pool = ConnectionPool(PoolSettings(drain_timeout=1), profiles)
    conn = pool.get_client("p")
    calls.append(hold(conn.channel))
    if not leased:
        timed(conn.close)
    timed(pool.close)
import os; os._exit(0)  # the locks are held still
"""

    def slow(call: scripted_grpc.Call) -> bytes:
        time.sleep(2)
        return b""

    with scripted_grpc.scripted_server(scripted_grpc.answering(Slow=slow)) as server:
        done = run_python(program, f"http://127.0.0.1:{server.port}", check=True)
    took = [float(each) for each in done.stdout.split()]
    assert len(took) == 6
    assert max(took) < 5


# --- connections ---


@pytest.fixture
def profiles() -> Iterator[mp.Profiles]:
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        known = mp.load(env={"MILVUS_PROFILES__P__URI": f"http://127.0.0.1:{server.port}"}, cwd="/")
        mp.connect("p", profiles=known).close()
        mp.disconnect_all()
        yield known
        mp.disconnect_all()


def closing() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "milvus-profiles close"}


@pytest.mark.parametrize(
    ("operation", "stride"), [("connect", 7), ("dedicated", 61), ("ping", 9), ("close", 1), ("disconnect", 3)]
)
def test_nothing_is_left_open_wherever_a_connection_is_interrupted(
    operation: str, stride: int, profiles: mp.Profiles
) -> None:
    def connect(**more: Any) -> mp.Connection:
        return mp.connect("p", profiles=profiles, **more)

    def good() -> bool:
        with connect() as conn:
            conn.ping()
        return True

    others = closing()
    for interrupted in each_step(stride):
        held = connect(dedicated=operation == "close") if operation in ("ping", "close", "disconnect") else None
        operations: dict[str, Callable[[], object]] = {
            "connect": lambda: connect().close(),
            "dedicated": lambda: connect(dedicated=True).close(),
            "ping": lambda held=held: held.ping(),  # type: ignore[misc]
            "close": lambda held=held: held.close(),  # type: ignore[misc]
            "disconnect": lambda: mp.disconnect("p", grace=0.5),
        }
        where = interrupted(operations[operation])
        operations.clear()
        within(2 * LIMIT, good, where)
        if held is not None:
            within(LIMIT, lambda held=held: held.close() is None, where)  # type: ignore[misc]
        within(LIMIT, lambda: mp.disconnect_all(grace=1), where)
        assert mp.list_connections() == [], where
        until = time.monotonic() + LIMIT
        while OPEN_CONNECTIONS.taken and time.monotonic() < until:
            gc.collect()
            time.sleep(0.005)
        assert OPEN_CONNECTIONS.taken == 0, where
        while closing() - others and time.monotonic() < until:
            time.sleep(0.005)
        assert not closing() - others, where  # nothing waits for a lock of gRPC's


class _Nothing:
    """An open channel that leads nowhere."""

    abandoned = False
    is_closed = False
    fingerprint = 1
    key = lite = None
    info = ConnectionInfo("a", None, None, 0)  # type: ignore[arg-type]

    def retire(self) -> None:
        pass

    def disconnect(self, grace: float) -> None:
        self.is_closed = True


def test_who_waits_for_a_connection_is_the_next_to_open_it_wherever_the_first_is_interrupted() -> None:
    registry: Registry[Any] = Registry()
    for interrupted in each_step():
        registry._reset()
        entered, got = Latch(), Latch()

        def ask(entered: Latch = entered, got: Latch = got) -> None:
            entered.set()
            registry.shared("key", 1, lambda old: _Nothing())
            got.set()

        def opener(old: object, ask: Callable[[], None] = ask, entered: Latch = entered) -> _Nothing:
            start(ask, "another")
            assert entered.wait(LIMIT)
            return _Nothing()

        where = interrupted(partial(registry.shared, "key", 1, opener))
        if entered.is_set:
            assert got.wait(LIMIT), where
        assert within(LIMIT, lambda: registry.shared("key", 1, lambda old: _Nothing()), where)


def test_a_secret_is_fetched_by_the_next_wherever_the_first_is_interrupted() -> None:
    def fetch() -> tuple[SecretText, None]:
        return SecretText("s"), None

    kept = SecretCache()
    for where in everywhere(lambda: kept.get("k", fetch, now=lambda: 0.0, refresh=False)):
        assert within(LIMIT, lambda: kept.get("k", fetch, now=lambda: 0.0, refresh=False), where) == SecretText("s")
    assert kept._fetching._under_way == {}


def test_a_failure_to_fetch_is_shared_wherever_the_next_is_interrupted() -> None:
    def fail() -> tuple[SecretText, None]:
        raise SecretUnavailableError("none")

    kept = SecretCache()

    def ask() -> None:
        with contextlib.suppress(SecretUnavailableError):
            kept.get("k", fail, now=lambda: 0.0, refresh=False)

    for where in everywhere(ask):
        within(LIMIT, ask, where)


def test_no_slot_is_lost_wherever_taking_and_giving_back_is_interrupted() -> None:
    limit = ConnectionLimit()
    for where in everywhere(lambda: limit.take(1).release()):
        assert limit.taken == 0, where
        within(LIMIT, lambda: limit.take(1).release(), where)


# --- storms ---

STORMS = ["lease", "client", "call", "pool", "connect", "dedicated", "disconnect", "prepare", "clear", "drain"]
STORMS += ["future", "stream"]
# Of many interrupts one after the other: for the campaign alone.
FIERCE = [f"threads-{operation}" for operation in STORMS]
STORMS += ["cancel-lease", "cancel-connect", "cancel-disconnect", "cancel-pool"]
if sys.version_info >= (3, 11):  # before, asyncio.run let the interrupt strike anywhere, and grpc.aio takes that badly
    STORMS += ["run-lease", "run-connect", "run-disconnect", "run-pool"]


def storm(operation: str, seconds: float, seed: int) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.storm", operation, str(seconds), str(seed)],
        capture_output=True, text=True, timeout=seconds + 150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
    return int(done.stdout.split()[-1])


@pytest.mark.parametrize("operation", STORMS)
def test_a_storm_leaves_nothing_behind(operation: str) -> None:
    assert storm(operation, 2.5, seed=1) > 5


@pytest.mark.campaign
@pytest.mark.parametrize("operation", [*STORMS, *FIERCE])
def test_a_long_storm_leaves_nothing_behind(operation: str) -> None:
    seconds = float(os.environ.get("STORM_SECONDS", "60"))
    assert storm(operation, seconds, seed=int(time.time())) > 20
