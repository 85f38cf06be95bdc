"""`profile test` and the whole story of the command line, on real servers with a real keyring."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import grpc
import pytest

from tests.support import faults, scripted_grpc
from tests.support.certificates import Certificates
from tests.support.command import Command, Outcome
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

STAGES = ["config", "secret", "dns", "tcp", "tls", "grpc", "auth", "version", "database", "rest", "management"]


def env_of(server: MilvusServer, **more: str) -> dict[str, str]:
    env = {"MILVUS_PROFILES__PROD__URI": server.uri}
    if server.token:
        env["MILVUS_PROFILES__PROD__TOKEN"] = server.token
    if server.certs:
        env["MILVUS_PROFILES__PROD__SSL__CA"] = str(server.certs.ca)
    if server.tls == "mutual" and server.certs:
        env["MILVUS_PROFILES__PROD__SSL__CERT"] = str(server.certs.client.cert)
        env["MILVUS_PROFILES__PROD__SSL__KEY"] = str(server.certs.client.key)
    return {**env, **more}


def failed_stage(outcome: Outcome) -> dict[str, Any]:
    assert outcome.stderr == ""
    [report] = outcome.json
    assert set(report) == {"alias", "ok", "exit_code", "server_version", "stages"}
    assert [stage["name"] for stage in report["stages"]] == STAGES
    assert all(set(stage) == {"name", "status", "ms", "detail", "hint"} for stage in report["stages"])
    assert report["exit_code"] == outcome.returncode
    assert report["ok"] is False
    [failed] = [stage for stage in report["stages"] if stage["status"] == "failed"]
    after = report["stages"][STAGES.index(failed["name"]) + 1 :]
    assert {stage["status"] for stage in after} <= {"skipped"}
    assert failed["detail"]
    found: dict[str, Any] = failed
    return found


@pytest.fixture(params=["plain", "auth", "tls", "mtls", "228"])
def any_server(request: pytest.FixtureRequest) -> MilvusServer:
    server: MilvusServer = request.getfixturevalue(f"milvus_{request.param}")
    return server


def test_a_good_profile_passes_every_stage(cli: Command, any_server: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "--json", env=env_of(any_server), status=0)
    [report] = outcome.json
    assert report["ok"] is True
    assert report["exit_code"] == 0
    assert any_server.version in report["server_version"]
    assert [stage["name"] for stage in report["stages"]] == STAGES
    passed = {stage["name"] for stage in report["stages"] if stage["status"] == "ok"}
    # The test servers' management ports are not the documented one; some have no HTTP API on the gRPC port.
    assert set(STAGES) - passed <= {"tls", "rest", "management"}
    assert ("tls" in passed) == (any_server.tls is not None)
    assert all(stage["detail"] for stage in report["stages"])
    shown = cli("profile", "test", "prod", env=env_of(any_server), status=0)
    assert "prod: ok, Milvus" in shown.stdout


@pytest.mark.parametrize("server", ["auth", "tls", "mtls"])
def test_the_whole_story_with_the_secret_in_the_keyring(
    cli: Command, home: Path, server: str, request: pytest.FixtureRequest, keyring_session: KeyringSession
) -> None:
    milvus: MilvusServer = request.getfixturevalue(f"milvus_{server}")
    tls = ["--ca", str(milvus.certs.ca)] if milvus.certs else []
    if milvus.tls == "mutual" and milvus.certs:
        tls += ["--cert", str(milvus.certs.client.cert), "--key", str(milvus.certs.client.key)]
    cli(
        "profile", "add", "prod", "--uri", milvus.uri, "--user", "root", "--password-stdin", "--default", *tls,
        input="Milvus", keyring=keyring_session, status=0,
    )  # fmt: skip
    assert "Milvus" not in (home / ".config/milvus/milvus.toml").read_text().replace(
        "Connection profiles for Milvus", ""
    )
    assert cli("profile", "list", "--json", keyring=keyring_session).json[0]["auth"] == "keyring"
    assert cli("profile", "test", keyring=keyring_session).returncode == 0
    program = 'import milvus_profiles as mp; c = mp.connect("prod"); print(c.server_version, c.ping() > 0)'
    done = python(cli, program, keyring_session)
    assert done.returncode == 0, done.stderr
    assert "2.3.5" in done.stdout
    assert done.stdout.endswith(" True\n")
    shown = cli("profile", "show", "prod", keyring=keyring_session)
    assert "root" in shown.stdout
    assert cli("profile", "remove", "prod", "--with-secret", keyring=keyring_session).returncode == 0


def python(cli: Command, program: str, keyring: KeyringSession) -> Outcome:
    import sys

    return Command([sys.executable, "-c", program], cli.home, cli.cwd)(keyring=keyring)


def test_a_project_file_without_add(
    cli: Command, project: Path, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    (project / "milvus.toml").write_text(f'[profiles.dev]\nuri = "{milvus_auth.uri}"\nuser = "root"\n')
    missing = cli("profile", "test", "--json", keyring=keyring_session)
    if missing.returncode == 0:
        cli("secret", "delete", "dev", keyring=keyring_session)
        missing = cli("profile", "test", "--json", keyring=keyring_session)
    assert failed_stage(missing)["name"] == "secret"
    assert missing.returncode == 4
    assert "milvus-profiles secret set dev" in failed_stage(missing)["hint"]
    cli("secret", "set", "dev", input="Milvus", keyring=keyring_session)
    assert cli("profile", "test", keyring=keyring_session).returncode == 0
    cli("secret", "delete", "dev", keyring=keyring_session)


def test_environment_variables_alone(cli: Command, milvus_auth: MilvusServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:Milvus\n")
    outcome = cli("profile", "test", env={"MILVUS_URI": milvus_auth.uri, "MILVUS_TOKEN_FILE": str(secret)}, status=0)
    assert "default: ok" in outcome.stdout


# --- failures: each its own stage and exit status ---


def test_wrong_token(cli: Command, milvus_auth: MilvusServer) -> None:
    outcome = cli(
        "profile", "test", "prod", "--json", env=env_of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN="root:hushhush")
    )
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("auth", 9)
    assert "hushhush" not in outcome.stdout + outcome.stderr


def test_no_token(cli: Command, milvus_auth: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "--json", env={"MILVUS_PROFILES__PROD__URI": milvus_auth.uri})
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("auth", 9)


def test_wrong_ca(cli: Command, milvus_tls: MilvusServer, certificates: Certificates) -> None:
    env = env_of(milvus_tls, MILVUS_PROFILES__PROD__SSL__CA=str(certificates.foreign_ca))
    outcome = cli("profile", "test", "prod", "--json", env=env)
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("tls", 7)


def test_plaintext_to_tls(cli: Command, milvus_tls: MilvusServer) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": milvus_tls.uri.replace("https", "http")}
    outcome = cli("profile", "test", "prod", "--json", env=env, status=7)
    assert "https://" in failed_stage(outcome)["hint"]


def test_tls_to_plaintext(cli: Command, milvus_plain: MilvusServer) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": milvus_plain.uri.replace("http", "https")}
    outcome = cli("profile", "test", "prod", "--json", env=env)
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("tls", 7)
    assert "http://" in failed_stage(outcome)["hint"]


def test_mutual_tls_without_a_certificate(cli: Command, milvus_mtls: MilvusServer) -> None:
    env = env_of(milvus_mtls, MILVUS_PROFILES__PROD__SSL__CERT="", MILVUS_PROFILES__PROD__SSL__KEY="")
    outcome = cli("profile", "test", "prod", "--json", env=env)
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("tls", 7)


@contextlib.contextmanager
def _starting() -> Iterator[int]:
    with scripted_grpc.starting_milvus() as server:
        yield server.port


@contextlib.contextmanager
def _web() -> Iterator[int]:
    with faults.http1_server() as server:
        yield server.port


@contextlib.contextmanager
def _other() -> Iterator[int]:
    with scripted_grpc.not_milvus() as server:
        yield server.port


@pytest.mark.parametrize(
    ("fault", "stage", "status"),
    [
        (faults.refused_port, "tcp", 6),
        (faults.black_hole, "tcp", 6),
        (_web, "grpc", 8),
        (_other, "grpc", 8),
        (_starting, "grpc", 8),
    ],
    ids=["refused", "black hole", "web server", "other gRPC", "starting"],
)
def test_what_answers_is_no_milvus_that_is_ready(cli: Command, fault: Any, stage: str, status: int) -> None:
    with fault() as port:
        env = {"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{port}"}
        outcome = cli("profile", "test", "prod", "--json", "--timeout", "2", env=env)
    failed = failed_stage(outcome)
    assert (failed["name"], outcome.returncode) == (stage, status)
    assert failed["hint"]


def test_side_by_side_means_all_at_once(cli: Command, project: Path) -> None:
    """The server answers nobody before all have asked: one after the other they would wait for ever."""
    together = threading.Barrier(16)

    def script(call: scripted_grpc.Call) -> bytes:
        if call.method.endswith("/Connect"):
            together.wait(20)
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        lines = [f'[profiles.p{n}]\nuri = "127.0.0.1:{server.port}"\ntimeout = 30\n' for n in range(16)]
        (project / "milvus.toml").write_text("".join(lines))
        outcome = cli("profile", "test", "--all")
    assert outcome.returncode == 0, outcome.stdout
    assert outcome.stdout.count(": ok, Milvus v2.3.5-scripted") == 16


@pytest.mark.campaign
def test_fifty_profiles_with_five_black_holes_take_about_one_deadline(
    cli: Command, project: Path, milvus_plain: MilvusServer
) -> None:
    with contextlib.ExitStack() as stack:
        uris = [f"127.0.0.1:{stack.enter_context(faults.black_hole())}" for _ in range(5)] + [milvus_plain.uri] * 45
        (project / "milvus.toml").write_text("".join(f'[profiles.p{n}]\nuri = "{u}"\n' for n, u in enumerate(uris)))
        outcome = cli("profile", "test", "--all", "--json", "--timeout", "10")
    assert [report["exit_code"] for report in outcome.json] == [6] * 5 + [0] * 45
    assert outcome.seconds < 1.3 * 10


def test_ctrl_c_ends_tests_that_wait(cli: Command, project: Path) -> None:
    with faults.black_hole() as one, faults.never_accepting() as other:
        (project / "milvus.toml").write_text(
            f'[profiles.a]\nuri = "127.0.0.1:{one}"\ntimeout = 600\n'
            f'[profiles.b]\nuri = "127.0.0.1:{other}"\ntimeout = 600\n'
        )
        for words in (["a", "b"], ["a"], ["b"]):
            waits = "tcp ..." if "a" in words else "tls ..."
            cli.tty("profile", "test", *words, answers=[(waits, b"\x03")], timeout=30, status=130)


def test_several_on_a_terminal_are_one_table_that_changes(
    cli: Command, project: Path, milvus_plain: MilvusServer
) -> None:
    with faults.black_hole() as port:
        (project / "milvus.toml").write_text(
            f'[profiles.good]\nuri = "{milvus_plain.uri}"\n[profiles.hole]\nuri = "127.0.0.1:{port}"\n'
        )
        screen = cli.tty("profile", "test", "--all", "--timeout", "1", columns=160)
        piped = cli("profile", "test", "--all", "--timeout", "1")
    assert screen.returncode == piped.returncode == 6
    assert "\x1b[2K" in screen.raw  # lines were written anew
    last = screen.text[screen.text.rindex("good ") :]
    assert "ok, Milvus v2.3.5" in last
    assert "failed at tcp (exit status 6)" in last
    assert "no TCP connection in time" in last
    assert "hint: a firewall" in last
    assert "\x1b" not in piped.stdout


def test_verbose_adds_addresses_and_what_grpc_says(cli: Command, milvus_auth: MilvusServer) -> None:
    env = env_of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN="root:hushhush")
    shown = cli("profile", "test", "prod", "-v", env=env).stdout
    assert f"{milvus_auth.address}: answered after" in shown
    assert "gRPC: " in shown
    assert "skipped  version" in shown
    assert "declared at MILVUS_PROFILES__PROD__URI" in shown
    outcome = cli("profile", "test", "prod", "--json", "--verbose", env=env)
    assert any(note.startswith("gRPC: ") for stage in outcome.json[0]["stages"] for note in stage["notes"])
    assert "hushhush" not in shown + outcome.stdout
    # The same on a terminal: line by line, and as a table.
    env["MILVUS_PROFILES__OTHER__URI"] = milvus_auth.uri
    for words in (["prod"], ["prod", "other"]):
        screen = cli.tty("profile", "test", *words, "-v", env=env, status=9)
        assert "gRPC: " in screen.text
        assert "hushhush" not in screen.raw


def test_junit(cli: Command, project: Path, milvus_plain: MilvusServer, tmp_path: Path) -> None:
    def script(call: scripted_grpc.Call) -> bytes:
        raise scripted_grpc.Refusal(grpc.StatusCode.UNAVAILABLE, "not ready yet <&\x1b[31m\x00\ufffe")

    path = tmp_path / "report.xml"
    # A report of before, and longer than the new one.
    path.write_text('<?xml version="1.0"?>\n<testsuites name="milvus-profiles">' + " " * 50_000 + "</testsuites>")
    with scripted_grpc.scripted_server(script) as server:
        (project / "milvus.toml").write_text(
            f'[profiles.good]\nuri = "{milvus_plain.uri}"\n[profiles.bad]\nuri = "127.0.0.1:{server.port}"\n'
        )
        outcome = cli("profile", "test", "--all", "--junit", path, "--json")
    assert outcome.returncode == 8
    root = ElementTree.fromstring(path.read_text())
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "22", "1")
    good, bad = root.findall("testsuite")
    assert [case.get("name") for case in good.findall("testcase")] == STAGES
    assert good.findall(".//failure") == []
    [failure] = bad.findall(".//failure")
    assert failure.get("type") == "not_ready"
    assert "not ready yet <&\\x1b[31m" in (failure.get("message") or "")
    assert "profile test bad --wait 60" in (failure.text or "")
    assert len(bad.findall(".//skipped")) == 6  # tls, which it has not, and five that come after
    assert {prop.get("name"): prop.get("value") for prop in bad.iter("property")}["exit_code"] == "8"


def test_a_junit_report_that_cannot_be_written_is_told_before_anything_is_tested(cli: Command, tmp_path: Path) -> None:
    with faults.recorder() as server:
        env = {"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{server.port}"}
        for path in (tmp_path, tmp_path / "nowhere/report.xml"):
            outcome = cli("profile", "test", "prod", "--json", "--junit", path, env=env)
            assert (outcome.returncode, outcome.stdout, outcome.error["error"]) == (2, "", "usage")
        assert server.connections == 0


def test_unknown_database(cli: Command, milvus_auth: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "--json", env=env_of(milvus_auth, MILVUS_PROFILES__PROD__DB_NAME="nope"))
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("database", 10)


def test_unresolvable_host(cli: Command) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": "http://no-such-host.invalid:19530"}
    outcome = cli("profile", "test", "prod", "--json", "--timeout", "5", env=env)
    assert (failed_stage(outcome)["name"], outcome.returncode) == ("dns", 6)


def test_invalid_and_insecure_and_untrusted_profiles_fail_at_config(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(
        '[profiles.bad]\nuri = "localhost"\ntimout = 3\n'
        '[profiles.insecure]\nuri = "http://10.255.255.1"\ntoken = "x"\n'
        '[profiles.gated]\nuri = "localhost"\ntoken = { env = "X" }\n'
        "[profiles.template]\ntimeout = 3\n"
    )
    (project / "milvus.toml").chmod(0o600)
    for alias, status in (("bad", 3), ("insecure", 3), ("gated", 5), ("template", 3)):
        outcome = cli("profile", "test", alias, "--json")
        assert (failed_stage(outcome)["name"], outcome.returncode) == ("config", status)


def test_an_unknown_alias_among_several_tests_nothing(cli: Command, milvus_plain: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "nobody", "--json", env=env_of(milvus_plain), status=3)
    assert outcome.stdout == ""
    assert outcome.error["error"] == "unknown_profile"


def test_several_profiles_and_the_lowest_status(cli: Command, project: Path, milvus_plain: MilvusServer) -> None:
    with faults.refused_port() as port:
        (project / "milvus.toml").write_text(
            f'[profiles.good]\nuri = "{milvus_plain.uri}"\n'
            f'[profiles.refused]\nuri = "127.0.0.1:{port}"\n'
            f'[profiles.nodb]\nuri = "{milvus_plain.uri}/nope"\n'
            "[profiles.template]\ntimeout = 5\n"
        )
        outcome = cli("profile", "test", "--all", "--json")
        assert [(report["alias"], report["exit_code"]) for report in outcome.json] == [
            ("good", 0),
            ("refused", 6),
            ("nodb", 10),
        ]
        assert outcome.returncode == 6
        shown = cli("profile", "test", "good", "nodb", status=10)
        assert "good: ok" in shown.stdout
        assert "nodb: failed at database (exit status 10)" in shown.stdout
    assert cli("profile", "test", "good", "--all").returncode == 2


def test_wait_for_a_server_that_is_starting(cli: Command) -> None:
    with scripted_grpc.starting_milvus(2.0) as server:
        env = {"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{server.port}"}
        assert cli("profile", "test", "prod", "--wait", "30", env=env).returncode == 0


def test_a_failure_reads_well_on_a_terminal(cli: Command, milvus_plain: MilvusServer) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": milvus_plain.uri.replace("http", "https")}
    screen = cli.tty("profile", "test", "prod", env=env, status=7)
    assert "FAILED" in screen.text
    assert "hint: " in screen.text
    assert "prod: failed at tls (exit status 7)" in screen.text
    assert "\x1b[31m" in screen.raw


def test_add_with_test_writes_nothing_if_it_fails(
    cli: Command, home: Path, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    words = ["profile", "add", "prod", "--uri", milvus_auth.uri.replace("127.0.0.1", "localhost"), "--user", "root"]
    # The keyring is one for all tests, and another may have stored a password for this server.
    account = f"plain|localhost|{milvus_auth.port}|root"
    keyring_session.delete("milvus-profiles", account)
    refused = cli(*words, "--password-stdin", "--test", input="wrong", keyring=keyring_session, status=9)
    assert "nothing was written" in refused.stderr
    assert not (home / ".config/milvus/milvus.toml").exists()
    assert keyring_session.get("milvus-profiles", account) is None
    cli(*words, "--password-stdin", "--test", input="Milvus", keyring=keyring_session, status=0)
    assert cli("profile", "test", keyring=keyring_session).returncode == 0


def test_milvus_lite(cli: Command, project: Path) -> None:
    cli("profile", "add", "local", "--uri", "./data.db", "--project-file")
    outcome = cli("profile", "test", "--json", status=0)
    assert "lite" in outcome.json[0]["server_version"]
    (project / "file.db").write_text("not a directory")
    cli("profile", "add", "broken", "--uri", "./file.db")
    assert failed_stage(cli("profile", "test", "broken", "--json"))["name"] == "tcp"


def test_test_output_is_one_json_value(cli: Command, milvus_plain: MilvusServer) -> None:
    outcome = cli("--json", "profile", "test", "prod", env=env_of(milvus_plain))
    assert isinstance(json.loads(outcome.stdout), list)
    assert outcome.stderr == ""
