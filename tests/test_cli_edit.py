"""`profile set | unset | rename | copy | use | edit` as their users see them.

Refusals name the argument or the place, and what to do.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import Command

FILE = """\
# the file's own comment
default_profile = "one"

# about one
[profiles.one]
uri = "https://one.example"   # the first
ssl = { ca = "certs/ca.pem" }

# about two
[profiles.two]
extends = "one"
uri = "https://two.example"
"""


@pytest.fixture(autouse=True)
def _certificates(project: Path) -> None:
    (project / "certs").mkdir()
    (project / "certs/ca.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")


def test_set_changes_one_value_and_nothing_else(cli: Command, file: Path) -> None:
    outcome = cli("profile", "set", "one", "timeout=5", "db_name=films", status=0)
    assert "changed in the project file" in outcome.stdout
    added = 'ssl = { ca = "certs/ca.pem" }\ntimeout = 5.0\ndb_name = "films"\n'
    assert file.read_text() == FILE.replace('ssl = { ca = "certs/ca.pem" }\n', added)


def test_set_reads_values_by_the_type_of_the_field(cli: Command, file: Path) -> None:
    values = {
        "uri=http://x:1": "http://x:1", "protected=true": True, "retry=false": False, "keepalive.time=20": 20.0,
        "management_port=9092": 9092, "description=a = b # c": "a = b # c", "ssl=false": None,
        'token={ command = ["op", "read x"], pass_env = ["OP"] }': None,
    }  # fmt: skip
    cli("profile", "set", "two", *values, status=0)
    shown = cli("profile", "show", "two", "--json").json["values"]
    for word, value in values.items():
        name = word.partition("=")[0]
        assert value is None or (shown[name]["value"], type(shown[name]["value"])) == (value, type(value))
    assert shown["token"]["value"]["command"] == ["op", "********"]


def test_paths_of_arguments_count_from_the_current_directory(cli: Command, file: Path) -> None:
    (file.parent / "sub").mkdir()
    cli("profile", "set", "one", "ssl.ca=../certs/ca.pem", cwd=file.parent / "sub", status=0)
    assert 'ca = "./certs/ca.pem"' in file.read_text()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["one", "timeout"], 2),
        (["one", "timout=3"], 3),
        (["one", "ssl.caa=3"], 3),
        (["one", "keepalive.time=1"], 3),
        (["one", "host=x"], 3),
        (["one", "token.command=op read"], 2),
        (["one", "ssl={"], 2),
        (["nobody", "timeout=3"], 3),
    ],
)
def test_what_would_be_invalid_is_refused(cli: Command, file: Path, words: list[str], status: int) -> None:
    outcome = cli("profile", "set", *words, status=status)
    assert outcome.stderr.startswith("error: ")
    assert file.read_text() == FILE


def test_unset_removes_a_field(cli: Command, file: Path) -> None:
    assert cli("profile", "unset", "one", "ssl.ca").returncode == 0
    assert "certs/ca.pem" not in file.read_text()
    cli("profile", "unset", "two", "uri", "extends", status=0)


def test_rename_takes_references_along(cli: Command, file: Path) -> None:
    cli("profile", "rename", "one", "uno", status=0)
    expected = FILE.replace("[profiles.one]", "[profiles.uno]").replace('"one"', '"uno"')
    assert file.read_text() == expected
    assert cli("profile", "rename", "uno", "two").returncode == 3
    assert cli("profile", "rename", "uno", "no good").returncode == 3


def test_copy_adds_a_profile(cli: Command, file: Path) -> None:
    assert cli("profile", "copy", "two", "three").returncode == 0
    assert file.read_text().startswith(FILE)
    assert [row["alias"] for row in cli("profile", "list", "--json").json] == ["one", "two", "three"]


EDITS = "set one timeout=3", "unset one ssl", "rename one uno", "copy one c", "add new --uri h", "remove two"


@pytest.mark.parametrize("words", EDITS)
def test_dry_run_of_each_edit_changes_nothing(cli: Command, file: Path, words: str) -> None:
    outcome = cli("profile", *words.split(), "--dry-run", status=0)
    assert outcome.stdout.startswith("---")
    assert "+++" in outcome.stdout
    assert file.read_text() == FILE


def test_edits_of_a_trusted_file_keep_it_trusted(cli: Command, file: Path) -> None:
    cli("trust")
    for more in ([], ["--dry-run"]):
        assert cli("profile", "set", "one", "timeout=4", *more, status=0).stderr == ""
        assert cli("profile", "list", "--json").json[0]["trusted"]


@pytest.mark.parametrize("words", [*EDITS, "use one --project-file"])
def test_every_edit_of_an_untrusted_file_says_so_and_how_to_trust_it(words: str, cli: Command, file: Path) -> None:
    outcome = cli("profile", *words.split(), status=0)
    said = f"the project file is not trusted: `milvus-profiles trust {file}`"
    assert [line for line in outcome.stderr.splitlines() if "not trusted" in line] == [said]


# --- use ---


def test_use_writes_the_user_file_and_goes_back(cli: Command, home: Path) -> None:
    for alias in ("a", "b"):
        cli("profile", "add", alias, "--uri", "localhost", "--user-file")
    for used, selected in (("a", "a"), ("b", "b"), ("-", "a"), ("-", "b")):
        assert f"the default profile is '{selected}' in the user file" in cli("profile", "use", used, status=0).stdout
        assert cli("profile", "show", "--json").json["alias"] == selected


def test_use_without_anything_to_go_back_to(cli: Command) -> None:
    outcome = cli("profile", "use", "-", status=2)
    assert "nothing" in outcome.stderr or "no profile to go back to" in outcome.stderr


def test_use_says_what_is_stronger(cli: Command, file: Path) -> None:
    outcome = cli("profile", "use", "two", status=0)
    assert "something stronger hides it: default_profile of" in outcome.stderr
    cli("profile", "use", "two", "--project-file", status=0)
    assert 'default_profile = "two"' in file.read_text()
    assert cli("profile", "show", "--json").json["alias"] == "two"
    by_variable = cli("profile", "use", "one", "--project-file", env={"MILVUS_PROFILE": "two"})
    assert "MILVUS_PROFILE names it (two)" in by_variable.stderr


def test_use_shell_only_prints(cli: Command, file: Path) -> None:
    assert cli("profile", "use", "two", "--shell").stdout == "export MILVUS_PROFILE=two\n"
    assert cli("profile", "use", "two", "--shell", env={"SHELL": "/usr/bin/fish"}).stdout == (
        "set -gx MILVUS_PROFILE two\n"
    )
    assert file.read_text() == FILE
    assert cli("profile", "use", "nobody", "--shell").returncode == 3


PROJECT = '[profiles.here]\nuri = "http://127.0.0.1:1"\n[profiles.other]\nuri = "http://127.0.0.1:2"\n'


@pytest.fixture
def of_project(project: Path) -> Path:
    path = project / "milvus.toml"
    path.write_text(PROJECT)
    return path


def test_a_profile_of_the_project_alone_is_no_default_elsewhere_unsaid(cli: Command, of_project: Path) -> None:
    said = cli("use", "here", status=0)
    assert "only the project declares 'here'" in said.stderr
    assert "`milvus-profiles profile use here --project-file`" in said.stderr
    assert "only the project" not in cli("use", "here", "--project-file", status=0).stderr
    assert of_project.read_text().startswith('default_profile = "here"\n')


def test_a_profile_of_ones_own_is_a_default_without_a_word(cli: Command, of_project: Path) -> None:
    cli.own_file('[profiles.mine]\nuri = "http://127.0.0.1:3"\n')
    assert cli("use", "mine", status=0).stderr == ""


def test_on_a_terminal_it_asks_whose_default_is_meant(cli: Command, of_project: Path) -> None:
    cli.own_file('[profiles.mine]\nuri = "http://127.0.0.1:3"\n')
    answers = [("Only the project declares 'here'. Which one is to change?", b"\r")]
    assert "Which one is to change?" in cli.tty("use", "here", answers=answers, status=0).text
    assert of_project.read_text().startswith('default_profile = "here"\n')
    assert "default_profile" not in cli.user_file.read_text()


def test_there_is_no_way_back_to_what_is_gone(cli: Command) -> None:
    cli.own_file("".join(f'[profiles.{name}]\nuri = "http://127.0.0.1:3"\n' for name in ("one", "two")))
    cli("use", "one", status=0)
    cli("use", "two", status=0)
    cli("rm", "one", "--yes", status=0)
    before = cli.user_file.read_text()
    refused = cli("use", "-", status=3)
    assert "there is no profile 'one'" in refused.stderr
    assert cli.user_file.read_text() == before


@pytest.mark.parametrize("option", ["--html", "--junit"])
def test_no_report_takes_the_place_of_profiles(cli: Command, of_project: Path, option: str) -> None:
    refused = cli("test", "here", option, "milvus.toml", "--force", status=2)
    assert "milvus.toml holds profiles" in refused.stderr
    assert of_project.read_text() == PROJECT


# --- edit ---


def editor(directory: Path, script: str) -> dict[str, str]:
    """An $EDITOR: a program that gets the file's path as its last argument."""
    path = directory / "editor.py"
    path.write_text(f"import sys\npath = sys.argv[-1]\ntext = open(path).read()\n{script}\n")
    return {"EDITOR": f"{sys.executable} {path}"}


