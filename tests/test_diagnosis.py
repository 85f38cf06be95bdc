"""`mp.diagnose` on real servers: what each stage says, what is only a warning, and that it can be given up.

What breaks inside of a test is a finding of the stage where it broke: never a traceback, never a claim unseen.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import datetime as dt
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.diagnosis.certificates import describe_tls
from milvus_profiles.diagnosis.stages import ProfileTest, diagnose_declared
from milvus_profiles.diagnosis.test_run import StageDraft
from milvus_profiles.live.opening import secret_context
from milvus_profiles.masked import MaskedMapping
from milvus_profiles.probe.context import ConnectContext
from milvus_profiles.probe.tls import TLSOutcome
from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.connections import variables_of
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import Call, Refusal, answering, message, milvus_answer, number, scripted_server
from tests.support.waiting import until

Diagnose = Callable[..., mp.Report]


@pytest.fixture
def diagnose(tmp_path: Path) -> Diagnose:
    """Test the profile `prod`, whose fields are given as variables."""

    def run(env: dict[str, str] | None = None, /, *, timeout: float = 5.0, **fields: Any) -> mp.Report:
        variables = {f"MILVUS_PROFILES__PROD__{name.upper()}": str(value) for name, value in fields.items()}
        return mp.diagnose("prod", profiles=mp.load(env={**variables, **(env or {})}, cwd=tmp_path), timeout=timeout)

    return run


def of(server: MilvusServer, **more: Any) -> dict[str, Any]:
    prefix = "MILVUS_PROFILES__PROD__"
    fields = {name.removeprefix(prefix).lower(): value for name, value in variables_of(server).items()}
    return {**fields, "management_port": server.metrics_port, **more}


def stage(report: mp.Report, name: str) -> mp.Stage:
    return next(stage for stage in report.stages if stage.name == name)


def failed(report: mp.Report) -> mp.Stage:
    assert report.failure, report
    return report.failure


def warned(report: mp.Report) -> dict[str, mp.Stage]:
    assert report.ok, report
    return {stage.name: stage for stage in report.warnings}


def test_a_server_without_tls(diagnose: Diagnose, milvus_plain: MilvusServer) -> None:
    report = diagnose(**of(milvus_plain))
    assert report.ok
    assert {stage.name: stage.status for stage in report.stages if stage.status != "ok"} == {"tls": "skipped"}
    assert stage(report, "tcp").detail == f"{milvus_plain.address} answered"
    assert stage(report, "auth").detail == "no credentials, and none are asked for"
    assert "STANDALONE" in stage(report, "version").detail
    assert "build " in stage(report, "version").detail
    assert stage(report, "rest").detail == "v1 answers"
    assert stage(report, "management").detail == "healthy"


def test_tls_is_described(diagnose: Diagnose, milvus_tls: MilvusServer, milvus_mtls: MilvusServer) -> None:
    detail = stage(diagnose(**of(milvus_tls)), "tls").detail
    for words in ("TLSv1.3", "TLS_AES", "subject ", "CN=server", "issuer O=Ours", "names localhost 127.0.0.1 ::1"):
        assert words in detail
    assert detail.endswith("days left, no client certificate asked for")
    assert stage(diagnose(**of(milvus_mtls)), "tls").detail.endswith("client certificate accepted")


def test_an_old_server_is_never_asked_for_its_databases(diagnose: Diagnose, milvus_228: MilvusServer) -> None:
    report = diagnose(**of(milvus_228))
    assert report.ok
    assert "from before the Connect call" in stage(report, "version").detail
    # It would have panicked.
    missing = diagnose(**of(milvus_228, db_name="nowhere"))
    assert (failed(missing).name, missing.exit_code) == ("database", 10)
    assert diagnose(**of(milvus_228)).ok


def test_milvus_lite_is_called_so(diagnose: Diagnose, tmp_path: Path) -> None:
    report = diagnose(uri=tmp_path / "data.db")
    assert report.ok
    assert stage(report, "version").detail.startswith("Milvus Lite 3.")
    assert report.server.startswith("Milvus Lite 3.")
    assert {stage(report, name).status for name in ("tls", "rest", "management")} == {"skipped"}


def test_every_address_is_named_with_what_became_of_it(diagnose: Diagnose, milvus_plain: MilvusServer) -> None:
    # The name has two addresses in the hosts file of most machines, and the server here listens on both.
    report = diagnose(uri=f"http://localhost:{milvus_plain.port}")
    addresses = stage(report, "dns").detail.split(", ")
    assert "127.0.0.1" in addresses
    assert stage(report, "tcp").detail.endswith("answered")
    assert len(stage(report, "dns").notes) == len(addresses)
    assert stage(report, "tcp").notes


def test_each_stage_has_its_own_time(diagnose: Diagnose) -> None:
    slow = {"Connect": 0.2, "ShowCollections": 0.4}

    def script(call: Call) -> bytes:
        if "authorization" in call.metadata or "ShowCollections" in call.method:
            time.sleep(slow.get(call.method.rpartition("/")[2], 0.0))
        return milvus_answer(call)

    with scripted_server(script) as server:
        report = diagnose(uri=f"http://127.0.0.1:{server.port}", token="a:b", db_name="default")
    ms = {stage.name: stage.ms for stage in report.stages}
    assert 200 <= ms["auth"] < 400 <= ms["database"]
    assert max(ms["dns"], ms["tcp"], ms["grpc"], ms["version"]) < 200


def test_a_certificate_that_ends_soon(
    diagnose: Diagnose, certificates: Certificates, milvus_mtls: MilvusServer
) -> None:
    with scripted_server(milvus_answer, identity=certificates.ending_server) as server:
        report = diagnose(uri=f"https://127.0.0.1:{server.port}", ssl__ca=certificates.ca)
    tls = warned(report)["tls"]
    assert "in 10 days" in tls.detail
    assert "new certificate" in (tls.hint or "")
    pair = certificates.ending_client
    report = diagnose(**of(milvus_mtls, ssl__ca=certificates.ca, ssl__cert=pair.cert, ssl__key=pair.key))
    tls = warned(report)["tls"]
    assert "the client certificate ends on" in tls.detail
    assert "in 10 days" in tls.detail
    assert f"put a new client certificate into {pair.cert}" in (tls.hint or "")


@pytest.mark.parametrize("server", ["milvus_plain", "milvus_228"])
def test_a_token_that_nobody_asks_for(diagnose: Diagnose, server: str, request: pytest.FixtureRequest) -> None:
    report = diagnose(**of(request.getfixturevalue(server), token="root:Milvus"))
    assert "authorization is switched off" in warned(report)["auth"].detail


def test_proxy_variables_are_not_used_and_that_is_said(diagnose: Diagnose, milvus_plain: MilvusServer) -> None:
    proxies = {"https_proxy": "http://user:hushhush@proxy.example:3128"}
    tcp = warned(diagnose(proxies, **of(milvus_plain)))["tcp"]
    assert "https_proxy is set, and not used" in tcp.detail
    assert "MILVUS_PROFILES__PROD__PROXY=" in (tcp.hint or "")
    assert "hushhush" not in repr(tcp)
    assert not warned(diagnose({**proxies, "no_proxy": "127.0.0.1"}, **of(milvus_plain)))
    # Where it fails, that is what may be missing.
    with faults.refused_port() as port:
        refused = failed(diagnose(proxies, uri=f"http://127.0.0.1:{port}"))
    assert "https_proxy is set, and not used" in (refused.hint or "")


def test_a_secret_over_plaintext(diagnose: Diagnose) -> None:
    report = diagnose(uri="http://192.0.2.1", token="a:b", allow_insecure="true", timeout=0.5)
    config = stage(report, "config")
    assert config.status == "warning"
    assert "unencrypted" in config.detail
    assert failed(report).name == "tcp"


def test_variables_that_are_ignored_show_where_authentication_fails(
    diagnose: Diagnose, milvus_auth: MilvusServer
) -> None:
    auth = failed(diagnose({"MILVUS_TOKEN": "root:Milvus"}, uri=milvus_auth.uri))
    assert auth.name == "auth"
    assert "MILVUS_TOKEN is ignored, because MILVUS_URI is not set" in (auth.hint or "")


@pytest.fixture
def searcher(milvus_auth: MilvusServer) -> Iterator[str]:
    """A user with the right to search and no other; the role that everybody has loses what it gives."""
    client = import_with_pymilvus("pymilvus").MilvusClient(uri=milvus_auth.uri, token=milvus_auth.token)
    keys = ("object_type", "privilege", "object_name", "db_name")
    public = [tuple(one[key] for key in keys) for one in client.describe_role("public")["privileges"]]
    for kind, privilege, name, database in public:
        client.revoke_privilege("public", kind, privilege, name, database)
    client.create_user("searcher", "Searching1")
    client.create_role("search_only")
    client.grant_privilege("search_only", "Collection", "Search", "*")
    client.grant_role("searcher", "search_only")
    yield "searcher:Searching1"
    client.revoke_role("searcher", "search_only")
    client.revoke_privilege("search_only", "Collection", "Search", "*")
    client.drop_role("search_only")
    client.drop_user("searcher")
    for kind, privilege, name, database in public:
        client.grant_privilege("public", kind, privilege, name, database)
    client.close()


@pytest.mark.parametrize("named", [{}, {"db_name": "default"}], ids=["no database", "a database"])
def test_a_user_who_may_only_search_passes_with_a_warning(
    diagnose: Diagnose, milvus_auth: MilvusServer, searcher: str, named: dict[str, str]
) -> None:
    report = diagnose(**of(milvus_auth, token=searcher, **named))
    assert set(warned(report)) == {"database"}
    assert "may not list collections" in stage(report, "database").detail


@pytest.mark.parametrize("denied", ["Connect", "GetVersion"])
def test_a_denied_connect_or_version_fails(diagnose: Diagnose, denied: str) -> None:
    answers = {
        "Connect": Refusal(grpc.StatusCode.UNIMPLEMENTED, "unknown method Connect"),
        denied: Refusal(grpc.StatusCode.PERMISSION_DENIED, f"Privilege{denied}: permission deny to alice"),
    }
    with scripted_server(answering(**answers)) as server:
        report = diagnose(uri=f"http://127.0.0.1:{server.port}", token="alice:secret")
    auth = failed(report)
    assert (auth.name, auth.code, report.exit_code) == ("auth", "permission", 9)
    assert denied in auth.detail


@pytest.mark.parametrize(
    ("databases", "detail", "hint"),
    [
        (["default", "analytics"], "it has default, analytics", "did you mean analytics?"),
        (["default", "other"], "it has default, other", "DB_NAME=NAME"),
        (None, "has no database 'analitics'", "DB_NAME=NAME"),
        ([f"d{n}" for n in range(9)], "d7 and 1 more", "DB_NAME=NAME"),
        # What a server calls its databases is not to be run by whoever copies the command.
        (["analitics; rm -rf ~", "b"], "analitics; rm -rf ~", "DB_NAME=NAME"),
        (["analitics\x1b[2J", "b"], r"analitics\x1b[2J", "DB_NAME=NAME"),
    ],
    ids=["near", "far", "denied", "many", "command", "escape"],
)
def test_a_database_that_is_not_there(diagnose: Diagnose, databases: list[str] | None, detail: str, hint: str) -> None:
    missing = number(1, 1) + message(2, b"database not found") + number(3, 800)
    listed = message(1, b"") + b"".join(message(2, name.encode()) for name in databases or [])
    denied = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PrivilegeListDatabases: permission deny to alice")
    script = answering(ShowCollections=message(1, missing), ListDatabases=denied if databases is None else listed)
    with scripted_server(script) as server:
        report = diagnose(uri=f"http://127.0.0.1:{server.port}", db_name="analitics")
        with pytest.raises(mp.DatabaseNotFoundError) as caught:
            mp.connect(uri=f"http://127.0.0.1:{server.port}", db_name="analitics")
    database = failed(report)
    assert database.name == "database"
    assert detail in database.detail
    assert hint in (database.hint or "")
    assert detail in caught.value.message


def test_the_management_port_gets_no_secret(diagnose: Diagnose, milvus_auth: MilvusServer) -> None:
    with faults.recorder(greets=False) as attacker:
        report = diagnose(**of(milvus_auth, management_port=attacker.port))
        assert attacker.connections > 0
        assert b"/healthz" in attacker.received
        assert not attacker.saw("Milvus")
    assert report.ok
    assert stage(report, "management").status == "skipped"


def http_server(answers: dict[str, tuple[str, bytes]]) -> Any:
    """A web server that knows some paths: the status line's end, and the body."""

    def talk(connection: Any) -> None:
        if not (request := connection.recv(65536)):
            return  # only looked whether it connects
        path = request.split(b" ")[1].decode()
        status, body = answers.get(path, ("404 Not Found", b""))
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return faults.listener(talk)


