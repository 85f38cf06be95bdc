"""`exec` as a program that it runs sees it: its environment, its signals, its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from milvus_profiles.cli.entry import main
from tests.support.command import Command, Outcome
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession
from tests.test_hygiene import CANARY, leaks

pytestmark = pytest.mark.programs

SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
PLAIN = '[profiles.a]\nuri = "http://127.0.0.1:19530"\n'
LIST = """
import os
from pymilvus import MilvusClient
client = MilvusClient(uri=os.environ["MILVUS_URI"], token=os.environ.get("MILVUS_TOKEN", ""))
client.create_collection("seen_by_exec", dimension=4) if not client.has_collection("seen_by_exec") else None
print(client.list_collections())
"""


def milvus(outcome: Outcome) -> dict[str, str]:
    assert outcome.returncode == 0, outcome.stderr
    return {name: value for name, value in outcome.json.items() if name.startswith(("MILVUS", "APP_"))}


def test_the_variables_are_those_of_the_profile(cli: Command) -> None:
    cli.own_file(
        '[profiles.a]\nuri = "https://db.example/films"\nuser = "reader"\npassword = "p:w $x"\n'
        '[profiles.key]\nuri = "https://db.example"\ntoken = "an-api-key"\n'
        '[profiles.whole]\nuri = "127.0.0.1"\ntoken = "root:Milvus"\n'
        '[profiles.open]\nuri = "tcp://h.example:1234"\n',
    )
    address = dict.fromkeys(("MILVUS_URI", "MILVUS_ADDRESS"), "https://db.example:443")
    assert milvus(cli("exec", "a", "--", *SHOW)) == address | {
        "MILVUS_TOKEN": "reader:p:w $x",
        "MILVUS_USER": "reader",
        "MILVUS_PASSWORD": "p:w $x",
        "MILVUS_DB": "films",
        "MILVUS_PROFILES_EXEC": "a",
    }
    found = milvus(cli("exec", "KEY", "--", *SHOW))
    assert found == address | {"MILVUS_TOKEN": "an-api-key", "MILVUS_PROFILES_EXEC": "key"}
    found = milvus(cli("exec", "whole", "--", *SHOW))
    assert (found["MILVUS_USER"], found["MILVUS_PASSWORD"]) == ("root", "Milvus")
    found = milvus(cli("exec", "open", "--", *SHOW))
    assert found.keys() == {"MILVUS_URI", "MILVUS_ADDRESS", "MILVUS_PROFILES_EXEC"}


def test_nothing_else_changes(cli: Command) -> None:
    cli.own_file(PLAIN)
    env = {"MILVUS_CONN_ALIAS": "x", "OTHER": "a\nb \udcff", "GRPC_TRACE": "", "GRPC_VERBOSITY": None}
    direct = subprocess.run(SHOW, env=cli.environment(env), cwd=cli.cwd, capture_output=True, text=True, check=True)
    outcome = cli("exec", "a", "--", *SHOW, env=env)
    uri = "http://127.0.0.1:19530"
    added = {"MILVUS_URI": uri, "MILVUS_ADDRESS": uri, "MILVUS_PROFILES_EXEC": "a"}
    assert outcome.json == json.loads(direct.stdout) | added
    assert outcome.stderr == ""


def test_what_another_connection_left_in_the_environment_is_not_inherited(cli: Command) -> None:
    """A token of elsewhere would be sent to this profile's server, and MILVUS_PROFILE would lead away from it."""
    cli.own_file(PLAIN)
    env = {
        "MILVUS_TOKEN": CANARY,
        "MILVUS_TOKEN_FILE": "/x",
        "MILVUS_PASSWORD": CANARY,
        "MILVUS_USER": "u",
        "MILVUS_DB": "d",
        "MILVUS_DB_NAME": "d",
        "MILVUS_PROFILE": "a",
        "MILVUS_ADDRESS": "http://elsewhere.example:19530",
    }
    outcome = cli("exec", "a", "--", *SHOW, env=env)
    found = milvus(outcome)
    assert found.keys() == {"MILVUS_URI", "MILVUS_ADDRESS", "MILVUS_PROFILES_EXEC"}
    assert found["MILVUS_ADDRESS"] == "http://127.0.0.1:19530"
    only = milvus(cli("exec", "a", "--only", "MILVUS_URI", "--", *SHOW, env=env))
    assert only.keys() == {"MILVUS_URI", "MILVUS_PROFILES_EXEC"}
    assert not leaks(outcome.stdout)


