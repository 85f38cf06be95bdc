"""`profile test` and the whole story of the command line, on real servers with a real keyring."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import grpc
import pytest

from tests.support import faults, scripted_grpc
from tests.support.command import Command
from tests.support.connections import variables_of
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

STAGES = ["config", "secret", "dns", "tcp", "tls", "grpc", "auth", "version", "database", "rest", "management"]


@pytest.mark.parametrize("any_server", ["plain", "auth", "tls", "mtls", "228"], indirect=True)
def test_a_good_profile_passes_every_stage(cli: Command, any_server: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "--json", env=variables_of(any_server), status=0)
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
    shown = cli("profile", "test", "prod", env=variables_of(any_server), status=0)
    assert "prod: ok, Milvus" in shown.stdout


@pytest.mark.parametrize("any_server", ["auth", "tls", "mtls"], indirect=True)
def test_the_whole_story_with_the_secret_in_the_keyring(
    cli: Command, home: Path, any_server: MilvusServer, keyring_session: KeyringSession
) -> None:
    tls = ["--ca", str(any_server.certs.ca)] if any_server.certs else []
    if any_server.tls == "mutual" and any_server.certs:
        tls += ["--cert", str(any_server.certs.client.cert), "--key", str(any_server.certs.client.key)]
    cli(
        "profile", "add", "prod", "--uri", any_server.uri, "--user", "root", "--password-stdin", "--default", *tls,
        input="Milvus", keyring=keyring_session, status=0,
    )  # fmt: skip
    assert "Milvus" not in (home / ".config/milvus/milvus.toml").read_text().replace(
        "Connection profiles for Milvus", ""
    )
    assert cli("profile", "list", "--json", keyring=keyring_session).json[0]["auth"] == "keyring"
    assert cli("profile", "test", keyring=keyring_session).returncode == 0
    program = 'import milvus_profiles as mp; c = mp.connect("prod"); print(c.server_version, c.ping() > 0)'
    done = Command([sys.executable, "-c", program], cli.home, cli.cwd)(keyring=keyring_session, status=0)
    assert "2.3.5" in done.stdout
    assert done.stdout.endswith(" True\n")
    shown = cli("profile", "show", "prod", keyring=keyring_session)
    assert "root" in shown.stdout
    assert cli("profile", "remove", "prod", "--with-secret", keyring=keyring_session).returncode == 0


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
    env = variables_of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN="root:hushhush")
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


def test_an_unknown_alias_among_several_tests_nothing(cli: Command, milvus_plain: MilvusServer) -> None:
    outcome = cli("profile", "test", "prod", "nobody", "--json", env=variables_of(milvus_plain), status=3)
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


def test_a_failure_reads_well_on_a_terminal(cli: Command, milvus_plain: MilvusServer) -> None:
    env = {"MILVUS_PROFILES__PROD__URI": milvus_plain.uri.replace("http", "https")}
    screen = cli.tty("profile", "test", "prod", env=env, status=7)
    assert "FAILED" in screen.text
    assert "hint: " in screen.text
    assert "prod: failed at tls (exit status 7)" in screen.text
    assert "\x1b[31m" in screen.raw