def kept_aside(shown: str) -> Path:
    return Path(shown.split("your text is kept in ")[1].splitlines()[0])


def test_edit_replaces_the_file_with_a_valid_text(cli: Command, file: Path, tmp_path: Path) -> None:
    env = editor(tmp_path, "open(path, 'w').write(text.replace('two.example', 'deux.example'))")
    cli.tty("profile", "edit", env=env, status=0)
    assert file.read_text() == FILE.replace("two.example", "deux.example")


def test_edit_keeps_an_invalid_text_aside(cli: Command, file: Path, tmp_path: Path) -> None:
    env = editor(tmp_path, "open(path, 'w').write(text.replace('uri', 'uuri'))")
    shown = cli.tty("profile", "edit", env=env, answers=[("Edit again?", "n")], status=1).text
    assert file.read_text() == FILE
    kept = kept_aside(shown)
    assert "uuri" in kept.read_text()
    kept.unlink()


def test_edit_can_be_repeated_on_a_terminal(cli: Command, file: Path, tmp_path: Path) -> None:
    script = (
        "import os\nmark = path + '.mark'\n"
        "open(path, 'w').write(text.replace('uri', 'uuri') if not os.path.exists(mark) else text.replace('uuri', 'uri')"
        " + '# second try\\n')\nopen(mark, 'w').close() if not os.path.exists(mark) else os.unlink(mark)"
    )
    env = editor(tmp_path, script)
    cli.tty("profile", "edit", env=env, answers=[("Edit again?", "y")], status=0)
    assert file.read_text() == FILE + "# second try\n"


