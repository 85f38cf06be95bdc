"""What is left out on a terminal is asked for, and anywhere else an error as ever: the answers of `add`, and profiles.

`add` asks, tests, goes back, and only then writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartMilvus
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.faults import until_closed
from tests.support.hostile_tls import inside_tls
from tests.support.milvus import MilvusServer
from tests.support.ports import ports
from tests.support.secret_service import KeyringSession

pytestmark = pytest.mark.programs

ENTER = b"\r"
UP = b"\x1b[A"
DOWN = b"\x1b[B"
EMPTIED = b"\x15"
INTERRUPTED = b"\x03"
SERVICE = "milvus-profiles"
CANARY = "s3cr3tc4n4ry"

Answers = list[tuple[str, str | bytes]]
THE_REST: Answers = [("Database (", ENTER), ("Make it the default profile", "y")]


@pytest.fixture(scope="module")
def unknown_issuer(_start_shared: StartMilvus, certificates: Certificates) -> MilvusServer:
    """Authorization, and TLS with a certificate that nobody has signed."""
    return _start_shared(auth=True, tls="server", identity=certificates.self_signed_server)


def typed(text: str) -> bytes:
    """What is typed over an answer that stands there already."""
    return EMPTIED + text.encode() + ENTER


def files(cli: Command) -> list[Path]:
    return [path for path in cli.home.rglob("*") if path.is_file() and "state" not in path.parts]


def test_it_goes_back_to_the_answer_that_was_wrong_and_then_writes(
    cli: Command, unknown_issuer: MilvusServer, keyring_session: KeyringSession
) -> None:
    nothing_there = f"https://127.0.0.1:{ports().take()}"
    account = f"tls|127.0.0.1|{unknown_issuer.port}|root"
    keyring_session.delete(SERVICE, account)
    answers: Answers = [
        ("Address of the Milvus", nothing_there),
        ("Name of the profile (local):", "remote"),
        ("How do you sign in?", ENTER),
        ("User (root):", ENTER),
        ("Password of root", CANARY),
        ("Database (", "nope"),
        ("Make it the default profile", "y"),
        ("failed at tcp", b""),
        ("What now?", ENTER),
        ("Address of the Milvus", typed(unknown_issuer.uri)),
        ("SHA-256", b""),
        ("What is to be trusted?", UP + ENTER),
        ("failed at auth", b""),
        ("What now?", ENTER),
        ("How do you sign in?", ENTER),
        ("User:", ENTER),
        ("Password of root", "Milvus"),
        ("failed at database", b""),
        ("What now?", ENTER),
        ("Database (", typed("")),
    ]
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=0)
    assert CANARY not in screen.raw
    assert "remote: ok, Milvus v2.3.5" in screen.text
    said = screen.text[screen.text.rindex("added 'remote'") :]
    assert f"added 'remote' ({unknown_issuer.uri}) to the user file ~/.config/milvus/milvus.toml\n" in said
    assert "stored the secret in the keyring\nit is the default profile of that file\n" in said
    assert "`milvus-profiles profile show remote`" in said
    assert "`milvus-profiles export remote --to pymilvus`" in said
    assert keyring_session.get(SERVICE, account) == "Milvus"
    written = cli.user_file.read_text()
    assert 'default_profile = "remote"' in written
    assert "nope" not in written
    assert "BEGIN CERTIFICATE" in cli.user_file.with_name("remote.pem").read_text()
    cli("test", "remote", keyring=keyring_session, status=0)


# One of each kind; the others are asked by the same code.
OTHERS = ("name", "sign-in", "user", "database", "certificate")
SLOW = [pytest.param(name, marks=pytest.mark.campaign) for name in OTHERS]


@pytest.fixture
def silent(certificates: Certificates) -> Iterator[str]:
    """A server that speaks TLS, with a certificate that nobody has signed, and then says nothing."""
    with inside_tls(certificates.self_signed_server, until_closed) as server:
        yield f"https://127.0.0.1:{server.port}"


@pytest.mark.parametrize("last", ["address", "password", "default", "test", "menu", *SLOW])
def test_ctrl_c_at_any_question_writes_nothing(
    last: str, cli: Command, unknown_issuer: MilvusServer, silent: str, keyring_session: KeyringSession
) -> None:
    steps: list[tuple[str, str, str | bytes]] = [
        ("address", "Address of the Milvus", silent if last == "test" else unknown_issuer.uri),
        ("name", "Name of the profile", "stopped"),
        ("sign-in", "How do you sign in?", ENTER),
        ("user", "User (", "interrupted"),
        ("password", "Password of interrupted", CANARY),
        ("database", "Database (", ENTER),
        ("certificate", "What is to be trusted?", UP + ENTER),
        ("default", "Make it the default profile", "n"),
        ("test", "tls ...", b""),
        ("menu", "What now?", ENTER),
    ]
    place = [name for name, _, _ in steps].index(last)
    answers: Answers = [(prompt, answer) for _, prompt, answer in steps[:place]]
    answers.append((steps[place][1], INTERRUPTED))
    before = keyring_session.usernames(SERVICE)
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=130)
    assert "Traceback" not in screen.text
    assert CANARY not in screen.raw
    assert ("stored the certificate" in screen.text) == (last in ("test", "menu"))
    assert files(cli) == []
    assert keyring_session.usernames(SERVICE) == before


def test_an_address_of_zilliz_cloud_is_known_and_asks_for_the_key(
    cli: Command, keyring_session: KeyringSession
) -> None:
    host = "in03-1234.serverless.gcp-us-west1.cloud.zilliz.com"
    answers: Answers = [
        ("Address of the Milvus", host),
        ("Name of the profile (cloud):", ENTER),
        (f"API key of Zilliz Cloud for https://{host}:443", CANARY),
        *THE_REST,
        ("failed at dns", b""),
        ("What now?", b"add it" + ENTER),
    ]
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=0)
    assert CANARY not in screen.raw
    assert "How do you sign in?" not in screen.text
    assert f'uri = "https://{host}"\ntoken = {{keyring = true}}\n' in cli.user_file.read_text()
    assert keyring_session.get(SERVICE, f"tls|{host}|443|") == CANARY
    assert "next: `milvus-profiles profile test cloud`" in screen.text


def test_what_the_options_say_is_not_asked(cli: Command, milvus_auth: MilvusServer) -> None:
    words = ["add", "given", "--token-env", "TEAM_TOKEN", "--db-name", "default", "--default", "--description", "mine"]
    env = {"TEAM_TOKEN": "root:Milvus"}
    screen = cli.tty(*words, answers=[("Address of the Milvus", milvus_auth.uri)], env=env, columns=150, status=0)
    assert "given: ok" in screen.text
    assert 'db_name = "default"' in cli.user_file.read_text()
    assert 'token = {env = "TEAM_TOKEN"}' in cli.user_file.read_text()
    assert 'default_profile = "given"' in cli.user_file.read_text()


def test_a_wrong_answer_is_asked_for_again_at_once(cli: Command) -> None:
    cli.own_file('[profiles.taken]\nuri = "localhost"\n')
    answers: Answers = [
        ("Address of the Milvus", "ftp://nowhere"),
        ("is not", typed("./m.db")),
        ("Name of the profile (local):", "taken"),
        ("there is a profile 'taken' already", typed("-bad")),
        ("is not a valid alias", typed("lite")),
        ("Database (", ENTER),
        ("Make it the default profile", "n"),
    ]
    cli.tty("add", "--no-test", answers=answers, columns=150, status=0)
    assert "m.db" in cli.user_file.read_text()


def test_a_secret_that_would_cross_the_network_in_the_open_is_asked_about(
    cli: Command, keyring_session: KeyringSession
) -> None:
    answers: Answers = [
        ("Address of the Milvus", "http://10.1.2.3"),
        ("How do you sign in?", ENTER),
        ("User (", "u"),
        ("Password of u", CANARY),
        ("Send it all the same?", "n"),
        ("Address of the Milvus", b""),
        ("http://10.1.2.3", typed("http://10.1.2.4")),
        ("Send it all the same?", "y"),
        *THE_REST,
    ]
    cli.tty("add", "far", "--no-test", answers=answers, keyring=keyring_session, columns=150, status=0)
    written = cli.user_file.read_text()
    assert 'uri = "http://10.1.2.4"' in written
    assert "allow_insecure = true" in written
    assert keyring_session.get(SERVICE, "plain|10.1.2.4|19530|u") == CANARY


def test_without_a_keyring_the_answers_are_not_lost(cli: Command) -> None:
    answers: Answers = [
        ("Address of the Milvus", "https://h.example"),
        ("How do you sign in?", DOWN + ENTER),
        ("Token (API key or user:password)", CANARY),
        ("Database (", "sales"),
        ("Make it the default profile", "y"),
        ("the secret could not be stored", b""),
        ("What now?", ENTER),
        ("How do you sign in?", DOWN + ENTER),
        ("Name of the variable:", "TEAM_TOKEN"),
    ]
    screen = cli.tty("add", "alone", "--no-test", answers=answers, columns=150, status=0)
    assert CANARY not in screen.raw
    assert 'token = {env = "TEAM_TOKEN"}' in cli.user_file.read_text()
    assert 'db_name = "sales"' in cli.user_file.read_text()


def test_giving_up_writes_nothing_and_has_the_status_of_the_test(cli: Command) -> None:
    answers: Answers = [
        ("Address of the Milvus (", f"http://127.0.0.1:{ports().take()}"),
        ("How do you sign in? [1]", "4"),
        ("Database (", ""),
        ("default profile of", "y"),
        ("What now? [1]", "6"),
    ]
    # On a terminal that can do nothing it is asked in plain lines.
    screen = cli.tty("add", "x", answers=answers, env={"TERM": "dumb"}, status=6)
    assert "nothing was written" in screen.text
    assert "\x1b" not in screen.raw
    assert files(cli) == []


def test_a_dry_run_shows_what_the_answers_would_write(cli: Command) -> None:
    answers: Answers = [
        ("Address of the Milvus", "http://localhost:1"),
        ("How do you sign in?", UP + ENTER),
        *THE_REST,
    ]
    screen = cli.tty("add", "x", "--dry-run", answers=answers, columns=150, status=0)
    assert "+[profiles.x]" in screen.text
    assert files(cli) == []


def test_off_a_terminal_it_is_the_usage_error_as_ever(cli: Command) -> None:
    assert "the address is missing" in cli("add", "x", status=2).stderr
    assert cli("add", "x", "--json", status=2).error["message"] == "the address is missing"
    assert "the address is missing" in cli.tty("add", "x", "--json", status=2).text
    assert "the address is missing" in cli.tty("add", "x", env={"CI": "1"}, status=2).text


def test_a_database_of_milvus_lite_is_not_made_by_asking(cli: Command, project: Path) -> None:
    answers: Answers = [
        ("Address of the Milvus", "./m.db"),
        ("Name of the profile (local):", ENTER),
        *THE_REST,
    ]
    screen = cli.tty("add", answers=answers, columns=150, status=0)
    assert "How do you sign in?" not in screen.text
    assert "`milvus-profiles profile test local`" in screen.text
    assert not (project / "m.db").exists()


@pytest.mark.parametrize("place", ["/proc/own.toml", "plain/own.toml"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(cli: Command, place: str) -> None:
    (cli.cwd / "plain").write_text("no directory")
    screen = cli.tty("--config", place, "add", status=3)
    assert "error: " in screen.text
    assert "cannot be " in screen.text
    assert "Address of the Milvus" not in screen.text
    typed = cli.tty("--config", place, "add", "p", "h", "--user", "root", status=3)
    assert "Password of root" not in typed.text


def test_an_empty_answer_says_what_the_keyring_has_and_hints_name_the_answers(
    cli: Command, keyring_session: KeyringSession
) -> None:
    port = ports().take()
    account = f"plain|127.0.0.1|{port}|root"
    keyring_session.delete(SERVICE, account)
    answers: Answers = [
        ("Address of the Milvus", f"http://127.0.0.1:{port}"),
        ("Name of the profile", "p"),
        ("How do you sign in?", ENTER),
        ("User (root):", ENTER),
        ("(empty: store it later)", ENTER),
        *THE_REST,
        ("What now?", INTERRUPTED),
    ]
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=130)
    assert "hint: correct how you sign in" in screen.text
    assert "secret set" not in screen.text
    keyring_session.set(SERVICE, account, CANARY)
    answers[4:] = [("(empty: keep what the keyring has)", INTERRUPTED)]
    screen = cli.tty("add", answers=answers, keyring=keyring_session, columns=150, status=130)
    assert CANARY not in screen.raw
    assert files(cli) == []
    keyring_session.delete(SERVICE, account)


def test_a_fault_of_an_answer_is_told_whole(cli: Command) -> None:
    answers: Answers = [
        ("Address of the Milvus", "http://root:secret@h"),
        ("keep the password in the keyring)", EMPTIED + INTERRUPTED),
    ]
    screen = cli.tty("add", answers=answers, columns=80, status=130)
    assert "which is what stands before an @ (take it out of the address: set `user`, and keep" in screen.text


WHICH = "Which profile?"


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
