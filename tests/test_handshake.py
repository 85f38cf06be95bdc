"""Connecting to every server that there is, good and bad: each trouble ends in its own error, in time."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from milvus_profiles.background import Deadline
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.channel.options import open_channel
from milvus_profiles.errors import (
    AuthenticationError,
    ConnectionClosedError,
    ConnectTimeoutError,
    DatabaseNotFoundError,
    MilvusProfilesError,
    NotMilvusError,
    PermissionDeniedError,
    ServerNotReadyError,
    UnreachableError,
)
from milvus_profiles.live.driving import calls_deadline, drive
from milvus_profiles.live.handshake import Invoke as Step
from milvus_profiles.live.handshake import Probe, Reply, ServerInfo, handshake_plan
from milvus_profiles.masked import SecretText
from milvus_profiles.probe.context import ConnectContext
from milvus_profiles.profile import Profile
from tests.conftest import StartMilvus
from tests.support import faults
from tests.support.certificates import Certificates
from tests.support.connections import Holding
from tests.support.milvus import MilvusServer
from tests.support.ports import ports
from tests.support.reporters import all_told
from tests.support.scripted_grpc import Call, Refusal, answering, message, milvus_answer, number, scripted_server
from tests.support.speaking import encoded
from tests.support.waiting import interrupted_when

CANARY = "root:canary-7f3a"
GOOD = message(1, b"")
LIMIT = 2.0


@contextlib.contextmanager
def connecting(
    port: int, *, token: str | None = None, timeout: float = LIMIT, **fields: Any
) -> Iterator[tuple[ChannelCore, ConnectContext, Deadline]]:
    uri = f"{'https' if fields.get('ssl') else 'http'}://127.0.0.1:{port}"
    profile = Profile(alias="prod", uri=uri, timeout=timeout, **fields)
    secret = SecretText(token) if token else None
    core = ChannelCore(open_channel(profile), TokenHolder(secret, db_name=profile.db_name))
    try:
        yield core, ConnectContext(profile, profile.tls, secret), Deadline.after(timeout)
    finally:
        core.close()


def handshake(core: ChannelCore, context: ConnectContext, deadline: Deadline, *, user: str | None = None) -> ServerInfo:
    plan = handshake_plan(core.holder, context, user=user)
    return drive(plan, context, core.raw, deadline, calls_deadline(deadline))


def connect(port: int, *, user: str | None = None, **settings: Any) -> ServerInfo:
    with connecting(port, **settings) as (core, attempt, deadline):
        return handshake(core, attempt, deadline, user=user)


def failure(port: int, **settings: Any) -> MilvusProfilesError:
    """The error of a connect, which has to come within the timeout."""
    began = time.monotonic()
    with pytest.raises(MilvusProfilesError) as caught:
        connect(port, **settings)
    # A second more for a machine that is busy with other things.
    assert time.monotonic() - began < settings.get("timeout", LIMIT) + 1.0
    error = caught.value
    assert error.hint
    assert error.message.isprintable()
    return error


def shows_the_token(text: str) -> bool:
    return CANARY.removeprefix("root:") in text or encoded(CANARY) in text


# --- servers that let us in ------------------------------------------------------------------------------------------


def test_a_milvus_tells_who_it_is(milvus_plain: MilvusServer) -> None:
    info = connect(milvus_plain.port)
    assert info.version == info.build_tags == "v2.3.5-lite"
    assert info.deploy_mode == "STANDALONE"
    assert info.has_connect
    assert info.identifier > 0
    assert info.git_commit


def test_a_server_without_connect_is_asked_for_its_version(milvus_228: MilvusServer) -> None:
    info = connect(milvus_228.port, db_name="default")
    assert (info.version, info.has_connect, info.identifier) == ("v2.2.8-lite", False, 0)
    # It ignores the name of a database: what is written would land among everything else.
    assert isinstance(failure(milvus_228.port, db_name="analytics"), DatabaseNotFoundError)


def test_a_server_that_takes_a_second_is_waited_for(milvus_tls: MilvusServer, certificates: Certificates) -> None:
    with faults.slow_server(1.0, milvus_tls.port) as slow:
        assert connect(slow.port, ssl={"ca": str(certificates.ca)}, token="root:Milvus", timeout=5.0).version


def test_one_call_is_enough_where_connect_tells_all() -> None:
    with scripted_server(milvus_answer) as server:
        connect(server.port)
        assert server.names() == ["Connect"]


def test_a_named_database_is_asked_for_beside_connect() -> None:
    both = threading.Barrier(2)

    def script(call: Call) -> bytes:
        both.wait(10)  # neither is answered before both have come
        return milvus_answer(call)

    with scripted_server(script) as server:
        connect(server.port, token="root:Milvus", db_name="analytics", user="root")
        asked = {call.method.rpartition("/")[2]: call for call in server.calls}
        assert asked.keys() == {"Connect", "ShowCollections"}
        assert asked["Connect"].metadata["authorization"] == encoded("root:Milvus")
        assert "dbname" not in asked["Connect"].metadata
        assert asked["ShowCollections"].metadata["dbname"] == "analytics"
        assert asked["ShowCollections"].request == message(2, b"analytics")


def test_an_answer_beside_one_that_says_no_is_not_waited_for() -> None:
    script = Holding(otherwise=answering(Connect=Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")))
    with scripted_server(script) as server:
        with pytest.raises(AuthenticationError):
            connect(server.port, token="root:wrong", db_name="analytics", timeout=20.0)
        script.go_on.set()


def test_neither_the_systems_user_nor_the_machine_is_told() -> None:
    import getpass
    import socket

    with scripted_server(milvus_answer) as server:
        connect(server.port, user="root")
        request = server.calls[0].request
        assert message(4, b"root") in request
        assert b"milvus-profiles" in request
        assert socket.gethostname().encode() not in request
        connect(server.port)
        assert getpass.getuser().encode() not in server.calls[1].request


# --- servers that know less ------------------------------------------------------------------------------------------


UNKNOWN = Refusal(grpc.StatusCode.UNIMPLEMENTED, "")
DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PrivilegeShowCollections: permission deny to alice")
NAMELESS = GOOD + message(2, message(1, b"milvus_lite") + message(5, b"embedded"))


def test_of_a_server_that_did_not_tell_its_version_it_is_asked_beside_connect_the_next_time() -> None:
    both = threading.Barrier(2)

    def script(call: Call) -> bytes:
        if len(server.calls) > 2:
            both.wait(10)  # neither is answered before both have come
        return NAMELESS if call.method.endswith("/Connect") else GOOD + message(2, b"v9.9.9")

    with scripted_server(script) as server:
        assert [connect(server.port).version for _ in range(2)] == ["v9.9.9", "v9.9.9"]
        assert server.names()[:2] == ["Connect", "GetVersion"]
        assert sorted(server.names()[2:]) == ["Connect", "GetVersion"]


@pytest.mark.parametrize(
    ("answers", "expected", "asked"),
    [
        # Tags without a number are no version.
        (
            {"Connect": NAMELESS, "GetVersion": GOOD + message(2, b"milvus_lite-3.2.2")},
            ServerInfo("milvus_lite-3.2.2", "milvus_lite", deploy_mode="embedded", identifier=0),
            ["Connect", "GetVersion"],
        ),
        ({"Connect": NAMELESS, "GetVersion": UNKNOWN}, None, ["Connect", "GetVersion"]),
        ({"Connect": NAMELESS, "GetVersion": GOOD}, None, ["Connect", "GetVersion"]),
        # A Milvus older than GetVersion is known by its collections.
        ({"Connect": UNKNOWN, "GetVersion": UNKNOWN}, None, ["Connect", "GetVersion", "ShowCollections"]),
        (
            {"Connect": UNKNOWN, "GetVersion": UNKNOWN, "ShowCollections": DENIED},
            None, ["Connect", "GetVersion", "ShowCollections"],
        ),
        ({"Connect": UNKNOWN, "GetVersion": GOOD}, None, ["Connect", "GetVersion"]),
    ],
)  # fmt: skip
def test_a_server_that_tells_less_is_connected_to(
    answers: dict[str, bytes | Refusal], expected: ServerInfo | None, asked: list[str]
) -> None:
    with scripted_server(answering(**answers)) as server:
        info = connect(server.port)
        assert server.names() == asked
    assert info.version == (expected and expected.version)
    assert info.has_connect == (answers["Connect"] is NAMELESS)
    if expected is not None:
        assert (info.build_tags, info.identifier) == (expected.build_tags, expected.identifier)


# --- who we are ------------------------------------------------------------------------------------------------------


def test_a_refusal_in_other_words_is_quoted() -> None:
    refused = Refusal(grpc.StatusCode.UNAUTHENTICATED, "token expired")
    with scripted_server(answering(Connect=refused)) as server:
        error = failure(server.port, token="root:canary")
        assert isinstance(error, AuthenticationError)
        assert "token expired" in error.message


def test_a_database_that_may_not_be_looked_at_is_taken_as_it_is() -> None:
    with scripted_server(answering(ShowCollections=DENIED)) as server:
        assert connect(server.port, token="alice:pw", db_name="analytics").version


def test_a_server_without_connect_may_know_databases() -> None:
    for version in (b"v2.4.1", b"strange"):
        with scripted_server(answering(Connect=UNKNOWN, GetVersion=GOOD + message(2, version))) as server:
            connect(server.port, db_name="analytics")
            assert "ListDatabases" not in server.names()  # which makes 2.2.8 panic


# --- not there, not a Milvus, not ready ------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("port", "kind", "said", "hinted"),
    [
        (faults.refused_port, UnreachableError, "refuses", "19530"),
        (faults.black_hole, ConnectTimeoutError, "", "firewall"),
        (faults.never_accepting, ConnectTimeoutError, "says nothing", ""),
        (lambda: faults.listener(lambda connection: None), UnreachableError, "closes", ""),
    ],
)
def test_nobody_answers(
    certificates: Certificates, port: Any, kind: type[MilvusProfilesError], said: str, hinted: str, tls: bool
) -> None:
    with port() as opened:
        error = failure(getattr(opened, "port", opened), ssl={"ca": str(certificates.ca)} if tls else None, timeout=1.0)
    assert type(error) is kind
    assert said in error.message
    assert hinted in str(error.hint)


def test_answers_that_are_no_messages() -> None:
    with scripted_server(lambda call: b"\xff\xff\xff") as server:
        error = failure(server.port)
        assert isinstance(error, NotMilvusError)
        assert "cannot be read" in error.message


def test_a_real_milvus_that_is_starting_is_unreachable_or_not_ready_until_it_is_ready(
    start_milvus: StartMilvus, milvus_plain: MilvusServer
) -> None:
    port = ports().take()
    errors: list[MilvusProfilesError] = []
    versions: list[str | None] = []

    def keep_connecting() -> None:
        until = time.monotonic() + 60
        while not versions and time.monotonic() < until:
            try:
                versions.append(connect(port, timeout=1.0).version)
            except MilvusProfilesError as error:  # noqa: PERF203
                errors.append(error)
                time.sleep(0.01)

    connecting = threading.Thread(target=keep_connecting)
    connecting.start()
    start_milvus(port=port)
    connecting.join()
    assert versions == ["v2.3.5-lite"]
    assert errors
    assert all(isinstance(error, (UnreachableError, ServerNotReadyError)) for error in errors)
    ports().give_back(port)


UNKNOWN_DATABASE = [
    number(1, 1) + message(2, b"database not found[database=nope]") + number(3, 800),  # Milvus 2.3
    number(3, 800),
    number(1, 1) + message(2, b"database not found: nope"),  # an old one
    message(2, b"database 'nope' does not exist") + number(3, 1),  # Milvus Lite
]


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("Connect", number(3, 1) + message(2, b"service not ready[proxy=1]"), ServerNotReadyError),
        ("Connect", number(1, 1) + message(2, b"proxy 1 is not healthy"), ServerNotReadyError),
        ("Connect", number(3, 5) + message(2, b"something broke"), ServerNotReadyError),
        ("Connect", number(3, 1400) + message(2, b"not authenticated"), AuthenticationError),
        ("Connect", number(3, 1401) + message(2, b"not permitted"), PermissionDeniedError),
        *(("ShowCollections", status, DatabaseNotFoundError) for status in UNKNOWN_DATABASE),
    ],
)
def test_errors_in_the_body(method: str, status: bytes, expected: type[MilvusProfilesError]) -> None:
    with scripted_server(answering(**{method: message(1, status)})) as server:
        assert type(failure(server.port, token="root:x", db_name="nope")) is expected


def test_a_server_that_finds_no_database_for_a_profile_without_one() -> None:
    reason = message(1, number(3, 800) + message(2, b"database not found[database=default]"))
    with scripted_server(answering(Connect=reason)) as server:
        error = failure(server.port)
    assert type(error) is DatabaseNotFoundError
    assert "None" not in error.message
    assert "database not found[database=default]" in error.message
    assert error.hint is not None
    assert "db_name=NAME" in error.hint


def test_a_channel_that_is_closed_while_it_is_being_opened(milvus_plain: MilvusServer) -> None:
    with connecting(milvus_plain.port) as (core, attempt, deadline):
        core.close()
        with pytest.raises(ConnectionClosedError):
            handshake(core, attempt, deadline)


def test_an_interrupt_while_connecting_holds_no_token() -> None:
    script = Holding("Connect")
    with scripted_server(script) as server, connecting(server.port, token=CANARY, timeout=9.0) as (core, attempt, end):
        with interrupted_when(script.arrived.is_set), pytest.raises(KeyboardInterrupt) as caught:
            handshake(core, attempt, end)
        script.go_on.set()
        # Without the frame of this test, in which the server shows what it was sent.
        told = all_told(caught.value.with_traceback(caught.tb.tb_next))
        assert "timeout = " in told
        assert not shows_the_token(told)


# --- what the server says --------------------------------------------------------------------------------------------


def test_the_token_does_not_come_back_in_a_message() -> None:
    echo = f"{CANARY} {encoded(CANARY)} canary-7f3a"
    for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE):
        with scripted_server(answering(Connect=Refusal(code, f"refused: {echo}"))) as server:
            error = failure(server.port, token=CANARY)
            assert not shows_the_token(str(error))
            assert "********" in error.message


def test_no_traceback_of_a_failed_handshake_holds_the_token(milvus_auth: MilvusServer) -> None:
    with connecting(milvus_auth.port, token=CANARY) as (core, attempt, deadline):
        with pytest.raises(AuthenticationError) as caught:
            handshake(core, attempt, deadline)
        assert not shows_the_token(all_told(caught.value))


# --- the plan, without any channel -----------------------------------------------------------------------------------


def plan_of(**settings: Any) -> Any:
    attempt = ConnectContext(Profile(alias="prod", uri="db.example"), None)
    return handshake_plan(TokenHolder(**settings), attempt, now=lambda: dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc))


def test_the_plan_waits_for_nothing() -> None:
    plan = plan_of()
    step = plan.send(None)
    assert isinstance(step, Step)
    assert step.method.name == "Connect"
    assert b"2026-01-02T00:00:00+00:00" in step.request
    with pytest.raises(StopIteration) as done:
        plan.send(Reply(grpc.StatusCode.OK, GOOD + message(2, message(1, b"v2.4.0")) + number(3, 7)))
    assert done.value.value == ServerInfo("v2.4.0", "v2.4.0", identifier=7)


def test_the_plan_asks_for_a_look_where_the_words_may_mean_several_things() -> None:
    plan = plan_of()
    plan.send(None)
    assert isinstance(plan.send(Reply(grpc.StatusCode.UNAVAILABLE, details="Socket closed")), Probe)
    with pytest.raises(UnreachableError):
        plan.send(None)


def test_steps_do_not_show_their_metadata() -> None:
    step = plan_of(token=SecretText("root:canary")).send(None)
    assert "canary" not in repr(step)
    assert "metadata" not in repr(step)


def test_time_is_kept_for_a_look() -> None:
    for seconds, left in ((10.0, 9.0), (2.0, 1.8), (100.0, 99.0)):
        assert calls_deadline(Deadline.after(seconds, lambda: 100.0)).remaining == pytest.approx(left)


def test_a_deadline_counts_down_to_zero() -> None:
    now = [100.0]
    deadline = Deadline.after(2.0, lambda: now[0])
    assert deadline.sooner(1.0).remaining == pytest.approx(1.0)
    assert deadline.sooner(5.0).remaining == pytest.approx(2.0)
    now[0] = 103.0
    assert deadline.remaining == 0.0
    assert deadline.has_passed
    assert "clock" not in repr(deadline)