HEALTHY = {"/healthz": ("200 OK", b"OK")}
METRICS = {"/metrics": ("200 OK", b'a 1\nmilvus_build_info{built="x",version="2.5.4"} 1\n')}
UNHEALTHY = {"/healthz": ("500 Bad", b"component \x1b[2J is abnormal\n")}


@pytest.mark.parametrize(
    ("answers", "status", "detail"),
    [
        (HEALTHY | METRICS, "ok", "healthy, version 2.5.4"),
        (HEALTHY, "ok", "healthy"),
        (UNHEALTHY, "warning", r"\x1b[2J is abnormal (HTTP status 500)"),
        ({}, "skipped", "is no management port"),
        ({"/healthz": ("nonsense", b"")}, "skipped", "speaks no HTTP/1.1"),
    ],
    ids=["version", "healthy", "unhealthy", "another", "nonsense"],
)
def test_what_the_management_port_says(
    diagnose: Diagnose, milvus_plain: MilvusServer, answers: dict[str, Any], status: str, detail: str
) -> None:
    with http_server(answers) as server:
        report = diagnose(**of(milvus_plain, management_port=server.port))
    assert report.ok
    assert stage(report, "management").status == status
    assert detail in stage(report, "management").detail


def test_an_http_api_that_refuses_what_grpc_accepts(diagnose: Diagnose, milvus_plain: MilvusServer) -> None:
    def talk(connection: Any) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    asked: list[bytes] = []
    with faults.listener(faults.either(milvus_plain.port, talk)) as gateway:
        report = diagnose(uri=f"http://127.0.0.1:{gateway.port}", token="root:Milvus")
    assert "rest" in warned(report)
    assert "HTTP status 401" in stage(report, "rest").detail
    [request] = [request for request in asked if request]  # the others only looked whether it connects
    assert b"GET /v2/vectordb/collections/list HTTP/1.1\r\n" in request
    assert b"Authorization: Bearer root:Milvus\r\n" in request


