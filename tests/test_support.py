"""The ground that the other tests stand on: does each fixture do what it promises?"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

import grpc
import pytest

from tests.conftest import StartMilvus
from tests.support import faults
from tests.support.certificates import Identity
from tests.support.command import Command
from tests.support.environment import run_python
from tests.support.ports import ports
from tests.support.requirements import need
from tests.support.scripted_grpc import SERVICE
from tests.support.waiting import has_ended, until

PROJECT = Path(__file__).parents[1]


# --- the session ----------------------------------------------------------------------------------------------------


def test_no_variable_of_the_machine_reaches_a_test(tmp_path: Path) -> None:
    machine = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path),
        "HOME": "/home/developer",
        "MILVUS_URI": "http://production:19530",
        "https_proxy": "http://proxy:3128",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/ca.pem",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "DISPLAY": ":0",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
    }
    program = "import os; from tests.support.environment import shield; shield(); print(dict(os.environ))"
    left = run_python(program, env=machine, cwd=PROJECT, check=True).stdout
    assert "production" not in left
    assert "developer" not in left
    assert "run/user" not in left
    assert not {"proxy", "GRPC", "KEYRING", "DISPLAY"} & set(left.replace("_", " ").replace("'", " ").split())


def test_a_missing_tool_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-tool"):
        need("sh", "no-such-tool")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-tool"):
        need("sh", "no-such-tool")
    need("sh")


DIES_WITHOUT_TEARDOWN = """
import os, pathlib, signal, subprocess, sys, threading, time
from tests.support.command import Command
from tests.support.fork_server import ForkServer
from tests.support.reaper import Reaper
program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
reaper = Reaper()
reaper.watch_path(directory / "data")
started = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, start_new_session=True)
reaper.watch_process(started.pid)
cli = Command([program], directory, directory, ForkServer(program, Command([], directory, directory).environment()))
(directory / "milvus.toml").write_text('[profiles.a]\\nuri = "http://127.0.0.1:1"\\n')
words = "exec", "a", "--", "sh", "-c", "echo $$ $PPID > pids.new; mv pids.new pids; exec sleep 600"
threading.Thread(target=cli, args=words, daemon=True).start()
while not (directory / "pids").exists():
    time.sleep(0.02)
