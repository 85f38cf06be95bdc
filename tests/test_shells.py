"""No text of a file, a variable or a server runs in a shell that a message or an answer of ours is pasted into."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

import milvus_profiles
from milvus_profiles.text import command, printable, quote, quote_path
from tests.support.command import Command
from tests.support.files import written
from tests.support.requirements import need
from tests.support.scripted_grpc import Call, message, milvus_answer, number, scripted_server

pytestmark = pytest.mark.security

SHELLS = ("bash", "dash", "zsh", "fish")
PLAIN = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"], "dash": []}
PACKAGE = Path(milvus_profiles.__file__).parent

# Each would leave a file `evil` where a shell takes it for more than text.
HOSTILE = [
    "x$(>evil)", "x`>evil`", "x;>evil", "x\n>evil\n", "x|>evil", "x&>evil", "x>evil", "x$(sh<evil.sh)", "${x:=`>evil`}",
    "'>evil'", "';>evil;'", '";>evil;"', "\\';>evil;'", "\\\\';>evil #", "'\\''>evil", "a\\", "\\", "x (>evil)",
    "x\"'$(>evil)'\"", "{x,y}>evil", "*", "~root", "=ls", "-rf", "--help", "!x", "#x", "%self", "x\ty", " x ", "",
    "$'x'>evil", "x\r>evil", "é", "x\x1b[2J", "\u202etxet", "(>evil)", "<(>evil)", "x^>evil", "$x$y", "[x]", "x=y",
]  # fmt: skip


def run(shell: str, program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd.parent), "LANG": "C.UTF-8"}
    return subprocess.run(
        [shell, *PLAIN[shell], "-c", program], cwd=cwd, env=environment,
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


# --- one rule of quoting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_quoted_word_is_that_word_in_every_shell(shell: str, tmp_path: Path) -> None:
    need(shell)
    (place := tmp_path / "place").mkdir()
    words = [word for word in HOSTILE if word.isprintable()]
    told = run(shell, f"{sys.executable} -c 'import sys; print(ascii(sys.argv[1:]))' {' '.join(map(quote, words))}",
               place)  # fmt: skip
    assert ast.literal_eval(told.stdout) == words, told.stderr
    # What does not print is spelled out, so that it is seen, and runs nothing either.
    others = [word for word in HOSTILE if not word.isprintable()]
    told = run(shell, f"echo {' '.join(map(quote, others))}", place)
    assert told.returncode == 0, told.stderr
    assert not os.listdir(place)


def test_printable_spells_out_what_a_terminal_acts_on_and_nothing_else() -> None:
    every = [chr(code) for code in range(0x110000)]
    for char in every:
        shown = printable(char)
        assert shown.isprintable(), ascii(char)
        hidden = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        assert (shown != char) == (hidden or (unicodedata.category(char) == "Zs" and char != " ")), ascii(char)
    assert printable("a\x1b\x9b\u202e\ud800é日") == "a\\x1b\\x9b\\u202e\\ud800é日"
    assert printable(printable("\0")) == printable("\0")


def test_commands_in_messages_are_quoted_word_by_word() -> None:
    assert command("rm", "/a b/c") == "`rm '/a b/c'`"
    assert command("x", "a=b", "=c", "") == "`x a=b '=c' ''`"
    assert quote_path("-rf") == "./-rf"
    assert "\x1b" not in quote("a\x1b")


def test_no_message_puts_a_value_into_a_command_by_itself() -> None:
    found = []
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "text.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            inside = False
            for part in node.values:
                if isinstance(part, ast.Constant):
                    inside ^= str(part.value).count("`") % 2 == 1
                elif inside:
                    found.append(f"{path.relative_to(PACKAGE)}:{part.lineno} {ast.unparse(part)}")
    # Constants of the program itself, and a language's own back-quotes.
    allowed = {"{path}", "{path[0]}", "{name}", "{NAME}", "{outer}", "{{secretRef: {{name: {name}}}}}"}
    assert not [place for place in found if place.split(" ", 1)[1].strip("f'\"") not in allowed]


# --- what messages tell people to paste ------------------------------------------------------------------------------

STUB = '#!/bin/sh\nfor word; do printf \'%s\\0\' "$word"; done >> "$STUB_SAW"\n'


def paste(shell: str, words: str, stub: Path, saw: Path, cwd: Path) -> None:
    """Run what somebody pastes, with programs that only note their arguments."""
    environment = {"PATH": f"{stub}:{os.environ['PATH']}", "HOME": str(stub), "STUB_SAW": str(saw), "LANG": "C.UTF-8"}
    subprocess.run([shell, *PLAIN[shell], "-c", words], cwd=cwd, timeout=60, stdin=subprocess.DEVNULL, env=environment)


def pasted(told: str) -> list[str]:
    return [
        found for found in re.findall(r"`([^`]*)`", told) if found.startswith(("milvus-profiles ", "rm ", "chmod "))
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_hints_about_files_with_hostile_names_run_nothing(shell: str, cli: Command, tmp_path: Path) -> None:
    need(shell)
    place = tmp_path / "pasted"
    place.mkdir()
    stub = tmp_path / "bin"
    stub.mkdir()
    for name in ("milvus-profiles", "rm", "chmod"):
        written(stub / name, STUB, 0o755)
    for index, name in enumerate(word for word in HOSTILE if word and "/" not in word and "\0" not in word):
        project = tmp_path / f"p{index}" / name
        project.mkdir(parents=True)
        (project / ".git").mkdir()
        file = project / "milvus.toml"
        file.write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\nproxy = "http://127.0.0.1:2"\n')
        told = cli("profile", "test", "a", cwd=project, status=5)
        # Not by the nearest backtick, which may be one of the path's own, between quotes.
        commands = re.findall(
            r"`(milvus-profiles trust .*?/milvus\.toml['\"]*)`", (told.stdout + told.stderr).replace("\n", " ")
        )
        assert len(set(commands)) == 1, told.stdout
        saw = tmp_path / f"saw{index}"
        for words in commands:
            paste(shell, words, stub, saw, place)
        assert not os.listdir(place), (name, commands)
        if name.isprintable():
            assert saw.read_bytes().decode().split("\0")[:2] == ["trust", str(file)], commands


@pytest.mark.parametrize("name", ["film$(>evil)", "film;>evil", "film'>evil'", "film\\';>evil #"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_that_a_server_suggests_runs_nothing(shell: str, name: str, cli: Command, tmp_path: Path) -> None:
    need(shell)

    def script(call: Call) -> bytes:
        method = call.method.rpartition("/")[2]
        if method == "ListDatabases":
            return message(1, b"") + message(2, name.encode())
        if method == "ShowCollections":
            return message(1, number(1, 1) + message(2, b"database not found[database=film]") + number(3, 800))
        return milvus_answer(call)

    with scripted_server(script) as server:
        text = f'[profiles.a]\nuri = "http://127.0.0.1:{server.port}"\ndb_name = "film"\n'
        (cli.cwd / "milvus.toml").write_text(text)
        done = cli("profile", "test", "a")
    assert done.returncode == 10, done.stdout + done.stderr
    (stub := tmp_path / "bin").mkdir()
    written(stub / "milvus-profiles", STUB, 0o755)
    commands = pasted((done.stdout + done.stderr).replace("\n", " "))
    for words in commands:
        paste(shell, words, stub, tmp_path / "saw", tmp_path)
    assert not (tmp_path / "evil").exists(), commands
    # What is no plain name of a database is not put into a command at all.
    assert (tmp_path / "saw").read_bytes().decode().split("\0")[:4] == ["profile", "set", "a", "db_name=NAME"], commands


def test_use_in_one_shell_prints_a_line_that_runs_nothing(cli: Command) -> None:
    cli.cwd.joinpath("milvus.toml").write_text("[profiles.'x$(>evil)']\nuri = \"http://h\"\n")
    done = cli("profile", "use", "x$(>evil)", "--shell")
    assert done.returncode != 0
    assert "export" not in done.stdout