async def test_diagnose_in_an_event_loop(tmp_path: Path, milvus_auth: MilvusServer) -> None:
    told: list[str] = []
    loop_thread = threading.get_ident()

    def on_stage(stage: mp.Stage) -> None:
        assert threading.get_ident() == loop_thread
        told.append(stage.name)

    env = {"MILVUS_URI": milvus_auth.uri, "MILVUS_TOKEN": "root:Milvus"}
    report = await mp.aio.diagnose(profiles=mp.load(env=env, cwd=tmp_path), on_stage=on_stage)
    assert report.ok
    assert told == [stage.name for stage in report.stages]
    with pytest.raises(mp.UnknownProfileError):
        await mp.aio.diagnose("nobody", profiles=mp.load(env=env, cwd=tmp_path))


@contextlib.contextmanager
def silent() -> Iterator[tuple[int, Callable[[], object]]]:
    """A port that says nothing, and a wait until gRPC has connected to it: the first connection is a probe's."""
    with faults.slow_server(600) as server:
        yield server.port, lambda: until(lambda: server.connections >= 2)


@contextlib.contextmanager
def starting() -> Iterator[tuple[int, Callable[[], object]]]:
    """A Milvus that is never ready, and a wait until it was asked."""
    with scripted_grpc.starting_milvus() as server:
        yield server.port, lambda: until(lambda: server.calls)


