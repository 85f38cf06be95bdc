"""`test --all` begins to look at its servers before it imports what judges them, where that is safe beyond doubt."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from milvus_profiles.probe.early import EarlyLook, EarlyLooks
from milvus_profiles.probe.sockets import Route
from tests.support import faults, scripted_grpc
from tests.support.command import Command
from tests.support.environment import run_python
from tests.support.files import written
from tests.support.ports import ports

PROGRAM = """
import json, sys
from milvus_profiles.cli import early
early.begin(sys.argv[1:])
heavy = sorted({"typer", "pydantic", "grpc"} & set(sys.modules))
looks = {alias: early.begun(alias) for alias in list(early._looks)}
print(json.dumps([heavy, {alias: [one.words for one in look.attempts()] for alias, look in looks.items()}]))
"""


def looks(project: Path, home: Path, *words: str, **env: str) -> dict[str, list[str]]:
    """What was looked at early, and what came of it."""
    done = run_python(
        PROGRAM,
        *(words or ("profile", "test", "--all")),
        cwd=project,
        env={**os.environ, "HOME": str(home), **env},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    imported, found = json.loads(done.stdout)
    assert imported == []
    assert isinstance(found, dict)
    return found


def test_it_looks_before_anything_large_is_imported(project: Path, home: Path) -> None:
    with faults.never_accepting() as open_port, faults.refused_port() as refused, faults.black_hole() as hole:
        (project / "milvus.toml").write_text(
            "".join(f"[profiles.{name}]\nuri = 'http://{host}'\n" for name, host in (
                ("a", f"127.0.0.1:{open_port}"), ("b", f"127.0.0.1:{refused}"), ("c", f"127.0.0.1:{hole}"),
                ("name", f"localhost:{open_port}"),
            ))
        )  # fmt: skip
        found = looks(project, home, "test", "--all", "--timeout", "0.5")
    assert found.pop("name")[-1] == "answered"
    assert found == {"a": ["answered"], "b": ["Connection refused"], "c": ["no answer in time"]}


@pytest.mark.parametrize(
    "words",
    [("test", "a"), ("list", "--all"), ("test", "--all", "--profile", "a"), ("test", "--all", "--watch", "1"),
     ("test", "--all", "--timeout", "nan"), ("test", "--all", "--timeout", "0"), ("exec", "a", "--", "test", "--all")],
)  # fmt: skip
def test_other_words_begin_nothing(project: Path, home: Path, words: tuple[str, ...]) -> None:
    with faults.never_accepting() as port:
        (project / "milvus.toml").write_text(f"[profiles.a]\nuri = 'http://127.0.0.1:{port}'\n")
        assert looks(project, home, *words) == {}


@pytest.mark.parametrize(
    "more",
    ["token = { env = 'SECRET' }", "token = { file = '/etc/hostname' }", "token = { command = ['true'] }",
     "token = 'plain'", "user = 'u'\npassword = 'plain'", "ssl = { ca = '/etc/ssl/ca.pem' }", "nonsense = 1",
     "proxy = 'http://127.0.0.1:1'", "timeout = 'soon'", "port = 1", "variable"],
)  # fmt: skip
def test_what_a_found_project_needs_trust_for_begins_nothing(project: Path, home: Path, more: str) -> None:
    with faults.listener(lambda _: None) as port:
        env = {"MILVUS_PROFILES__A__TOKEN": "token"} if more == "variable" else {}
        lines = f"[profiles.a]\nuri = 'http://127.0.0.1:{port.port}'\n"
        (project / "milvus.toml").write_text(lines + ("" if env else more))
        assert looks(project, home, **env) == {}
        assert port.connections == 0


def test_what_would_be_refused_in_a_file_of_ones_own_begins_nothing(project: Path, home: Path) -> None:
    own = home / ".config/milvus/milvus.toml"
    written(own, "[profiles.a]\nuri = 'http://192.0.2.1:19530'\nuser = 'u'\n")  # a secret in plaintext
    assert looks(project, home) == {}
    with faults.listener(lambda _: None) as port:
        written(own, f"[profiles.a]\nuri = 'http://127.0.0.1:{port.port}'\n", 0o602)  # which everybody may change
        assert looks(project, home) == {}
        assert port.connections == 0


def test_the_time_is_not_shortened(cli: Command, project: Path) -> None:
    with faults.black_hole() as hole, scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        (project / "milvus.toml").write_text(
            f"[profiles.hole]\nuri = 'http://127.0.0.1:{hole}'\n"
            f"[profiles.good]\nuri = 'http://127.0.0.1:{server.port}'\n"
        )
        done = cli.real("test", "--all", "--timeout", "1.5", "--json", status=6)
    stages = {report["alias"]: {stage["name"]: stage for stage in report["stages"]} for report in done.json}
    assert stages["hole"]["tcp"]["status"] == "failed"
    assert stages["hole"]["tcp"]["ms"] >= 1450  # a thread may wait for its turn before it connects
    assert stages["good"]["database"]["status"] == "ok"
    assert stages["good"]["tcp"]["status"] == "ok"


def test_a_server_that_comes_later_is_waited_for(cli: Command, project: Path) -> None:
    port = ports().take()
    (project / "milvus.toml").write_text(
        "".join(f"[profiles.{name}]\nuri = 'http://127.0.0.1:{port}'\n" for name in ("a", "b"))
    )
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        opened: list[faults.Listener] = []
        later = threading.Timer(2.0, lambda: opened.append(faults.Listener(faults.leading_to(server.port), port)))
        later.start()
        try:
            cli.real("test", "--all", "--wait", "30", status=0)
        finally:
            later.join()
            opened[0].close()


def test_a_name_that_nobody_knows_is_told_as_ever(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(
        "".join(f"[profiles.{name}]\nuri = 'http://{name}.invalid:19530'\n" for name in ("a", "b"))
    )
    done = cli.real("test", "--all", "--json", status=6)
    for report in done.json:
        (failed,) = [stage for stage in report["stages"] if stage["status"] == "failed"]
        assert failed["name"] == "dns"


MANY = """
import json, os, sys, threading, time
from milvus_profiles.cli import early
early.begin(["test", "--all", "--timeout", "1"])
threads = threading.active_count()
began = time.monotonic()
found = {alias: [one.status for one in early.begun(alias).attempts()] for alias in list(early._looks)}
took = time.monotonic() - began
time.sleep(0.1)  # the thread that said so closes what it had
left = []
for fd in os.listdir("/proc/self/fd"):
    try:
        left.append(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:  # that of the listing
        pass
print(json.dumps([threads, found, took, [one for one in left if one.startswith(("socket", "anon_inode"))]]))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")
def test_many_servers_cost_one_thread_and_leave_nothing_open(project: Path, home: Path) -> None:
    heard: list[bytes] = []

    def hear(connection: socket.socket) -> None:
        heard.append(connection.recv(100))

    with faults.listener(hear) as good, faults.refused_port() as refused, faults.black_hole() as hole:
        (project / "milvus.toml").write_text(
            "".join(
                f"[profiles.p{n}]\nuri = 'http://127.0.0.1:{(good.port, refused, hole)[n % 3]}'\n" for n in range(60)
            )
        )
        done = run_python(MANY, cwd=project, env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        threads, found, took, left = json.loads(done.stdout)
    assert threads <= 2
    assert found == {f"p{n}": [("connected", "refused", "timeout")[n % 3]] for n in range(60)}
    assert took < 5
    assert left == []
    assert set(heard) == {b""}  # not a byte


def test_looks_that_an_error_ends_know_nothing_and_leave_nothing_open() -> None:
    with faults.black_hole() as hole:
        begun: list[EarlyLook] = []

        def fail() -> None:
            with EarlyLooks() as looks:
                begun.append(looks.begin(Route("127.0.0.1", hole), 30.0))
                raise ValueError("as a faulty profile would")

        before = len(os.listdir("/dev/fd"))
        with pytest.raises(ValueError, match="faulty"):
            fail()
        assert len(os.listdir("/dev/fd")) == before
    (look,) = begun
    assert look.resolution() is not None
    assert look.attempts() is None  # at once, not after 30 s


def test_an_answer_counts_however_late_somebody_looks() -> None:
    with faults.never_accepting() as port, faults.black_hole() as hole:
        looks = EarlyLooks()
        # Nobody looks for longer than they have: the machine is busy.
        good, bad = (looks.begin(Route("127.0.0.1", each), 0.05) for each in (port, hole))
        time.sleep(0.2)
        looks.__exit__(None)
        for look, status in ((good, "connected"), (bad, "timeout")):
            (attempt,) = look.attempts() or ()
            assert attempt.status == status


def test_looking_at_tcp_loads_neither_openssls_python_side_nor_the_tables_of_names(project: Path, home: Path) -> None:
    (project / "milvus.toml").write_text("[profiles.a]\nuri = 'http://127.0.0.1:1'\n")
    program = (
        "import sys; from milvus_profiles.cli import entry, early; early.begin(['test', '--all']); "
        "assert early._looks; print(*sorted({'ssl', 'difflib', 'encodings.idna'} & set(sys.modules)))"
    )
    done = run_python(program, cwd=project, env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL, check=True)
    assert done.stdout.strip() == ""
