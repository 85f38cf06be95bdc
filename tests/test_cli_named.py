"""A profile is named by argument, --profile or MILVUS_PROFILE, with the same meaning on every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command, Outcome, every_command

FILE = """\
default_profile = "other"
[profiles.prod]
uri = "http://127.0.0.1:1"
timeout = 5
db_name = "films"
[profiles.other]
uri = "http://127.0.0.1:2"
timeout = 7
db_name = "books"
"""
# A command of each kind, with ALIAS where it stands; those with a * need no name: they take the selected profile.
NAMING = [
    "show ALIAS *", "profile show ALIAS *", "open ALIAS *", "test ALIAS --timeout 0.3 *", "ping ALIAS --timeout 0.3 *",
    "use ALIAS --shell", "use ALIAS --dry-run",
    "set ALIAS timeout=9 --dry-run", "set ALIAS timeout=9 db_name=x --dry-run", "unset ALIAS timeout --dry-run",
    "unset ALIAS timeout db_name --dry-run", "rename ALIAS new --dry-run", "copy ALIAS new --dry-run",
    "remove ALIAS --dry-run", "rm ALIAS --dry-run", "secret status ALIAS", "secret set ALIAS", "secret delete ALIAS",
    "exec ALIAS -- sh -c 'echo-$MILVUS_URI'", "export ALIAS --to env", "export --to dotenv ALIAS",
]  # fmt: skip
# These take it as an option, or in no other way.
OPTIONAL = ["watch -c 1 --timeout 0.3 *", "current *", "list *", "connect -a ALIAS"]
PLAIN = {
    "add new http://h --dry-run", "edit", "trust --list", "untrust --all", "import", "config path", "config validate",
    "config schema", "doctor", "completion bash", "version", "help", "explain tls",
}  # fmt: skip


@pytest.fixture(autouse=True)
def file(cli: Command) -> Path:
    return cli.own_file(FILE)


def run(cli: Command, words: str, alias: str, **env: str) -> Outcome:
    parts = [alias if word == "ALIAS" else word.replace("'", "") for word in words.removesuffix(" *").split(" ")]
    return cli(*(part for part in parts if part), env=env)


def said(outcome: Outcome) -> tuple[int, str, str]:
    """What a command said, without its times."""
    lines = [line for line in outcome.stdout.splitlines() if " ms" not in line]
    return outcome.returncode, "\n".join(lines), outcome.stderr


def without(words: str) -> str:
    return words.removesuffix(" *").replace("-a ALIAS", "").replace("ALIAS", "").replace("  ", " ").strip()


def test_every_command_is_in_one_of_the_tables() -> None:
    tested = {" ".join(words.split()) for words in (*NAMING, *OPTIONAL, *PLAIN)}
    for path in (words for words, command in every_command() if not hasattr(command, "commands")):
        short = path.removeprefix("profile ")
        short = {"ls": "list", "get": "show", "delete": "remove"}.get(short, short)
        assert any(f"{words} ".startswith(f"{short} ") for words in tested), path


@pytest.mark.parametrize("words", NAMING)
def test_a_name_means_the_same_wherever_it_stands(cli: Command, file: Path, words: str) -> None:
    wanted = said(run(cli, words, "prod"))
    assert wanted != said(run(cli, words, "other"))
    assert wanted[0] != 2, wanted
    bare = without(words)
    before, after = f"--profile prod {bare}", (bare.replace(" -- ", " --profile=prod -- ", 1) + " --profile prod")
    if " -- " in bare:
        after = after.removesuffix(" --profile prod")
    assert said(run(cli, before, "")) == wanted
    assert said(run(cli, after, "")) == wanted
    assert said(run(cli, bare, "", MILVUS_PROFILE="prod")) == wanted
    if " --timeout " in words:
        return  # each attempt to connect takes its time
    # All of them, in any spelling.
    assert said(run(cli, f"--profile PROD {words}", "prod", MILVUS_PROFILE="other")) == wanted
    assert said(run(cli, before, "", MILVUS_PROFILE="other")) == wanted
    assert said(run(cli, words, "prod", MILVUS_PROFILE="other")) == wanted
    assert file.read_text() == FILE


@pytest.mark.parametrize("words", NAMING)
def test_two_names_and_a_name_of_nothing_are_told(cli: Command, file: Path, words: str) -> None:
    bare = without(words)
    two = run(cli, f"--profile other {words}", "prod")
    assert two.returncode == 2, two
    assert two.stderr.startswith("error: "), two
    assert "two profiles" in two.stderr or "FIELD" in two.stderr or "extra argument" in two.stderr
    for outcome in (
        run(cli, words, "nobody"),
        run(cli, f"--profile nobody {bare}", ""),
        run(cli, bare, "", MILVUS_PROFILE="nobody"),
    ):
        assert outcome.returncode == 3, outcome
        assert "there is no profile 'nobody'" in outcome.stderr
    # A name that goes before it does not hide that it is wrong.
    for outcome in (
        run(cli, words, "prod", MILVUS_PROFILE="nobody"),
        run(cli, f"--profile prod {bare}", "", MILVUS_PROFILE="nobody"),
    ):
        assert "warning: MILVUS_PROFILE is passed over: there is no profile 'nobody'" in outcome.stderr, outcome
    assert file.read_text() == FILE


@pytest.mark.parametrize("words", [words for words in NAMING if not words.endswith("*")])
def test_a_default_is_no_name_for_what_changes_or_hands_on_a_profile(cli: Command, words: str) -> None:
    missing = run(cli, without(words), "")
    # The first of the other words is taken for the alias.
    assert missing.returncode in (2, 3)
    assert "Missing argument" in missing.stderr or "there is no profile" in missing.stderr


@pytest.mark.parametrize("words", ["current --json", "list --json"])
def test_what_has_no_argument_obeys_the_other_two(cli: Command, words: str) -> None:
    def chosen(outcome: Outcome) -> str:
        found = outcome.json
        return str(found["alias"] if isinstance(found, dict) else next(row["alias"] for row in found if row["default"]))

    assert chosen(run(cli, words, "")) == "other"
    for outcome in (
        run(cli, f"--profile prod {words}", ""),
        run(cli, f"{words} --profile prod", ""),
        run(cli, words, "", MILVUS_PROFILE="prod"),
        run(cli, f"--profile prod {words}", "", MILVUS_PROFILE="other"),
    ):
        assert chosen(outcome) == "prod"
    unknown = run(cli, f"--profile nobody {words.removesuffix(' --json')}", "")
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert "there is no profile 'nobody'" in unknown.stderr
    assert "there is no profile 'nobody'" in run(cli, words, "", MILVUS_PROFILE="nobody").stderr
    assert "MILVUS_PROFILE" in run(cli, f"--profile prod {words}", "", MILVUS_PROFILE="nobody").stderr


def test_connect_checks_the_profile_that_is_named(cli: Command) -> None:
    wanted = run(cli, "connect -a prod --json", "")
    assert wanted.returncode == 6
    for outcome in (
        run(cli, "--profile prod connect --json", ""),
        run(cli, "connect --profile prod --json", ""),
        run(cli, "connect --json", "", MILVUS_PROFILE="prod"),
        run(cli, "connect -a prod --json", "", MILVUS_PROFILE="other"),
    ):
        assert (outcome.returncode, outcome.json[0]["alias"]) == (6, "prod")
    assert "two profiles" in run(cli, "--profile other connect -a prod", "").stderr


@pytest.mark.parametrize("words", sorted(PLAIN))
def test_a_command_that_uses_no_profile_says_so_and_is_not_disturbed_by_the_variable(cli: Command, words: str) -> None:
    named = run(cli, f"--profile prod {words}", "")
    assert (named.returncode, named.stdout) == (2, "")
    assert named.stderr.startswith("error: --profile names a profile, and this command uses none")
    assert run(cli, f"{words} --profile prod", "").returncode == 2
    free, ambient = run(cli, words, ""), run(cli, words, "", MILVUS_PROFILE="prod")
    if words != "doctor":  # which says what is selected
        assert said(free) == said(ambient)


def test_all_and_a_name_are_two(cli: Command) -> None:
    assert run(cli, "test --all --profile prod", "").stderr.startswith("error: a profile and --all are both given")
    for words in ("test prod other", "use -"):
        assert run(cli, f"--profile prod {words}", "").returncode == 2


def test_all_profiles_do_not_hide_that_the_variable_names_none(cli: Command) -> None:
    outcome = run(cli, "test --all --timeout 0.3", "", MILVUS_PROFILE="nobody")
    assert outcome.returncode == 6
    assert outcome.stderr.startswith("warning: MILVUS_PROFILE is passed over: there is no profile 'nobody'")
    assert "passed over" not in run(cli, "test --all --timeout 0.3", "", MILVUS_PROFILE="prod").stderr


def test_a_default_that_is_written_is_hidden_by_a_wrong_variable_and_does_not_pass_it_over(cli: Command) -> None:
    outcome = run(cli, "use prod", "", MILVUS_PROFILE="nobody")
    assert outcome.stderr == "warning: something stronger hides it: MILVUS_PROFILE: there is no profile 'nobody'\n"
    back = run(cli, "use - --shell", "", MILVUS_PROFILE="nobody")
    assert back.stdout == "export MILVUS_PROFILE=other\n"
    assert back.stderr.startswith("warning: MILVUS_PROFILE is passed over: there is no profile 'nobody'")


@pytest.mark.parametrize("words", ["current", "show", "--profile=prod show", "list"])
def test_two_files_or_profiles_are_no_choice_for_the_last_one(cli: Command, file: Path, words: str) -> None:
    for option, one in (("--profile", "prod"), ("--config", str(file))):
        once = run(cli, f"{words} {option} {one}", "")
        assert said(run(cli, f"{words} {option} {one} {option}={one}", "")) == said(once)
        for twice in (f"{words} {option} {one} {option}=x", f"{option} x {option} {one} {words}"):
            refused = run(cli, twice, "")
            assert (refused.returncode, refused.stdout) == (2, ""), twice
            assert refused.stderr.startswith(f"error: {option} is given twice\n")
    # What the program gets that exec runs is its own.
    assert run(cli, "exec prod echo --config x --config y", "").stdout == "--config x --config y\n"


def test_a_field_that_is_called_like_a_profile_is_the_profile(cli: Command, file: Path) -> None:
    file.write_text(FILE + '[profiles.timeout]\nuri = "h"\nproxy = "http://p:1"\n')
    shown = run(cli, "unset timeout proxy --dry-run", "", MILVUS_PROFILE="prod")
    assert '-proxy = "http://p:1"' in shown.stdout
    assert run(cli, "--profile prod unset timeout proxy", "").returncode == 2


def test_a_file_that_cannot_be_read_is_no_reason_to_doubt_the_variable(cli: Command, file: Path) -> None:
    file.write_text("[[[")
    shown = run(cli, "show default", "", MILVUS_URI="http://h", MILVUS_PROFILE="prod")
    assert shown.returncode == 0
    assert "passed over" not in shown.stderr


def test_a_name_before_the_command_holds_on_a_terminal_too(cli: Command) -> None:
    shown = cli.tty("--profile", "prod", "set", "timeout=9", "--dry-run", status=0).text
    assert "+timeout = 9" in shown
    assert "-timeout = 5" in shown
    assert "http://127.0.0.1:1" in cli.tty("exec", "--", "printenv", "MILVUS_URI", env={"MILVUS_PROFILE": "prod"}).text