@pytest.mark.parametrize("server", [silent, starting], ids=["in a call", "between two tries"])
async def test_a_cancelled_diagnosis_ends_at_once(tmp_path: Path, server: Any) -> None:
    with server() as (port, until_it_waits):
        env = {"MILVUS_URI": f"http://127.0.0.1:{port}", "MILVUS_PROFILES__DEFAULT__TIMEOUT": "600"}
        task = asyncio.create_task(mp.aio.diagnose(profiles=mp.load(env=env, cwd=tmp_path), wait_ready=600))
        await asyncio.to_thread(until_it_waits)
        [thread] = [thread for thread in threading.enumerate() if thread.name == "milvus-profiles diagnose"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


def test_a_server_that_says_the_token_back_does_not_get_it_shown(diagnose: Diagnose) -> None:
    secret = "canary/Kq7 wZ+e3"

    def script(call: Call) -> bytes:
        sent = str(call.metadata.get("authorization", ""))
        if not sent:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "missing authorization in header")
        raise Refusal(grpc.StatusCode.UNAUTHENTICATED, f"not {sent}, {base64.b64decode(sent).decode()}")

    with scripted_server(script) as server:
        report = diagnose(uri=f"http://127.0.0.1:{server.port}", user="root", password=secret)
    assert report.exit_code == 9
    assert any(note.startswith("gRPC: ") for stage in report.stages for note in stage.notes)
    shown = repr(report) + repr(report.as_json(verbose=True))
    assert secret not in shown
    assert base64.b64encode(f"root:{secret}".encode()).decode() not in shown