def test_only_what_was_asked_for_is_set(cli: Command) -> None:
    cli.own_file('[profiles.a]\nuri = "http://127.0.0.1:19530"\nuser = "root"\n')  # and no keyring to ask
    found = milvus(cli("exec", "a", "--only", "MILVUS_URI", "--only", "MILVUS_USER", "--", *SHOW))
    assert found.keys() == {"MILVUS_URI", "MILVUS_USER", "MILVUS_PROFILES_EXEC"}
    found = milvus(cli("exec", "a", "--only", "MILVUS_ADDRESS", "--", *SHOW))
    assert found == {"MILVUS_ADDRESS": "http://127.0.0.1:19530", "MILVUS_PROFILES_EXEC": "a"}
    outcome = cli("exec", "a", "--", *SHOW, status=4)
    assert outcome.stdout == ""
    outcome = cli("exec", "a", "--only", "MILVUS_TOKN", "--", *SHOW, status=2)
    assert "did you mean MILVUS_TOKEN?" in outcome.stderr


def test_another_prefix_leaves_the_milvus_variables_alone(cli: Command) -> None:
    cli.own_file('[profiles.a]\nuri = "http://127.0.0.1:19530"\ntoken = "k"\n')
    found = milvus(cli("exec", "a", "--env-prefix", "APP_", "--", *SHOW, env={"MILVUS_USER": "u", "APP_DB": "old"}))
    assert found == {
        "APP_URI": "http://127.0.0.1:19530",
        "APP_ADDRESS": "http://127.0.0.1:19530",
        "APP_TOKEN": "k",
        "MILVUS_USER": "u",
        "MILVUS_PROFILES_EXEC": "a",
    }
    for prefix in ("", "1_", "a-b", "A=", "MILVUS_PROFILES__"):
        assert cli("exec", "a", "--env-prefix", prefix, "--", *SHOW).returncode == 2


def test_the_file_of_config_is_passed_on(cli: Command, tmp_path: Path) -> None:
    (cli.cwd / "conf").mkdir()
    (cli.cwd / "conf/m.toml").write_text(PLAIN)
    found = milvus(cli("--config", "conf/m.toml", "exec", "a", "--", *SHOW))
    assert found["MILVUS_PROFILES_FILE"] == str(cli.cwd / "conf/m.toml")
    # The program reads profiles too, and gets this one whichever way it asks.
    list_them = ["milvus-profiles", "profile", "list", "--json"]
    outcome = cli("--config", "conf/m.toml", "exec", "a", "--", *list_them, cwd=cli.cwd)
    assert {row["alias"] for row in outcome.json} == {"a", "default"}
    assert [row["alias"] for row in outcome.json if row["default"]] == ["default"]


def test_the_process_is_replaced(cli: Command) -> None:
    cli.own_file(PLAIN)
    process = cli.popen("exec", "a", "--", "sh", "-c", "echo $$; grep SigIgn /proc/self/status; kill -TERM $$")
    out, _ = process.communicate(timeout=60)
    pid, ignored = out.splitlines()
    assert int(pid) == process.pid
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0
    assert process.returncode == -signal.SIGTERM  # by the signal itself, as without `exec`
    assert cli("exec", "a", "--", "sh", "-c", "exit 42").returncode == 42
    assert cli("exec", "a", "--", "printf", "%s|", "--json", "-h", "a b", "").stdout == "--json|-h|a b||"


def test_what_cannot_be_run_leaves_the_signals_of_this_process_alone(in_process: None) -> None:
    before = signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGXFSZ)
    Path("milvus.toml").write_text('[profiles.p]\nuri = "http://127.0.0.1:1"\n')
    assert main(["exec", "p", "--", "/no/such/program"]) == 127
    assert (signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGXFSZ)) == before
    assert before[0] == signal.SIG_IGN  # else a server that hangs up would end this process