print(started.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_session_leaves_behind_is_ended(cli: Command, home: Path) -> None:
    """A process and a directory that the reaper knows, the server of commands, and a command that it runs."""
    (home / "data").mkdir()
    session = run_python(DIES_WITHOUT_TEARDOWN, cli.program[0], home, cwd=PROJECT)
    assert (session.returncode, session.stderr) == (-signal.SIGKILL, "")
    # The output was read to its end, and the reaper holds the other end of it: it is done as well.
    assert not (home / "data").exists()
    assert has_ended(int(session.stdout))
    for pid in map(int, (home / "pids").read_text().split()):
        until(partial(has_ended, pid))


def test_two_sessions_never_pick_the_same_port() -> None:
    code = "from tests.support.ports import ports; print(*(ports().take() for _ in range(20)))"
    mine = {ports().take() for _ in range(20)}
    theirs = {int(port) for port in run_python(code, cwd=PROJECT, check=True).stdout.split()}
    for port in mine:
        ports().give_back(port)
    assert len(mine) == len(theirs) == 20
    assert not mine & theirs


# --- faults on the socket -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["hunter22", "cm9vdDpodW50ZXIyMg==", "cm9vdDE6aHVudGVyMjI=", "cjpodW50ZXIyMg=="])
def test_the_attacker_recognises_a_secret_in_every_disguise(token: str) -> None:
    with faults.recorder() as attacker:
        with grpc.insecure_channel(f"127.0.0.1:{attacker.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            rpc = channel.unary_unary(f"{SERVICE}GetVersion", None, None)
            with pytest.raises(grpc.RpcError):
                rpc(b"", timeout=0.3, metadata=(("authorization", token),))
        assert attacker.saw("hunter22")
        assert not attacker.saw("stranger")


# --- real Milvus servers ----------------------------------------------------------------------------------------------


def test_a_server_leaves_no_trace(start_milvus: StartMilvus) -> None:
    server = start_milvus()
    server.kill()
    first_directory = server.directory
    server.start()
    assert not first_directory.exists()
    last_pid = server.pid
    server.remove()
    assert not server.directory.exists()
    assert not Path(f"/tmp/milvus/server_id_{last_pid}").exists()
    for run in (Path("/run/milvus/standalone.pid"), Path("/tmp/milvus/standalone.pid")):
        assert not run.exists() or run.read_text() != str(last_pid)


def test_a_server_that_cannot_start_shows_its_log(start_milvus: StartMilvus, tmp_path: Path) -> None:
    nothing = Identity(tmp_path / "missing.pem", tmp_path / "missing.key")
    with pytest.raises(RuntimeError, match=r"(?s)died while starting.*missing\.pem"):
        start_milvus(tls="server", identity=nothing)


# --- the command -----------------------------------------------------------------------------------------------------

REPORT = "import json, os; print(json.dumps(dict(os.environ)))"
ASK = """
import getpass, os, sys
name = input("name? ")
password = getpass.getpass("password? ")
print("\\x1b[1mhello\\x1b[0m", name, len(password), os.get_terminal_size().columns, sys.stdout.isatty())
"""


@pytest.fixture
def program(home: Path, project: Path) -> Command:
    return Command([sys.executable, "-c"], home, project)


def test_a_command_runs_in_an_environment_of_which_everything_is_known(
    program: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_URI", "http://production:19530")
    environment = program(REPORT, env={"EXTRA": "1", "LANG": None}).json
    assert {name for name in environment if not name.startswith(("COV", "LC_"))} == {
        "PATH", "HOME", "DBUS_SESSION_BUS_ADDRESS", "EXTRA"
    }  # fmt: skip
    assert environment["HOME"] == str(home)


def test_a_terminal_says_which_prompt_never_came(program: Command) -> None:
    with pytest.raises(AssertionError, match="ended without asking"):
        program.tty("print('done')", answers=[("sure?", "y")])
    with pytest.raises(AssertionError, match=r"(?s)waiting for 'sure.*name"):
        program.tty(ASK, answers=[("sure?", "y")], timeout=1)


# What a program that the command becomes finds of the process it was: all that a fork could have left in it.
STATE = """
echo "$PWD"; umask; ulimit -a; env | sort | od -c; cat
[ ! -e /proc/self ] || { ls -m /proc/self/fd; grep -E "^(Sig[^Q]|Shd|Uid|Gid|Groups|Seccomp)" /proc/self/status
cut -d " " -f 5-8,19 /proc/self/stat; }
exit 3
"""


def test_a_command_in_a_copy_has_what_a_fresh_process_has(cli: Command) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    for env, text in (
        ({"EXTRA": "gr\udcfc\u00fc\u2603"}, "one\ntwo\n"),
        ({"PATH": "/usr/bin:/bin"}, None),
    ):
        words = ("exec", "a", "--", "sh", "-c", STATE)
        copied, started = (run(*words, env=env, input=text) for run in (cli, cli.real))
        assert copied.stdout == started.stdout
        assert (copied.returncode, copied.stderr) == (started.returncode, started.stderr) == (3, "")
    killed = cli("exec", "a", "--", "sh", "-c", "kill -TERM $$")
    assert killed.returncode == -signal.SIGTERM


@pytest.mark.parametrize("words", ["sleep 600", "sleep 600 > /dev/null 2>&1"], ids=["writing", "silent"])
def test_a_command_in_a_copy_that_hangs_is_ended_and_shown(cli: Command, tmp_path: Path, words: str) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    pid = tmp_path / "pid"
    with pytest.raises(AssertionError, match=r"(?s)timed out after.*so far"):
        cli("exec", "a", "--", "sh", "-c", f"echo so far; echo $$ > {pid}; exec {words}", timeout=2)
    until(lambda: has_ended(int(pid.read_text())))


def test_a_command_is_started_for_what_only_a_start_reads(cli: Command) -> None:
    assert "import 'milvus_profiles" in cli("--version", env={"PYTHONVERBOSE": "1"}).stderr
    assert "import 'milvus_profiles" in cli.real("--version", env={"PYTHONVERBOSE": "1"}).stderr
    assert cli("profile", "list", input="x" * 1_000_000).returncode == 0
