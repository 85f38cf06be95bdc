"""Refusals of the command line name the argument or the place, and what to do."""

from __future__ import annotations

import sys

import pytest

from tests.support.command import Command


@pytest.mark.parametrize(
    ("assignment", "message", "hint"),
    [
        ("timeout=soon", "timeout=…: timeout must be a number", "`milvus-profiles profile unset one timeout`"),
        ("protected=perhaps", "protected=…: protected must be true or false", "profile unset one protected"),
        ("keepalive=3", "keepalive=…: keepalive is a table", "set its keys one by one: time, timeout"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_argument_and_a_remedy(
    assignment: str, message: str, hint: str, cli: Command
) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.one]\nuri = "https://h"\n')
    error = cli("profile", "set", "one", assignment, "--json").error
    assert error["error"] == "config"
    assert error["message"] == message
    assert hint in error["hint"]


@pytest.mark.parametrize("fields", ['token = { env = "A", file = "b" }\n', 'token = "x"\nuser = "u"\npassword = "y"\n'])
def test_two_forms_of_a_secret_are_refused_with_a_remedy(fields: str, cli: Command) -> None:
    (cli.cwd / "own.toml").write_text(f'[profiles.one]\nuri = "https://h"\n{fields}')
    (cli.cwd / "own.toml").chmod(0o600)
    error = cli("profile", "show", "one", "--config", "own.toml", "--json").error
    assert error["error"] == "config"
    assert error["hint"].startswith("keep the ")
    assert error["location"].startswith(f"{cli.cwd / 'own.toml'}:3:")


@pytest.mark.parametrize(
    ("words", "place"),
    [(("add", "two", "--dry-run", "--uri", "{}"), "--uri"), (("set", "one", "--dry-run", "uri={}"), "uri=")],
)
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://h:99999", "the port is not a number from 1 to 65535"),
        (
            "http://root:canary-7f3a@h",
            "the address contains user information, which is what stands before an @",
        ),
    ],
)
def test_a_wrong_address_is_refused_with_its_argument(
    words: tuple[str, ...], place: str, uri: str, message: str, cli: Command
) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.one]\nuri = "https://h"\n')
    outcome = cli("profile", *(word.format(uri) for word in words), "--json", status=3)
    assert (outcome.error["message"], outcome.error["location"]) == (message, place)
    assert outcome.error["hint"]
    assert "canary" not in outcome.stderr


def test_an_editor_can_mend_a_broken_project_file(cli: Command) -> None:
    file, editor = cli.cwd / "milvus.toml", cli.home / "editor.py"
    file.write_text('[profiles.one\nuri = "https://h"\n')
    editor.write_text("import sys\ntext = open(sys.argv[1]).read()\n")
    with editor.open("a") as script:
        script.write("open(sys.argv[1], 'w').write(text.replace('.one', '.one]'))\n")
    shown = cli.tty("profile", "edit", env={"EDITOR": f"{sys.executable} {editor}"}, status=0).text
    assert "changed the project file" in shown
    assert "is not trusted" in shown
    assert file.read_text().startswith("[profiles.one]\n")


def test_what_other_clients_call_a_field_is_understood_everywhere_and_taken_nowhere(cli: Command) -> None:
    file = cli.cwd / "milvus.toml"
    file.write_text('[profiles.one]\nuri = "https://h"\n')
    for words, env, hint in (
        (("profile", "set", "one", "database=x"), {}, "did you mean 'db_name'?"),
        (("profile", "set", "one", "username=x"), {}, "did you mean 'user'?"),
        (("profile", "unset", "one", "url"), {}, "did you mean 'uri'?"),
        (("profile", "show", "one"), {"MILVUS_PROFILES__ONE__DATABASE": "x"}, "MILVUS_PROFILES__ONE__DB_NAME?"),
        (("profile", "show", "one"), {"MILVUS_PROFILES__ONE__TLS": "true"}, "MILVUS_PROFILES__ONE__SSL?"),
        (("profile", "show", "one"), {"MILVUS_PROFILES__ONE__TOKN": "canary"}, "MILVUS_PROFILES__ONE__TOKEN?"),
        (("profile", "add", "two", "--uri", "h", "--database", "x"), {}, "did you mean --db-name?"),
        (("add", "two", "h", "--username", "x"), {}, "did you mean --user?"),
    ):
        outcome = cli(*words, "--json", env=env)
        assert outcome.returncode in (2, 3), words
        assert hint in outcome.error["hint"], words
        assert "canary" not in outcome.stderr
    file.write_text('[profiles.one]\nuri = "https://h"\ndatabase = "x"\n')
    error = cli("profile", "show", "one", "--json", status=3).error
    assert (error["message"], error["hint"]) == ("unknown key 'database'", "did you mean 'db_name'?")


@pytest.mark.parametrize("option", ["--ca", "--cert", "--key", "--token-file"])
def test_an_option_whose_path_is_empty_is_refused(option: str, cli: Command) -> None:
    """As where a variable is not set: neither left out in silence nor taken for the current directory."""
    error = cli("profile", "add", "one", "--uri", "https://h", option, "", "--json", status=2).error
    assert error["message"] == "a path is empty"
    assert not cli.user_file.exists()