def test_edit_can_mend_a_broken_file(cli: Command, file: Path, tmp_path: Path) -> None:
    file.write_text('[profiles.one\nuri = "https://h"\n')
    env = editor(tmp_path, "open(path, 'w').write(text.replace('.one', '.one]'))")
    shown = cli.tty("profile", "edit", env=env, status=0).text
    assert "changed the project file" in shown
    assert "is not trusted" in shown
    assert file.read_text().startswith("[profiles.one]\n")


def test_edit_without_a_change_and_with_a_failing_editor(cli: Command, file: Path, tmp_path: Path) -> None:
    assert cli.tty("profile", "edit", env={"EDITOR": "true"}).text == "nothing was changed\n"
    shown = cli.tty("profile", "edit", "--json", env={"EDITOR": "true"}).text
    assert json.loads(shown) == {"file": str(file), "changed": False}
    for command, status in (("false", 1), ("no-such-editor-anywhere", 2), ("'", 2)):
        cli.tty("profile", "edit", env={"EDITOR": command}, status=status)
    assert file.read_text() == FILE


def test_edit_notices_a_save_by_someone_else(cli: Command, file: Path, tmp_path: Path) -> None:
    env = editor(tmp_path, f"open(path, 'a').write('# mine\\n'); open({str(file)!r}, 'a').write('# theirs\\n')")
    shown = cli.tty("profile", "edit", env=env, answers=[("Edit again?", "n")], status=1).text
    assert "saved by someone else meanwhile" in shown
    assert file.read_text() == FILE + "# theirs\n"
    kept_aside(shown).unlink()


