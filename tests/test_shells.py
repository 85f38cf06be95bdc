"""No text of a file, a variable or a server runs in a shell: real ones, two of them typed at through a terminal."""

from __future__ import annotations

import ast
import json
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from typer._completion_shared import get_completion_script

import milvus_profiles
from milvus_profiles.commands import command, quote, quote_path
from tests.support.command import Command
from tests.support.environment import coverage_variables
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


def test_commands_in_messages_are_quoted_word_by_word() -> None:
    assert command("rm", "/a b/c") == "`rm '/a b/c'`"
    assert command("x", "a=b", "=c", "") == "`x a=b '=c' ''`"
    assert quote_path("-rf") == "./-rf"
    assert "\x1b" not in quote("a\x1b")


def test_no_message_puts_a_value_into_a_command_by_itself() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
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
    allowed = {"{path}", "{path[0]}", "{name}", "{outer}", "{{secretRef: {{name: {name}}}}}"}
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
        (stub / name).write_text(STUB)
        (stub / name).chmod(0o755)
    for index, name in enumerate(word for word in HOSTILE if word and "/" not in word and "\0" not in word):
        project = tmp_path / f"p{index}" / name
        project.mkdir(parents=True)
        (project / ".git").mkdir()
        file = project / "milvus.toml"
        file.write_text('[profiles.a]\nuri = "http://127.0.0.1:1"\nproxy = "http://127.0.0.1:2"\n')
        told = cli("profile", "test", "a", cwd=project)
        assert told.returncode == 5, told.stderr
        commands = pasted((told.stdout + told.stderr).replace("\n", " "))
        assert commands, told.stderr
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
    (stub / "milvus-profiles").write_text(STUB)
    (stub / "milvus-profiles").chmod(0o755)
    commands = pasted((done.stdout + done.stderr).replace("\n", " "))
    for words in commands:
        paste(shell, words, stub, tmp_path / "saw", tmp_path)
    assert not (tmp_path / "evil").exists(), commands
    if commands:
        saw = (tmp_path / "saw").read_bytes().decode().split("\0")
        assert f"db_name={name}" in saw, commands


def test_use_in_one_shell_prints_a_line_that_runs_nothing(cli: Command) -> None:
    cli.cwd.joinpath("milvus.toml").write_text("[profiles.'x$(>evil)']\nuri = \"http://h\"\n")
    done = cli("profile", "use", "x$(>evil)", "--shell")
    assert done.returncode != 0
    assert "export" not in done.stdout


# --- the tab key -----------------------------------------------------------------------------------------------------

ALIASES = ["x$(>evil)", "x`>evil`", "x;>evil;", "x$(sh<evil)", "x'y", 'x"y', "x y", "x\\ny", "x)) ; >evil ; ((", "x:y"]


@pytest.fixture
def hostile(cli: Command) -> Iterator[Command]:
    text = "".join(f'[profiles.{json.dumps(alias)}]\nuri = "http://h"\n' for alias in ALIASES)
    text += '[profiles.x-good]\nuri = "http://h"\ndescription = "$(>evil)`>evil`"\n'
    (cli.cwd / "milvus.toml").write_text(text)
    (cli.cwd / "evil.sh").write_text(">evil\n")
    yield cli
    assert not (cli.cwd / "evil").exists(), "a shell ran what a file holds"


def started(shell: str, cli: Command, directory: Path) -> pexpect.spawn[str]:
    need(shell)
    script = directory / f"completion.{shell}"
    script.write_text(
        get_completion_script(prog_name="milvus-profiles", complete_var="_MILVUS_PROFILES_COMPLETE", shell=shell)
    )
    arguments = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(cli.home), "TERM": "dumb",
        "LANG": "C.UTF-8", "PS1": "READY> ", **coverage_variables(),
    }  # fmt: skip
    terminal: pexpect.spawn[str] = pexpect.spawn(
        shell, arguments, cwd=str(cli.cwd), env=env, encoding="utf-8", timeout=30, dimensions=(50, 200)
    )
    if shell == "bash":
        terminal.sendline(f"PS1='READY> '; bind 'set bell-style none'; source {script}; echo LOAD''ED")
    elif shell == "zsh":
        terminal.sendline(
            f"PS1='READY> '; unsetopt zle_bracketed_paste; autoload -Uz compinit && compinit -u -D; source {script}; "
            "echo LOAD''ED"
        )
    else:
        terminal.sendline(f"function fish_prompt; echo 'READY> '; end; source {script}; echo LOAD''ED")
    terminal.expect("LOADED")
    terminal.expect("READY> ")
    return terminal


LINES = [
    "milvus-profiles profile show x",
    "milvus-profiles profile test x",
    "milvus-profiles exec x",
    "milvus-profiles --profile x",
    "milvus-profiles secret set x",
    "milvus-profiles export x",
    "milvus-profiles --profile=x",
    "milvus-profiles profile show 'x$(>evil)",
    "milvus-profiles profile show x\\$\\(",
    "milvus-profiles --config 'a$(>evil)' profile show x",
]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_runs_nothing_and_offers_valid_aliases_alone(shell: str, hostile: Command, tmp_path: Path) -> None:
    terminal = started(shell, hostile, tmp_path)
    try:
        for line in LINES:
            terminal.send(line)
            terminal.send("\t\t")
            terminal.expect(pexpect.TIMEOUT, timeout=1.5)
            terminal.sendcontrol("c")
            terminal.sendline("echo DO''NE")
            terminal.expect("DONE")
            assert not (hostile.cwd / "evil").exists(), line
    finally:
        terminal.close(force=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_the_one_alias_that_is_valid(shell: str, hostile: Command, tmp_path: Path) -> None:
    terminal = started(shell, hostile, tmp_path)
    try:
        terminal.send("milvus-profiles profile show x\t")
        terminal.expect(pexpect.TIMEOUT, timeout=2)
        terminal.sendline("; echo DO''NE")
        terminal.expect("DONE")
        assert "profile show x-good" in (terminal.before or ""), terminal.before
    finally:
        terminal.close(force=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_answers_no_text_that_is_not_an_alias(shell: str, hostile: Command) -> None:
    for typed in ("x", ""):
        words = ["milvus-profiles", "profile", "show", typed]
        env = {
            "_MILVUS_PROFILES_COMPLETE": f"complete_{shell}", "COMP_WORDS": " ".join(words), "COMP_CWORD": "3",
            "_TYPER_COMPLETE_ARGS": " ".join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }  # fmt: skip
        answer = hostile(env=env).stdout
        assert "x-good" in answer
        before, after = ("_arguments '*: :((", "))'") if shell == "zsh" else ("", "")
        answer = answer.strip().removeprefix(before).removesuffix(after)
        assert not set(answer) - set(string.ascii_letters + string.digits + '-_."\n')
        assert not [alias for alias in ALIASES if alias in answer]
