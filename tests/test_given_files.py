"""What a shell gives in the place of a file: `<(…)`, `/dev/stdin`, `/dev/null`."""

from __future__ import annotations

import json
import os
import shlex
import threading
from pathlib import Path

import pytest

import milvus_profiles as mp
from milvus_profiles.files.regular_file import FileFault, read_given
from tests.support.command import Command, Outcome
from tests.support.environment import run_python
from tests.support.files import written
from tests.support.waiting import side_by_side
from tests.test_hygiene import CANARY

FILE = f'''default_profile = "a"
[profiles.a]
uri = "http://127.0.0.1:1"
user = "root"
password = "{CANARY}"
[profiles.here]
uri = "./milvus.db"
'''


@pytest.fixture
def file(cli: Command, project: Path) -> Path:
    cli.own_file("[broken")  # a file that is named is the only one that is read
    path = project / "some.toml"
    written(path, FILE)
    return path


def in_bash(cli: Command, line: str, status: int = 0) -> Outcome:
    program = shlex.quote(shlex.join(cli.program))
    return Command(["bash", "-c", f"P={program}; {line}"], cli.home, cli.cwd)(status=status)


@pytest.mark.parametrize(
    "line",
    [
        "$P --config <(cat some.toml) {}",
        "$P --config /dev/stdin {} < some.toml",
        "cat some.toml | $P --config /dev/stdin {}",
        "(sleep 0.2; cat some.toml) | MILVUS_PROFILES_FILE=/dev/fd/0 $P {}",
        "MILVUS_PROFILES_FILE=/dev/fd/9 $P {} 9< some.toml",
        '$P --config /proc/self/fd/9 {} 9<<< "$(cat some.toml)"',
    ],
)
def test_its_profiles_are_those_of_a_file(cli: Command, project: Path, file: Path, line: str) -> None:
    listed = in_bash(cli, line.format("profile list --json")).json
    # Paths count from where one stands.
    assert {row["alias"]: row["uri"] for row in listed} == {
        "a": "http://127.0.0.1:1",
        "here": str(project / "milvus.db"),
    }
    # It is read once, by a command that asks for profiles again and again.
    assert in_bash(cli, line.format("config validate --json")).json["valid"] is True
    told = in_bash(cli, line.format("exec a --only MILVUS_TOKEN -- env")).stdout.splitlines()
    # A program that is run cannot read it any more: it reads no file, and not those that were not meant.
    assert {f"MILVUS_TOKEN=root:{CANARY}", "MILVUS_PROFILES_FILE=/dev/null"} <= set(told)


def test_files_of_validate_and_of_import_may_be_such(cli: Command, file: Path) -> None:
    assert in_bash(cli, "$P config validate --json <(cat some.toml) /dev/stdin < some.toml").json["profiles"] == 4
    imported = "$P --config new.toml import --from dotenv --dry-run --json <(echo MILVUS_URI=http://h.example)"
    assert in_bash(cli, imported).json["profiles"][0]["uri"] == "http://h.example:19530"
    in_bash(cli, imported.replace("--dry-run", "--yes --delete-source"), status=2)


def test_the_null_device_is_a_file_without_profiles(cli: Command, file: Path) -> None:
    assert cli("--config", "/dev/null", "profile", "list", "--json", status=0).json == []
    assert mp.load(file="/dev/null", env={})._connector is not None


EDITS = [
    "profile add b --uri https://b.example --user root --password-stdin",
    "profile set a timeout=5", "profile unset a user", "profile rename a b", "profile copy a b",
    "profile remove a --yes", "profile use here", "profile edit", "import --from env --yes",
]  # fmt: skip


@pytest.mark.parametrize("line", EDITS)
def test_edits_are_refused_before_anything_happens(cli: Command, file: Path, line: str) -> None:
    refused = in_bash(
        cli, f"export EDITOR=false MILVUS_URI=http://h; $P --json --config /dev/stdin {line} < some.toml", 3
    )
    assert json.loads(refused.stderr)["message"].startswith("that is what a shell gives in the place of a file")
    assert file.read_text() == FILE
    assert sorted(path.name for path in file.parent.iterdir()) == [".git", "some.toml"]


@pytest.mark.security
@pytest.mark.parametrize(
    ("path", "reason"),
    [("/dev/zero", "is not a file but a device"), ("/dev/fd/987", "does not exist"), ("{}", "is a terminal")],
)
def test_what_has_no_end_is_refused(cli: Command, path: str, reason: str) -> None:
    if path == "{}":
        screen = cli.tty("--config", "/dev/stdin", "profile", "list", status=3)
        assert reason in screen.text
        return
    assert reason in cli("--config", path, "profile", "list", status=3).stderr


@pytest.mark.security
def test_a_fifo_that_somebody_put_there_is_none(cli: Command, project: Path) -> None:
    os.mkfifo(project / "milvus.toml")
    for words in (["profile", "list"], ["--config", "milvus.toml", "profile", "list"]):
        assert "is not a file but a FIFO" in cli(*words, status=3).stderr


def test_a_writer_that_does_not_end_and_one_that_does_not_stop() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(FileFault, match="writer does not end"):
            read_given(f"/dev/fd/{reader}", 100, seconds=0.05)
        os.write(writer, b"x" * 101)
        with pytest.raises(FileFault, match="larger"):
            read_given(f"/dev/fd/{reader}", 100)
    finally:
        os.close(reader)
        os.close(writer)


def test_threads_that_ask_at_once_get_the_same(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def write() -> None:
        os.write(writer, b"all of it")
        os.close(writer)

    threading.Timer(0.05, write).start()
    assert side_by_side(lambda: read_given(f"/dev/fd/{reader}", 100).content) == [b"all of it"] * 8
    os.close(reader)


def test_a_program_connects_again_and_again_with_what_it_was_given_once(file: Path) -> None:
    program = (
        "import milvus_profiles as mp\n"
        "for alias in ('a', 'here', 'a'):\n"
        "    print(mp.load(file='/dev/stdin')[alias].endpoint.kind)\n"
    )
    done = run_python(program, input=FILE, check=True)
    assert done.stdout.split() == ["tcp", "lite", "tcp"]


@pytest.mark.security
def test_a_command_of_it_runs_in_the_home_directory(cli: Command, file: Path) -> None:
    text = '[profiles.a]\nuri = "http://127.0.0.1:1"\ntoken = { command = ["pwd"] }\n'
    line = f"$P --config <(printf %s {shlex.quote(text)}) exec a --only MILVUS_TOKEN -- env | grep ^MILVUS_TOKEN"
    assert in_bash(cli, line).stdout == f"MILVUS_TOKEN={cli.home}\n"
