"""Commands in hints: each is one that there is, in one spelling, and made where the file is known."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import milvus_profiles
from milvus_profiles.cli.app import application
from milvus_profiles.text import ANSWERS, OPTIONS, Standing
from tests.support.command import Command

SOURCES = sorted(Path(milvus_profiles.__file__).parent.rglob("*.py"))
MAKERS = {"remedy", "command", "milvus_profiles"}
# They say which command is meant, of whatever file: what they explain is no file's.
ABOUT_THE_PROGRAM = re.compile(r"`milvus-profiles(` edits this file| doctor`| --show-completion`)")


def texts(tree: ast.AST) -> Iterator[str]:
    """All texts of a module but its documentation."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    } | {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def made(tree: ast.AST) -> Iterator[list[str]]:
    """The first words of each command of this program that is made for a message."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MAKERS and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            words = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if name != "command" or isinstance(node.func, ast.Attribute):  # else it is another program's
                yield words


def test_every_command_of_a_hint_is_made_in_one_place() -> None:
    written = [
        (path.name, text)
        for path in SOURCES
        if path.name not in ("manual.py", "text.py")
        for text in texts(ast.parse(path.read_text()))
        if re.search(r"`(milvus-profiles|mvp)\b", text) and not ABOUT_THE_PROGRAM.search(text)
    ]
    assert written == []


def test_every_command_of_a_hint_is_one_that_there_is_in_its_long_spelling() -> None:
    found = []
    for path in SOURCES:
        for words in made(ast.parse(path.read_text())):
            command: Any = get_command(application([]))
            short = set(command.commands["profile"].commands)
            if "=" in words[0] or not re.fullmatch("[a-z]+", words[0]):
                continue  # fields, of a profile's remedy
            assert words[0] not in short, (path.name, words)
            for word in words:
                command = getattr(command, "commands", {}).get(word, command) if command is not None else None
            assert not getattr(command, "commands", None), (path.name, words)
            found.append(words)
    assert ["profile", "use", "ALIAS"] in found
    assert len(found) > 30


@pytest.mark.parametrize(
    ("words", "content"),
    [
        (["show", "h:19530"], ""),
        (["test", "--all"], ""),
        (["list"], ""),
        (["add", "http://h"], ""),
        (["connect", "-D", "-p", "1"], ""),
        (["set", "a", "timeout"], "[profiles.a]\nuri = 'h'"),
        (["set", "a", "token=x"], "[profiles.a]\nuri = 'h'"),
        (["edit"], "[profiles.a]\nuri = 'h'"),
        (["doctor"], "[profiles.a]\nuri = 'h'"),
        (["use", "-"], "[profiles.a]\nuri = 'h'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_file_that_was_given_is_named_by_the_commands_of_hints(
    cli: Command, project: Path, words: list[str], content: str
) -> None:
    file = project / "own.toml"
    file.write_text(f"{content}\n")
    said = cli("--config", "own.toml", *words, env={"https_proxy": "http://p:1"})
    named = [one for one in re.findall(r"`milvus-profiles ([^`]*)`", said.stdout + said.stderr) if "--help" not in one]
    assert named, said
    for one in named:
        assert one.startswith(("--config own.toml ", f"--config {file} ")), said


def test_a_text_that_is_edited_by_hand_is_the_file_that_was_given(cli: Command, project: Path) -> None:
    (project / "own.toml").write_text("profiles = {a.uri = 'h', a.timeout = 5, b.uri = 'h'}\n")
    refused = cli("--config", "own.toml", "rename", "a", "c", "--json")
    assert refused.returncode != 0
    assert refused.error["hint"].endswith(f"`milvus-profiles --config {project}/own.toml profile edit`")
    assert refused.error["location"].startswith(f"{project}/own.toml")


def test_what_is_not_written_yet_is_corrected_where_it_was_said() -> None:
    answers, options = Standing("f.toml", ANSWERS), Standing("f.toml", OPTIONS, {"uri": "--uri"})
    assert answers.change("p", "uri=https://h") == "correct the address: https://h"
    assert answers.change("p", "db_name=x") == "correct the database: x"
    assert answers.change("p", "timeout=30") == (
        "add it all the same, then `milvus-profiles --config f.toml profile set p timeout=30`"
    )
    assert options.change("p", "uri=https://h") == "give `--uri https://h`"
    assert options.change("p", "ssl.ca=PATH", "db_name=x") == "give `--ca PATH --db-name x`"
    # `add` has no option for it.
    assert options.change("p", "timeout=30") == (
        "add it without a test, then `milvus-profiles --config f.toml profile set p timeout=30`"
    )


def test_every_option_of_a_hint_is_one_of_add() -> None:
    command: Any = get_command(application(["add"]))
    there = {name for one in command.commands["add"].params for name in one.opts}
    for field in ("uri", "host", "port", "db_name", "user", "ssl", "ssl.ca", "ssl.cert", "ssl.key", "ssl.server_name"):
        [option] = re.findall(r"`(--[a-z-]+)", Standing(None, OPTIONS).change("p", f"{field}=x"))
        assert option in there