@pytest.mark.parametrize("uri", ["http://127.0.0.1:19530", "./m.db"], ids=["replaced", "beside-lite"])
def test_a_program_that_cannot_be_run_has_the_status_of_a_shell(cli: Command, uri: str) -> None:
    cli.own_file("")
    cli("profile", "add", "a", "--uri", uri, "--user-file")
    (cli.cwd / "plain").write_text("")
    missing = cli("exec", "a", "--json", "--", "no-such-program")
    assert (missing.returncode, missing.stdout) == (127, "")
    assert missing.error["error"] == "usage"
    assert cli("exec", "a", "--", "./plain").returncode == 126


def test_it_does_not_nest(cli: Command) -> None:
    cli.own_file(
        '[profiles.a]\nuri = "http://127.0.0.1:19530"\n[profiles.b]\nuri = "http://127.0.0.1:1"\ntoken = "t"\n'
    )
    outcome = cli("exec", "a", "--", "milvus-profiles", "exec", "b", "--", *SHOW)
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "under `exec a` already" in outcome.stderr
    meant = cli("exec", "a", "--", "env", "-u", "MILVUS_PROFILES_EXEC", "milvus-profiles", "exec", "b", "--", *SHOW)
    assert milvus(meant)["MILVUS_URI"] == "http://127.0.0.1:1"


def test_a_secret_is_not_given_where_connecting_would_refuse_it(cli: Command, project: Path) -> None:
    cli.own_file('[profiles.far]\nuri = "http://db.example:19530"\ntoken = "t"\n[profiles.template]\ndb_name = "x"\n')
    assert cli("exec", "far", "--json", "--", *SHOW).error["error"] == "insecure"
    assert cli("exec", "far", "--only", "MILVUS_URI", "--", *SHOW).returncode == 0
    assert cli("exec", "template", "--", *SHOW).returncode == 3
    assert cli("exec", "nobody", "--", *SHOW).returncode == 3
    (project / "milvus.toml").write_text('[profiles.found]\nuri = "https://db.example"\ntoken = { env = "HOME" }\n')
    assert cli("exec", "found", "--", *SHOW).returncode == 5


def test_what_no_variable_says_is_told(cli: Command, tmp_path: Path) -> None:
    cli.own_file('[profiles.a]\nuri = "https://db.example"\nssl = { server_name = "x" }\nproxy = "http://p:3128"\n')
    outcome = cli("exec", "a", "--", "true", status=0)
    assert "no variable says ssl.server_name, proxy of 'a'" in outcome.stderr