SECRET = "canary-77e0"

# Stacks that no machine has room for: Python starts no thread, while gRPC's own threads are not Python's.
NO_THREADS = "import threading\nthreading.stack_size(1 << 46)\n"


class Hostile(MaskedMapping):
    """An environment that breaks where a certain variable is looked up."""

    def __getitem__(self, key: str) -> str:
        if key == "no_proxy":
            raise ZeroDivisionError(SECRET)
        return super().__getitem__(key)


@pytest.fixture(scope="module")
def tls_port(certificates: Certificates) -> Iterator[int]:
    with scripted_server(milvus_answer, identity=certificates.server) as server:
        yield server.port


def variables(port: int, ca: Path) -> dict[str, str]:
    return {
        "MILVUS_PROFILES__PROD__URI": f"https://127.0.0.1:{port}",
        "MILVUS_PROFILES__PROD__SSL__CA": str(ca),
        "MILVUS_PROFILES__PROD__MANAGEMENT_PORT": "1",
    }


def stages(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in report["stages"]}


@pytest.mark.parametrize(("stage", "kind"), [("dns", "ZeroDivisionError"), ("tls", "OverflowError")])
def test_an_error_that_nobody_raised_on_purpose_fails_its_stage_without_its_words(
    tls_port: int, certificates: Certificates, tmp_path: Path, stage: str, kind: str
) -> None:
    def no_clock() -> dt.datetime:
        raise OverflowError(SECRET)

    profiles = mp.load(env=variables(tls_port, certificates.ca), cwd=tmp_path)
    secrets = secret_context(profiles, "prod")
    if stage == "dns":
        test = ProfileTest(dataclasses.replace(secrets, env=Hostile({})))
    else:
        test = ProfileTest(secrets, now=no_clock)
    report = diagnose_declared(profiles, "prod", test)
    one = failed(report)
    assert (one.name, one.code, report.exit_code) == (stage, "internal", 1)
    assert one.detail == f"the examination itself failed: {kind}"
    statuses = [one.status for one in report.stages]
    assert set(statuses[statuses.index("failed") + 1 :]) == {"skipped"}
    assert SECRET not in repr(report)