@pytest.mark.parametrize("text", ["", "\\n", " \\n\\t\\n"])
def test_a_text_that_was_emptied_cancels_and_nothing_is_kept(
    cli: Command, file: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "tmp").mkdir()
    env = editor(tmp_path, f"open(path, 'w').write('{text}')") | {"TMPDIR": str(tmp_path / "tmp")}
    shown = cli.tty("profile", "edit", env=env, status=0).text
    assert "the text was emptied, which cancels" in shown
    assert "nothing was changed" in shown
    assert file.read_text() == FILE
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("streams", ["stdin", "stdout"])
def test_no_editor_is_started_without_a_terminal(cli: Command, file: Path, tmp_path: Path, streams: str) -> None:
    env = editor(tmp_path, f"open({str(tmp_path / 'started')!r}, 'w').close()")
    if streams == "stdin":
        for more in ([], ["--json"]):
            outcome = cli("profile", "edit", *more, env=env, status=2)
            assert "an editor needs a terminal" in outcome.stderr
            assert "set ALIAS FIELD=VALUE" in outcome.stderr
    else:
        words = ["sh", "-c", f'exec "$@" >{tmp_path}/out', "sh", *cli.program]
        redirected = Command(words, cli.home, cli.cwd)
        redirected.tty("profile", "edit", env=env, status=2)
    assert not (tmp_path / "started").exists()
    assert file.read_text() == FILE


PROTECTED = FILE + 'protected = true\n\n[profiles.three]\nuri = "https://three.example"\n'


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ("text.replace('two.example', 'deux.example')", True),
        ("text[: text.index('# about two')]", True),
        ("text.replace('protected = true', '')", True),
        ("text.replace('# about two', 'timeout = 3 # of the one that it extends')", True),
        ("text.replace('three.example', 'trois.example')", False),
    ],
)
def test_edit_asks_before_a_protected_profile_changes(
    cli: Command, file: Path, tmp_path: Path, change: str, asks: bool
) -> None:
    file.write_text(PROTECTED)
    env = editor(tmp_path, f"open(path, 'w').write({change})")
    if asks:
        answers = [("two is protected. Change it?", "n"), ("Edit again?", "n")]
        shown = cli.tty("profile", "edit", env=env, answers=answers, status=1).text
        assert "'two' was left as it is" in shown
        assert file.read_text() == PROTECTED
        kept_aside(shown).unlink()
        cli.tty("profile", "edit", env=env, answers=[("two is protected. Change it?", "y")], status=0)
    else:
        cli.tty("profile", "edit", env=env, status=0)
    assert file.read_text() != PROTECTED


def test_a_protected_profile_asks_before_what_it_extends_changes(cli: Command, file: Path) -> None:
    file.write_text(PROTECTED)
    outcome = cli("profile", "set", "one", "timeout=3", status=1)
    assert "'two' is protected" in outcome.stderr
    cli("profile", "add", "one", "--uri", "https://uno.example", "--force", status=1)
    assert file.read_text() == PROTECTED
    cli("profile", "set", "three", "timeout=3", status=0)
    cli("profile", "set", "one", "timeout=3", "--yes", status=0)
    # It may be wrong: it is protected all the same.
    file.write_text(PROTECTED + "timout = 3\nprotected = true\n")
    assert "'three' is protected" in cli("profile", "unset", "three", "timeout", status=1).stderr


