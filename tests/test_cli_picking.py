"""Arguments that are left out on a terminal: profiles are picked, where anywhere else it is an error as ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.programs

ENTER = b"\r"
UP = b"\x1b[A"
DOWN = b"\x1b[B"
INTERRUPTED = b"\x03"
WHICH = "Which profile?"

Answers = list[tuple[str, str | bytes]]

THREE = """\
[profiles.alpha]
uri = "https://alpha.example"
description = "the first one"
user = "root"
[profiles.beta]
uri = "http://127.0.0.1:2"
timeout = 1
[profiles.gamma]
uri = "http://127.0.0.1:3"
extends = "beta"
"""


@pytest.fixture
def three(cli: Command) -> Command:
    cli.own_file(THREE)
    return cli


# --- the picker ---


def test_use_without_a_name_picks_one_with_the_arrows(three: Command) -> None:
    screen = three.tty("use", answers=[("Which profile is to be the default?", DOWN + DOWN + UP + ENTER)], status=0)
    assert "> alpha  https://alpha.example:443  the first one\n" in screen.text
    assert "the default profile is 'beta' in the user file" in screen.text
    assert 'default_profile = "beta"' in three.user_file.read_text()
    # The next one begins at it.
    again = three.tty("use", answers=[("Which profile is", UP + ENTER)], status=0)
    assert "the default profile is 'alpha'" in again.text


def test_what_is_typed_leaves_those_that_have_it_in_them(three: Command) -> None:
    assert "timeout" not in three.tty("show", answers=[(WHICH, b"first" + ENTER)], status=0).text
    assert "gamma\n" in three.tty("show", answers=[(WHICH, b"GAM" + ENTER)], status=0).text


def test_where_nothing_has_what_is_typed_in_it_enter_picks_nothing(three: Command) -> None:
    before = three.user_file.read_bytes()
    screen = three.tty("rm", answers=[(WHICH, b"nothing" + ENTER), ("nothing has", INTERRUPTED)], status=130)
    assert three.user_file.read_bytes() == before
    assert "nothing has this in it" in screen.text
    gone = "alpha  https" not in screen.text.rpartition("/ nothin")[2]
    assert gone, screen.text
    three.tty("rm", answers=[(WHICH, b"alphz" + ENTER), ("nothing has", b"\x7f" + ENTER), ("[y/N]", "y")], status=0)
    assert "[profiles.alpha]" not in three.user_file.read_text()


def test_what_was_picked_is_taken_away_only_after_a_yes(three: Command) -> None:
    before = three.user_file.read_bytes()
    for answer, status in (("", 1), ("n", 1), (INTERRUPTED, 130)):
        three.tty("rm", answers=[(WHICH, ENTER), ("Remove alpha from the user file", answer)], status=status)
        assert three.user_file.read_bytes() == before
    assert "'alpha' was left as it is" in three.tty("rm", answers=[(WHICH, ENTER), ("[y/N]", "n")], status=1).text
    assert "[y/N]" not in three.tty("rm", "--dry-run", answers=[(WHICH, ENTER)], status=0).text
    asked = three.tty("secret", "delete", answers=[(WHICH, ENTER), ("Delete the secret in the keyring", "")], status=1)
    assert "'alpha' was left as it is" in asked.text
    # A name that was typed, and a yes, are enough.
    assert "[y/N]" not in three.tty("rm", "gamma", status=0).text
    assert "[y/N]" not in three.tty("rm", "--yes", answers=[(WHICH, DOWN + ENTER)], status=0).text
    assert "[profiles.beta]" not in three.user_file.read_text()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["test"], 6, "beta: failed at tcp"),
        (["ping"], 6, "127.0.0.1:2"),
        (["copy", "beta"], 0, "copied to 'delta'"),
        (["export"], 0, "MILVUS_URI"),
        (["exec", "--", "sh", "-c", "echo RUN $MILVUS_PROFILES_EXEC"], 0, "RUN beta"),
        (["secret", "status"], 0, "beta: connects without credentials"),
        (["set", "timeout=5"], 0, "'beta' changed"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_ask_for_what_they_need(three: Command, words: list[str], status: int, said: str) -> None:
    three.own_file(THREE.replace('extends = "beta"\n', ""))
    asked: dict[str, Answers] = {
        "copy": [("Name of the copy:", "delta")],
        "export": [(WHICH, b"bet" + ENTER), ("Which format?", b"dotenv" + ENTER)],
    }
    screen = three.tty(*words, answers=asked.get(words[0], [(WHICH, b"bet" + ENTER)]), status=status, columns=120)
    assert said in screen.text


def test_fields_are_asked_for_too(three: Command) -> None:
    three.tty("set", answers=[(WHICH, b"bet" + ENTER), ("A field and its value", "call_timeout=7")], status=0)
    assert "call_timeout = 7" in three.user_file.read_text()
    three.tty("unset", "beta", answers=[("Which field?", b"call" + ENTER)], status=0)
    assert "call_timeout" not in three.user_file.read_text()
    three.tty("rename", answers=[(WHICH, b"alp" + ENTER), ("Its new name:", "omega")], status=0)
    assert "[profiles.omega]" in three.user_file.read_text()


def test_the_selected_profile_is_not_asked_for(three: Command) -> None:
    assert "beta\n" in three.tty("show", env={"MILVUS_PROFILE": "beta"}, status=0).text
    assert "beta\n" in three.tty("show", "--profile", "beta", status=0).text
    assert WHICH not in three.tty("show", env={"MILVUS_PROFILE": "nobody"}, status=3).text
    # A prompt of a shell asks for it on a terminal.
    assert WHICH not in three.tty("current", status=3).text
    assert "-[profiles.alpha]" in three.tty("rm", "--profile", "alpha", "--dry-run", status=0).text


def test_without_profiles_there_is_nothing_to_pick(cli: Command) -> None:
    for words in (["use"], ["show"], ["rm"], ["test"]):
        assert "there are no profiles" in cli.tty(*words, status=3).text


NEEDING = ["use", "rm", "secret status", "rename", "set", "unset", "copy", "export", "exec", "add"]


def test_nobody_is_asked_off_a_terminal_for_json_and_by_a_build(three: Command) -> None:
    for words in NEEDING:
        message = "Missing argument 'ALIAS | -'" if words == "use" else "Missing argument 'ALIAS'"
        assert message in three(*words.split(), status=2).stderr
        assert three(*words.split(), "--json", status=2).error["message"] == message
    for word in ("rm", "add"):
        assert "Missing argument 'ALIAS'" in three.tty(word, "--json", status=2).text
        assert "Missing argument 'ALIAS'" in three.tty(word, env={"CI": "true"}, status=2).text


def test_a_terminal_that_can_do_nothing_is_asked_in_plain_lines(three: Command) -> None:
    answers: Answers = [(f"{WHICH} [1]:", "9"), ("a number from 1 to 3", b""), (f"{WHICH} [1]:", "2")]
    screen = three.tty("show", answers=answers, env={"TERM": "dumb"}, status=0)
    assert "  2  beta   http://127.0.0.1:2\n" in screen.text
    assert "\x1b" not in screen.raw


def test_without_colours_there_are_none(three: Command) -> None:
    for words, env in (([], {"NO_COLOR": "1"}), (["--no-color"], {})):
        raw = three.tty("show", *words, answers=[(WHICH, ENTER)], env=env, status=0).raw
        assert not re.search(r"\x1b\[[0-9;]*(?:[34][0-7]|[34]8;5;)[0-9;]*m", raw), raw
    assert re.search(r"\x1b\[[0-9;]*38;5;", three.tty("show", answers=[(WHICH, ENTER)]).raw)


@pytest.mark.security
def test_what_a_file_says_of_a_profile_is_shown_escaped_and_no_name_is_offered_that_is_none(
    cli: Command, project: Path
) -> None:
    (project / "milvus.toml").write_text(
        '[profiles.good]\nuri = "http://127.0.0.1:1"\n'
        'description = "a\\u001b[31337mb\\u202ec\\u0007d [bold]e[/bold]"\n'
        '[profiles.told]\nuri = "http://127.0.0.1:1"\ndescription = "token=s3cr3tc4n4ry"\n'
    )
    cli.own_file('[profiles.other]\nuri = "http://127.0.0.1:1"\n')
    screen = cli.tty("use", answers=[("Which profile", INTERRUPTED)], columns=200, status=130)
    assert r"a\x1b[31337mb\u202ec\x07d [bold]e[/bold]" in screen.text
    assert "s3cr3tc4n4ry" not in screen.raw
    assert "\x1b[31337" not in screen.raw
    with (project / "milvus.toml").open("a") as file:
        file.write('[profiles."x\\u001b]0;t"]\nuri = "http://127.0.0.1:2"\n')
    refused = cli.tty("use", columns=200, status=3).raw
    assert "Which profile" not in refused
    assert "\x1b]0" not in refused


# --- which default ---


@pytest.fixture
def of_its_own(three: Command, project: Path) -> Command:
    (project / "milvus.toml").write_text('default_profile = "here"\n[profiles.here]\nuri = "http://127.0.0.1:9"\n')
    three("trust", status=0)
    return three


def test_in_a_project_with_a_default_of_its_own_use_asks_which_of_the_two(of_its_own: Command, project: Path) -> None:
    asked = "The project has a default of its own, 'here'. Which one is to change?"
    own = of_its_own.user_file.read_bytes()
    screen = of_its_own.tty("use", "alpha", answers=[(asked, ENTER)], columns=160, status=0)
    assert "the default profile is 'alpha' in the project file" in screen.text
    assert "hides it" not in screen.text
    assert of_its_own.user_file.read_bytes() == own
    assert 'default_profile = "alpha"' in (project / "milvus.toml").read_text()
    there = of_its_own.tty("use", "beta", answers=[("Which one is to change?", DOWN + ENTER)], columns=160, status=0)
    assert "the default profile is 'beta' in the user file" in there.text
    assert 'default_profile = "beta"' in of_its_own.user_file.read_text()
    # Back, in the file that is meant.
    of_its_own.tty("use", "-", answers=[("Which one is to change?", ENTER)], columns=160, status=0)
    assert 'default_profile = "here"' in (project / "milvus.toml").read_text()


def test_it_does_not_ask_where_it_is_told_or_nothing_else_has_one(of_its_own: Command, project: Path) -> None:
    for words in (["--user-file"], ["--project-file"], ["--shell"], ["--config", str(of_its_own.user_file)]):
        assert "Which one" not in of_its_own.tty("use", "alpha", *words, status=0).text
    before = (project / "milvus.toml").read_bytes()
    assert "hides it" in of_its_own("use", "beta", status=0).stderr
    assert (project / "milvus.toml").read_bytes() == before
    (project / "milvus.toml").write_text('[profiles.here]\nuri = "http://127.0.0.1:9"\n')
    assert "Which one" not in of_its_own.tty("use", "alpha", status=0).text


def test_a_secret_is_stored_for_the_profile_that_is_picked(three: Command, keyring_session: KeyringSession) -> None:
    screen = three.tty(
        "secret", "set", answers=[(WHICH, b"alp" + ENTER), ("Password of root", "s3cr3tc4n4ry")],
        keyring=keyring_session, status=0,
    )  # fmt: skip
    assert "s3cr3tc4n4ry" not in screen.raw
    assert keyring_session.get("milvus-profiles", "tls|alpha.example|443|root") == "s3cr3tc4n4ry"