def test_an_error_of_the_callers_own_callback_is_the_callers(tmp_path: Path) -> None:
    def broken(stage: mp.Stage) -> None:
        raise KeyError(stage.name)

    profiles = mp.load(env={"MILVUS_PROFILES__PROD__URI": "http://127.0.0.1:1"}, cwd=tmp_path)
    with pytest.raises(KeyError, match="config"):
        mp.diagnose("prod", profiles=profiles, on_stage=broken)


def test_without_a_thread_the_stage_says_that_nobody_looked(
    cli: Command, tls_port: int, certificates: Certificates
) -> None:
    program = f"{NO_THREADS}import json, milvus_profiles as mp\nprint(json.dumps(mp.diagnose('prod').as_json()))"
    python = Command([sys.executable, "-W", "error", "-c", program], cli.home, cli.cwd)
    report = python(env=variables(tls_port, certificates.ca), status=0).json
    tls = stages(report)["tls"]
    assert (report["exit_code"], tls["status"]) == (0, "warning")
    assert "it could not be examined: no thread could be started" in tls["detail"]
    assert "verified" not in tls["detail"]
    assert stages(report)["database"]["status"] == "ok"


def test_roots_that_are_not_there_leave_the_verdict_to_grpc(cli: Command, tls_port: int) -> None:
    env = {
        "MILVUS_PROFILES__PROD__URI": f"https://127.0.0.1:{tls_port}",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nowhere/roots.pem",
    }
    done = cli("profile", "test", "prod", "--json", env=env)
    [report] = done.json
    assert (done.returncode, report["exit_code"], stages(report)["tls"]["status"]) == (7, 7, "failed")
    assert "Traceback" not in done.stderr


def test_no_more_files_can_be_opened(cli: Command) -> None:
    """The channel is there, and the sockets of the test are one too many."""
    program = """\
import json, resource
import milvus_profiles as mp
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# Three: a number that another thread closes meanwhile is above it, and is not to be had again.
none_left = lambda stage: resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard)) if stage.name == "dns" else None
print(json.dumps(mp.diagnose("prod", on_stage=none_left).as_json()))
"""
    with faults.never_accepting() as port:
        env = {"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{port}", "MILVUS_PROFILES__PROD__TIMEOUT": "1"}
        report = Command([sys.executable, "-c", program], cli.home, cli.cwd)(env=env).json
    assert report["exit_code"] == 6, report
    assert "Too many open files" in stages(report)["tcp"]["detail"]


@pytest.mark.parametrize("status", ["closed", "silent", "plaintext", "unreachable", "refused", "unexamined"])
def test_a_certificate_that_nobody_saw_is_not_called_verified(
    status: str, certificates: Certificates, tmp_path: Path
) -> None:
    profile = mp.load(env=variables(1, certificates.ca), cwd=tmp_path)["prod"]
    draft = StageDraft()
    seen = TLSOutcome(status, detail="the words")  # type: ignore[arg-type]
    describe_tls(draft, seen, ConnectContext(profile, profile.tls), dt.datetime.now(dt.timezone.utc))
    assert draft.status == "warning"
    assert "could not be examined" in draft.detail
    assert "the words" in draft.detail
    assert "verified" not in draft.detail
