"""The help: every command has a page that fits, and every example on it runs."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.cells import cell_len
from typer.main import get_command

from milvus_profiles.cli.app import application
from milvus_profiles.cli.help import print_page
from milvus_profiles.cli.internal import SYNONYMS
from milvus_profiles.cli.manual import GROUPS, PAGES, STATUSES, VARIABLES
from milvus_profiles.text import DOCUMENTATION
from tests.support.command import Command, packages_of
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

ROOT = Path(__file__).parents[1]


class Found(NamedTuple):
    """A command: its path, the command as typer has it, and its context."""

    path: str
    command: Any
    context: Any

    @property
    def name(self) -> str:
        """The name of its page."""
        return self.path.removeprefix("profile ")


def every() -> list[Found]:
    def walk(command: Any, path: str, context: Any) -> Iterator[Found]:
        yield Found(path, command, context)
        for name, part in getattr(command, "commands", {}).items():
            if not part.hidden:
                inner = part.make_context(name, [], parent=context, resilient_parsing=True)
                yield from walk(part, f"{path} {name}".strip(), inner)

    root = get_command(application([]))
    return list(walk(root, "", root.make_context("milvus-profiles", [], resilient_parsing=True)))


COMMANDS = every()


def page_of(found: Found) -> str:
    stream = io.StringIO()
    print_page(found.command, found.context, stream)
    return stream.getvalue()


# --- the data --------------------------------------------------------------------------------------------------------


def test_each_command_has_a_page_and_each_page_a_command() -> None:
    assert {found.name for found in COMMANDS} == PAGES.keys()


def test_the_groups_hold_each_command_once() -> None:
    for group, titles in GROUPS.items():
        [command] = [found.command for found in COMMANDS if found.path == group]
        names = [name for part in titles.values() for name in part]
        visible = {name for name, part in command.commands.items() if not part.hidden}
        assert sorted(names) == sorted(visible)
    assert set(GROUPS) == {found.path for found in COMMANDS if hasattr(found.command, "commands")}


def test_each_page_has_examples_of_its_command_statuses_variables_and_a_page_of_the_docs() -> None:
    for name, page in PAGES.items():
        assert 2 <= len(page.examples) <= 3, name
        for example in page.examples:
            words = [*re.findall(r"[\w-]+", example.line)]
            assert all(word in words for word in ["milvus-profiles", *name.split()]), example
            assert len(example.line) <= 78, example
        assert {0, 1, 2} <= set(page.statuses) <= STATUSES.keys(), name
        assert set(page.variables) <= VARIABLES.keys(), name
        assert page.variables or name in ("version", "completion", "config schema", "explain"), name
        below = ROOT / "docs" / page.docs
        assert below.with_suffix(".md").is_file() or (below / "index.md").is_file() or page.docs == "errors/", name
    assert {one for page in PAGES.values() for one in page.statuses} == STATUSES.keys()
    assert {one for page in PAGES.values() for one in page.variables} == VARIABLES.keys()


def test_the_docs_are_named_in_one_place() -> None:
    package = ROOT / "milvus_profiles"
    named = [path.name for path in package.rglob("*.py") if DOCUMENTATION in path.read_text()]
    assert named == ["text.py"]


# --- the pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["80", "120"])
def test_no_page_is_cut_off_or_too_wide(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for found in COMMANDS:
        page = page_of(found)
        assert page.isascii(), found.path
        assert "..." not in re.sub(r"(ALIAS|VALUE|FIELD|FILE|COMMAND|\])\.\.\.", "", page), page
        assert max(map(len, page.splitlines())) <= int(columns), page
        assert page.startswith(f"Usage: milvus-profiles {found.path}".rstrip()), page
        assert f"\nDocs: {DOCUMENTATION}/" in page
        # What typer says of types is for programmers.
        assert not re.search(r"<\w+>|\{[A-Z]+\}|\[\[", page), page
        for one in found.command.params:
            if one.param_type_name == "option" and not one.hidden:
                assert all(name in page for name in (*one.opts, *one.secondary_opts)), (found.path, one.opts)


def test_a_list_of_commands_has_the_whole_of_each_summary(cli: Command) -> None:
    for group, titles in GROUPS.items():
        page = cli(*group.split(), "--help", status=0).stdout
        for title, names in titles.items():
            block = page.split(f"\n{title}:\n")[1].split("\n\n")[0].splitlines()
            prefix = f"{group} " if group in ("secret", "config") else ""
            assert [line.split()[0] for line in block] == list(names)
            assert [line.split(maxsplit=1)[1] for line in block] == [PAGES[prefix + name].summary for name in names]


def test_the_options_of_add_stand_in_panels(cli: Command) -> None:
    page = cli("add", "--help", status=0).stdout
    titles = re.findall(r"^(\w.*):$", page, re.MULTILINE)
    assert titles == [
        "Arguments", "Address", "User and secret", "TLS", "Options", "Every command", "Examples", "Exit status",
        "Variables",
    ]  # fmt: skip
    parts = dict(zip(titles, re.split(r"^\w.*:$", page, flags=re.MULTILINE)[1:], strict=True))
    for title, options in {
        "Address": ("--uri URI", "--host HOST", "--port PORT", "--db-name DB"),
        "User and secret": ("--user USER", "--token-env NAME", "--password-stdin"),
        "TLS": ("--ssl / --no-ssl", "--ca FILE", "--pin-certificate"),
        "Every command": ("--config FILE", "-v, --verbose", "-h, --help"),
    }.items():
        assert all(option in parts[title] for option in options), parts[title]


WORDS = [["--help"], ["help", "add"]]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_panels_and_colours_within_its_width(cli: Command, columns: int) -> None:
    for words in WORDS:
        screen = cli.tty(*words, columns=columns, status=0)
        assert "\x1b[36m" in screen.raw
        lines = screen.text.splitlines()
        assert max(map(cell_len, lines)) <= min(columns, 100)
        assert any(line.startswith("╭─ Every command ─") for line in lines)
        assert "…" not in screen.text
        plain = cli(*words, status=0).stdout
        kept = [word for word in re.sub(r"[│╭╮╰╯─]", " ", screen.text).split() if word != ":"]
        assert sorted(kept) == sorted(re.sub(r"(?m)^(\w[\w ]*):$", r"\1", plain).split())


@pytest.mark.parametrize(
    ("more", "env"), [([], {"NO_COLOR": "1"}), (["--no-color"], {}), ([], {"TERM": "dumb"})], ids=["var", "opt", "dumb"]
)
def test_a_terminal_without_colours_gets_what_a_pipe_gets(
    cli: Command, more: list[str], env: dict[str, str | None]
) -> None:
    for words in WORDS:
        assert cli.tty(*words, *more, env=env, columns=80, status=0).raw.replace("\r", "") == cli(*words).stdout


def test_a_group_without_a_command_prints_its_page_on_stderr(cli: Command) -> None:
    for words in ([], ["profile"], ["secret"], ["config"]):
        shown = cli(*words, status=2)
        assert shown.stdout == ""
        assert shown.stderr == cli(*words, "--help", status=0).stdout


def test_the_page_of_a_synonym_is_that_of_the_command(cli: Command) -> None:
    for other, right in SYNONYMS.items():
        assert cli(other, "--help").stdout == cli(right, "--help").stdout.replace(
            f"Usage: milvus-profiles {right}", f"Usage: milvus-profiles {other}"
        )


def test_help_in_json_says_what_the_page_says(cli: Command) -> None:
    for words in (["add"], ["secret"], [], ["ls"]):
        value = cli(*words, "--help", "--json", status=0).json
        assert cli("--json", "help", *words, status=0).json == value or words == ["ls"]
        plain = cli(*words, "--help", status=0).stdout
        parts = [value["usage"], *value["text"]]
        for section in value["sections"]:
            parts += [section["title"], *(text for row in section["rows"] for text in row.values())]
        assert value["command"] == " ".join(["milvus-profiles", *words])
        shown = plain.removeprefix("Usage: ").partition("\n\nDocs: ")[0].split()
        said = [word for part in parts for word in part.split()]
        assert [word.rstrip(":") for word in said] == [word.rstrip(":") for word in shown]
        assert plain.endswith(f"\nDocs: {value['docs']}\n")


def test_a_group_without_a_command_is_an_error_in_json(cli: Command) -> None:
    for words in ([], ["profile"], ["secret"]):
        done = cli("--json", *words, status=2)
        assert (done.error["error"], done.error["message"], done.stdout) == ("usage", "Missing command", "")


def test_the_help_offers_profile_only_where_it_is_taken(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.prod]\nuri = "http://127.0.0.1:1"\n')
    needs = {"set": ["x"], "unset": ["x"], "rename": ["x"], "copy": ["x"], "export": ["--to", "x"], "exec": ["--", "x"]}
    for found in COMMANDS:
        offered = any("--profile" in one.opts for one in found.command.params)
        words = [*found.path.split(), "--profile", "a b", *needs.get(found.name, [])]
        refused = "--profile" in cli(*words, "--json", status=None).stderr if found.path else False
        below = getattr(found.command, "commands", {})
        taken = any("--profile" in one.opts for part in below.values() for one in part.params)
        assert offered == (taken if below else not refused), (found.path, words)


def test_the_help_of_add_says_when_it_tests(world: Command) -> None:
    page = " ".join(world("add", "--help", status=0).stdout.split())
    assert "Where both are given, it tests first only with --test." in page
    # Nothing listens there.
    world.tty("add", "x", "http://127.0.0.1:1", status=0)
    world.tty("add", "y", "http://127.0.0.1:1", "--test", status=6)


def test_a_page_of_many_commands_needs_none_of_them(cli: Command) -> None:
    program = (
        "from milvus_profiles.cli.entry import main\n"
        "for words in (['--help'], ['profile', '--help'], ['help'], ['--no-color', '-h']):\n"
        "    assert main(words) == 0\n"
    )
    assert not packages_of(cli, "-c", program) & {"pydantic_settings", "rich", "grpc", "keyring"}


# --- the examples ----------------------------------------------------------------------------------------------------

PROJECT = '[profiles.local]\nuri = "./milvus.db"\n'
OWN = """\
default_profile = "ci"

