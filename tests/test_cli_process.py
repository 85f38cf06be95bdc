"""The command line as a process: how it starts and ends, and what it does where a standard stream is missing."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from milvus_profiles.cli.internal import SYNONYMS
from tests.support.command import Command, Outcome, every_command

pytestmark = pytest.mark.programs

# How long something took, and when.
MEASURED = re.compile(r"[0-9.]+ ms|\"[a-z_]*(ms|seconds|started|at)\": [^,}]+")
FILE = '[profiles.a]\nuri = "https://h.example"\nuser = "root"\n'


def in_shell(cli: Command, line: str) -> Outcome:
    """Run a line of the shell in which ``$P`` is the program."""
    shell = Command(["sh", "-c", f"P={shlex.quote(shlex.join(cli.program))}; {line}"], cli.home, cli.cwd)
    return shell()


@pytest.fixture(autouse=True)
def _file(project: Path) -> None:
    (project / "milvus.toml").write_text(FILE)


# Each command once, so that its own imports are seen to be enough: elsewhere it runs where all are made.
STARTED = [
    "--version", "profile list --json", "profile show a", "profile add b --uri https://b.example --dry-run",
    "profile set a timeout=5 --dry-run", "profile unset a user --dry-run", "profile remove a --dry-run",
    "profile rename a b --dry-run", "profile copy a b --dry-run", "profile use a --dry-run", "profile use a --shell",
    "profile edit --user-file", "profile test x", "profile test a --json", "secret set a", "secret delete a",
    "secret status a", "config path", "config validate", "config schema", "trust --list", "untrust", "doctor",
    "profile current", "profile ping x -c 1", "profile watch x -c 1", "profile open a",
    "completion bash", "version", "help config path", "explain tls",
    "connect --uri http://127.0.0.1:1", "exec a -- sh -c 'exit 5'", "export a --to go", "import --from dotenv x",
]  # fmt: skip


@pytest.mark.parametrize("line", STARTED)
def test_a_command_that_starts_afresh_does_what_it_does_in_a_copy(cli: Command, line: str) -> None:
    copied, started = (run(*shlex.split(line), env={"EDITOR": "true"}) for run in (cli, cli.real))
    assert started.returncode == copied.returncode
    for one, other in ((started.stdout, copied.stdout), (started.stderr, copied.stderr)):
        assert MEASURED.sub("", one) == MEASURED.sub("", other)


def test_every_command_is_among_those_that_are_started() -> None:
    commands = {words for words, command in every_command() if not hasattr(command, "commands")}
    # Other names of the same functions.
    other = {name for name in commands if name.split()[-1] in SYNONYMS and name != "secret delete"}
    other |= {name for name in commands if f"profile {name}" in commands}
    commands -= other
    assert len(commands) > 20
    assert [name for name in commands if not any(line.startswith(name) for line in STARTED)] == []


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_loses_only_what_would_be_written_there(cli: Command, closed: str) -> None:
    listed = in_shell(cli, f"$P profile list --json {closed}")
    assert listed.returncode == 0
    assert listed.stderr == ""
    if ">&-" not in closed.replace("2>&-", ""):
        assert [row["alias"] for row in json.loads(listed.stdout)] == ["a"]
    assert in_shell(cli, f"$P profile show nobody {closed}").returncode == 3


def test_a_file_that_is_written_is_never_taken_for_a_closed_stream(cli: Command, project: Path) -> None:
    outcome = in_shell(cli, "$P profile add b --uri https://b.example --yes >&- 2>&- <&-")
    assert outcome.returncode == 0
    listed = cli("profile", "list", "--json")
    assert {row["alias"] for row in listed.json} == {"a", "b"}
    text = "".join(path.read_text() for path in (project / "milvus.toml", cli.user_file)
                   if path.exists())  # fmt: skip
    assert "b.example" in text
    assert "saved" not in text.lower()


# What is printed at once and what is flushed at the end, the help of the parser, and an error on stderr.
@pytest.mark.parametrize(
    "line",
    ["profile list --json", "profile show a", "config schema", "--help", "profile add --help", "--version",
     "profile show nobody", "nonsense"],
)  # fmt: skip
@pytest.mark.parametrize("buffered", ["", "1"])
def test_where_nobody_reads_any_more_it_ends_as_sigpipe_would_end_it(cli: Command, line: str, buffered: str) -> None:
    started = subprocess.Popen(
        [*cli.program, *line.split()],
        env=cli.environment({"PYTHONUNBUFFERED": buffered}),
        cwd=cli.cwd,
        stdout=(pipe := closed_pipe()),
        stderr=pipe if "no" in line else subprocess.PIPE,
        text=True,
    )
    os.close(pipe)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 141
    assert not re.search("error|exception|traceback", said or "", re.IGNORECASE)


def closed_pipe() -> int:
    """The end to write into, of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    "begin",
    ["atexit.register(done)", "threading.Thread(target=lambda: (time.sleep(0.5), done())).start()"],
    ids=["at exit", "in a thread"],
)
def test_what_is_begun_before_the_end_is_done(cli: Command, tmp_path: Path, begin: str) -> None:
    trace = tmp_path / "trace"
    program = (
        "import atexit, pathlib, sys, threading, time\n"
        f"done = lambda: pathlib.Path({str(trace)!r}).write_text('done')\n{begin}\n"
        "sys.argv = ['milvus-profiles', 'profile', 'list', '--json']\n"
        "from milvus_profiles.cli.entry import script\nscript()\n"
    )
    outcome = Command([sys.executable, "-c", program], cli.home, cli.cwd)(status=0)
    assert outcome.json[0]["alias"] == "a"
    assert trace.read_text() == "done"