NO_PORT = "the port is not a number from 1 to 65535"
NO_USER = "the address contains user information, which is what stands before an @"


@pytest.mark.parametrize(
    ("words", "location", "message", "hint"),
    [
        ("set one timeout=soon", None, "timeout=…: timeout must be a number", "profile unset one timeout`"),
        ("set one protected=perhaps", None, "protected=…: protected must be true or false", "unset one protected`"),
        ("set one keepalive=3", None, "keepalive=…: keepalive is a table", "set its keys one by one: time, timeout"),
        ("set one uri=http://h:99999", "uri=", NO_PORT, ""),
        ("set one uri=http://root:canary-7f3a@h", "uri=", NO_USER, ""),
        ("set one timeout=-1", "timeout=…", "timeout must be more than 0", "profile set one timeout=VALUE`"),
        ("set one db_name=a timeout=-1", "timeout=…", "timeout must be more than 0", ""),
        ("set one keepalive.time=1", "keepalive.time=…", "keepalive.time is below 5 seconds, the least", ""),
        ("set one keepalive={time=1}", "keepalive=…", "keepalive.time is below 5 seconds, the least", ""),
        ("set one ssl.cert=ssl.pem", "ssl.cert=…", "ssl.cert needs ssl.key beside it", ""),
        ("set one host=x", "host=…", "uri and host are both given", "leave host=… out"),
        ("add two --uri http://h:99999", "--uri", NO_PORT, ""),
        ("add two --uri http://root:canary-7f3a@h", "--uri", NO_USER, ""),
    ],
)
def test_a_value_that_is_wrong_is_refused_with_its_argument_and_a_remedy(
    words: str, location: str | None, message: str, hint: str, cli: Command
) -> None:
    (cli.cwd / "milvus.toml").write_text('[profiles.one]\nuri = "https://h"\n')
    outcome = cli("profile", *words.split(), "--dry-run", "--json", status=3)
    assert outcome.error["error"] == "config"
    assert outcome.error["message"].startswith(message)
    assert outcome.error["location"] == location
    assert outcome.error["hint"]
    assert hint in outcome.error["hint"]
    assert "canary" not in outcome.stderr


@pytest.mark.parametrize("option", ["--ca", "--cert", "--key", "--token-file"])
def test_an_option_whose_path_is_empty_is_refused(option: str, cli: Command) -> None:
    """As where a variable is not set: neither left out in silence nor taken for the current directory."""
    error = cli("profile", "add", "one", "--uri", "https://h", option, "", "--json", status=2).error
    assert error["message"] == "a path is empty"
    assert not cli.user_file.exists()


@pytest.mark.parametrize("fields", ['token = { env = "A", file = "b" }\n', 'token = "x"\nuser = "u"\npassword = "y"\n'])
def test_two_forms_of_a_secret_are_refused_with_a_remedy(fields: str, cli: Command) -> None:
    (cli.cwd / "own.toml").write_text(f'[profiles.one]\nuri = "https://h"\n{fields}')
    (cli.cwd / "own.toml").chmod(0o600)
    error = cli("profile", "show", "one", "--config", "own.toml", "--json").error
    assert error["error"] == "config"
    assert error["hint"].startswith("keep the ")
    assert error["location"].startswith(f"{cli.cwd / 'own.toml'}:3:")


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
        # A literal secret is no argument.
        (("profile", "set", "one", "token=canary"), {}, "secret set one"),
        (("profile", "set", "one", "password=canary"), {}, "secret set one"),
    ):
        outcome = cli(*words, "--json", env=env)
        assert outcome.returncode in (2, 3), words
        assert hint in outcome.error["hint"], words
        assert "canary" not in outcome.stderr
    file.write_text('[profiles.one]\nuri = "https://h"\ndatabase = "x"\n')
    error = cli("profile", "show", "one", "--json", status=3).error
    assert (error["message"], error["hint"]) == ("unknown key 'database'", "did you mean 'db_name'?")