[profiles.prod]
uri = "http://127.0.0.1:{port}"
user = "root"
timeout = 5
description = "production"
management_port = {metrics}

[profiles.ci]
uri = "http://127.0.0.1:{port}"
token = {{ env = "CI_TOKEN" }}
"""
VARIABLES_HERE = {"CI_TOKEN": "root:Milvus", "PASSWORD": "Milvus", "EDITOR": "true", "SHELL": "/bin/bash"}


@pytest.fixture
def world(cli: Command, project: Path, milvus_auth: MilvusServer, keyring_session: KeyringSession) -> Command:
    """What the examples speak of: a project, two profiles of a Milvus, a password, files of other tools."""
    cli.own_file(OWN.format(port=milvus_auth.port, metrics=milvus_auth.metrics_port))
    (project / "milvus.toml").write_text(PROJECT)
    (project / "pw").write_text("Milvus\n")
    (project / "search.py").write_text("import os\nprint(os.environ['MILVUS_URI'])\n")
    (project / ".env").write_text("MILVUS_URI=http://old.example:19530\n")
    (cli.home / ".milvus_cli_connections.json").write_text(
        json.dumps({"eu": {"uri": "https://eu.example", "token": "root:Milvus", "tlsmode": 1}})
    )
    cli("trust", status=0)
    cli("secret", "set", "prod", input="Milvus\n", keyring=keyring_session, status=0)
    return cli


@pytest.mark.parametrize("name", PAGES, ids=lambda name: name or "milvus-profiles")
def test_every_example_runs(
    world: Command, name: str, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    for example in PAGES[name].examples:
        line = example.line.replace("19530", str(milvus_auth.port))
        status, said = run(world, line, keyring_session)
        # The doctor may find something here; a Milvus 2.3.5 has no console.
        assert status in {"doctor": (0, 3), "open": (6,)}.get(name, (0,)), (line, said)


def run(cli: Command, line: str, keyring: KeyringSession) -> tuple[int, str]:
    if line.startswith("milvus-profiles edit"):
        screen = cli.tty(*shlex.split(line)[1:], env=VARIABLES_HERE, keyring=keyring)
        return screen.returncode, screen.text
    if line.startswith("milvus-profiles ") and not set(line) & set("<>|$"):
        outcome = cli(*shlex.split(line)[1:], env=VARIABLES_HERE, keyring=keyring)
    else:
        shell = Command(["bash", "-euo", "pipefail", "-c", line], cli.home, cli.cwd)
        outcome = shell(env=VARIABLES_HERE, keyring=keyring)
    return outcome.returncode, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    "words", ["test --junit", "export a --to", "profile test --timeout", "config validate --config"]
)
def test_an_option_without_its_value_leads_to_the_help_of_its_command(words: str, cli: Command) -> None:
    path = words.rpartition(" --")[0].removesuffix(" a")
    error = cli(*words.split(), status=2).stderr
    assert f"`milvus-profiles {path} --help` shows what there is" in error