def test_the_secret_is_in_the_programs_environment_and_nowhere_else(
    cli: Command, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    words = ["profile", "add", "a", "--uri", milvus_auth.uri, "--user", "canary", "--password-stdin"]
    assert cli(*words, input=CANARY, keyring=keyring_session).returncode == 0
    look = "tr '\\0' '\\n' < /proc/$$/environ; echo ARGV; tr '\\0' ' ' < /proc/$$/cmdline"
    outcome = cli("exec", "a", "-v", "--", "sh", "-c", look, keyring=keyring_session, status=0)
    env, _, arguments = outcome.stdout.partition("ARGV\n")
    assert {line.partition("=")[0] for line in leaks(env)} == {"MILVUS_TOKEN", "MILVUS_PASSWORD"}
    assert not leaks(arguments + outcome.stderr)
    failing = cli("exec", "a", "-v", "--", "no-such-program", keyring=keyring_session)
    assert not leaks(failing.stdout + failing.stderr)


def test_a_real_client_connects_by_the_variables(cli: Command, milvus_auth: MilvusServer) -> None:
    cli.own_file(f'[profiles.a]\nuri = "{milvus_auth.uri}"\nuser = "root"\npassword = "Milvus"\n')
    # Others use this server too.
    outcome = cli("exec", "a", "--", sys.executable, "-c", f'{LIST}\nclient.drop_collection("seen_by_exec")')
    assert "seen_by_exec" in outcome.stdout, outcome.stderr


# --- beside Milvus Lite ----------------------------------------------------------------------------------------------


@pytest.fixture
def lite(cli: Command) -> Command:
    cli.own_file(f'[profiles.lite]\nuri = "{cli.cwd}/m.db"\n')
    return cli


def test_milvus_lite_runs_as_long_as_the_program(lite: Command) -> None:
    outcome = lite("exec", "lite", "--", sys.executable, "-c", f"{LIST}\nraise SystemExit(5)", status=5)
    assert "seen_by_exec" in outcome.stdout
    # Nobody holds the database any more, and what was written is there.
    again = lite("exec", "lite", "--", sys.executable, "-c", LIST)
    assert "seen_by_exec" in again.stdout, again.stderr


def test_signals_are_passed_on_to_the_program_beside_milvus_lite(lite: Command) -> None:
    script = "trap 'echo one; exit 3' USR1; echo ready; while :; do read -r _ < fifo; done"
    os.mkfifo(lite.cwd / "fifo")
    for program, sent, printed, status in (
        (("bash", "-c", script), signal.SIGUSR1, "one\n", 3),
        (("sh", "-c", "echo ready; exec sleep 600"), signal.SIGTERM, "", 128 + signal.SIGTERM),
    ):
        process = lite.popen("exec", "lite", "--", *program)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(sent)
        out, _ = process.communicate(timeout=60)
        assert (out, process.returncode) == (printed, status)


KEY = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
if sys.argv[1:] == ["elsewhere"]:
    os.setpgid(0, 0)  # out of the terminal's foreground: what comes now was passed on
print("press", flush=True)
print("got", signal.sigtimedwait({signal.SIGINT}, float(sys.argv[2]) if sys.argv[2:] else 1.5) is not None)
raise SystemExit(9)
"""


def test_a_key_on_the_terminal_reaches_the_program_without_being_passed_on(lite: Command) -> None:
    """Ctrl+C goes to the whole foreground: passed on as well, it would interrupt the program's own cleaning up."""
    words = ["exec", "lite", "--", sys.executable, "-c", KEY]
    screen = lite.tty(*words, "here", "30", answers=[("press", b"\x03")])
    assert "got True" in screen.text
    assert screen.returncode == 9
    screen = lite.tty(*words, "elsewhere", answers=[("press", b"\x03")])
    assert "got False" in screen.text
    assert screen.returncode == 9


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("a tell checkout -- f", "checkout -- f"),
        ("a -- tell checkout -- f", "checkout -- f"),
        ("a --only MILVUS_URI -- tell -- --json", "-- --json"),
        ("--only MILVUS_URI a tell x -- -b -- y", "x -- -b -- y"),
        ("-- a tell -- f", "-- f"),
        ("a -- tell --", "--"),
        # What stands behind the program is the program's, without any `--` too.
        ("a tell --flag -x --json --help", "--flag -x --json --help"),
        ("--only M_URI a --env-prefix=M_ tell --only X", "--only X"),
        ("a --config m.toml tell --config x", "--config x"),
        ("a tell --flag -- f", "--flag -- f"),
    ],
)
def test_a_double_dash_of_the_program_stays_its_own(cli: Command, words: str, seen: str) -> None:
    cli.own_file(PLAIN)
    (cli.cwd / "m.toml").write_text(PLAIN)
    written(cli.cwd / "tell", '#!/bin/sh\necho "$*"\n', 0o755)
    env = {"PATH": f"{cli.cwd}:{cli.environment()['PATH']}"}
    assert cli("exec", *words.split(), env=env, status=0).stdout == f"{seen}\n"


def test_an_option_before_the_program_is_ours(cli: Command) -> None:
    cli.own_file(PLAIN)
    assert "No such option: --flag" in cli("exec", "a", "--flag", "env", status=2).stderr
    assert "Missing argument" in cli("exec", "a", "--only", "env", status=2).stderr
    # How errors are shown is for our own words to say.
    assert cli("exec", "nobody", "true", "--json", status=3).stderr.startswith("error: ")
    assert cli("exec", "--json", "nobody", "true", status=3).error["error"] == "unknown_profile"
