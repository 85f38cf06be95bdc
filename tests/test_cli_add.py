"""`profile add`, `remove` and `secret` as their users see them, with a real keyring; hardly anything here connects."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.conftest import StartMilvus
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession

SECRET = "hush-hush: 3 ünicode"


def test_add_without_a_project_writes_the_user_file_and_says_so(cli: Command) -> None:
    outcome = cli("profile", "add", "local", "--uri", "http://127.0.0.1:19530", "--default", "--description", "mine")
    assert outcome.returncode == 0
    assert "added 'local' (http://127.0.0.1:19530) to the user file ~/.config/milvus/milvus.toml" in outcome.stdout
    text = cli.user_file.read_text()
    assert 'default_profile = "local"' in text
    assert '[profiles.local]\ndescription = "mine"\nuri = "http://127.0.0.1:19530"\n' in text
    assert stat.S_IMODE(cli.user_file.stat().st_mode) == 0o600
    row = cli("profile", "list", "--json").json[0]
    assert (row["alias"], row["default"], row["trusted"]) == ("local", True, True)


def test_add_in_a_project_writes_the_project_file(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text("# ours\n")
    (project / "sub").mkdir()
    outcome = cli("profile", "add", "local", "--uri", "./data/m.db", cwd=project / "sub")
    assert "to the project file" in outcome.stdout
    assert (project / "milvus.toml").read_text().startswith("# ours\n")
    # Counted from where the command ran, and written for where the file stands.
    assert 'uri = "./sub/data/m.db"' in (project / "milvus.toml").read_text()
    assert cli("profile", "list", "--json").json[0]["uri"] == str(project / "sub/data/m.db")
    assert not cli.user_file.exists()


def test_which_file_can_be_chosen(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text("")
    assert cli("profile", "add", "a", "--uri", "localhost", "--user-file").returncode == 0
    assert "[profiles.a]" in cli.user_file.read_text()
    (project / "milvus.toml").unlink()
    assert cli("profile", "add", "b", "--uri", "localhost", "--project-file").returncode == 0
    assert "[profiles.b]" in (project / "milvus.toml").read_text()
    assert cli("profile", "add", "c", "--uri", "localhost", "--config", "new/conf.toml").returncode == 0
    assert "[profiles.c]" in (project / "new/conf.toml").read_text()
    env = {"MILVUS_PROFILES_FILE": "other.toml"}
    assert cli("profile", "add", "d", "--uri", "localhost", env=env).returncode == 0
    assert "[profiles.d]" in (project / "other.toml").read_text()
    assert cli("profile", "add", "e", "--uri", "localhost", "--user-file", "--project-file").returncode == 2
    assert cli("profile", "add", "e", "--uri", "localhost", "--user-file", "--config", "x").returncode == 2


def test_a_project_file_that_the_command_creates_is_trusted(cli: Command, project: Path) -> None:
    cli("profile", "add", "a", "--uri", "localhost", "--project-file", "--token-env", "TEAM_TOKEN")
    assert cli("profile", "list", "--json").json[0]["trusted"] is True
    cli("profile", "add", "b", "--uri", "localhost", "--token-env", "TEAM_TOKEN")
    assert [row["trusted"] for row in cli("profile", "list", "--json").json] == [True, True]
    with (project / "milvus.toml").open("a") as file:
        file.write("# changed by hand\n")
    outcome = cli("profile", "add", "c", "--uri", "localhost", status=0)
    assert "is not trusted" in outcome.stderr
    assert [row["trusted"] for row in cli("profile", "list", "--json").json] == [False] * 3


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("\ufeff\n", "is empty"),
        ("hidden\nhidden\n", "has several lines"),
        ("hidden\x1b", "contains a control character"),
    ],
)
def test_what_no_file_may_give_is_refused_from_standard_input(given: str, what: str, cli: Command) -> None:
    words = ["profile", "add", "prod", "--uri", "https://h.example", "--user", "root", "--password-stdin"]
    outcome = cli(*words, input=given, status=3)
    assert f"the secret on standard input {what} (--password-stdin)" in outcome.stderr
    assert "hidden" not in outcome.stderr
    assert not cli.user_file.exists()


@pytest.mark.parametrize("named", ["--config", "MILVUS_PROFILES_FILE"])
def test_a_named_file_that_is_not_there_is_created_with_a_secret_and_after_a_test(
    cli: Command, project: Path, keyring_session: KeyringSession, milvus_auth: MilvusServer, named: str
) -> None:
    path = project / "new/conf.toml"
    words, env = (["--config", str(path)], {}) if named == "--config" else ([], {named: str(path)})
    address = ["--uri", milvus_auth.uri.replace("127.0.0.1", "localhost"), "--user", "root", "--password-stdin"]
    # The keyring is one for all tests, and another may have stored a password for this server.
    account = f"plain|localhost|{milvus_auth.port}|root"
    keyring_session.delete("milvus-profiles", account)
    for secret, status in (("wrong", 9), ("Milvus", 0)):
        outcome = cli(
            *words, "profile", "add", "a", *address, "--test", "--json", env=env, input=secret, keyring=keyring_session
        )
        assert (outcome.returncode, path.exists()) == (status, status == 0), outcome.stderr
        assert path.parent.exists() == path.exists()
        assert keyring_session.get("milvus-profiles", account) == (secret if status == 0 else None)
    assert cli(*words, "profile", "test", "a", env=env, keyring=keyring_session).returncode == 0
    # Others do not: it may be a typing error.
    missing = {"MILVUS_PROFILES_FILE": "missing.toml"}
    assert cli("profile", "list", env=missing, status=3).stdout == ""
    source = project / ".env"
    source.write_text("MILVUS_URI=https://h.example\n")
    cli("import", "--from", "dotenv", "--yes", env=missing, status=0)
    assert "h.example" in (project / "missing.toml").read_text()


def test_a_keyring_that_fails_leaves_no_file(cli: Command) -> None:
    outcome = cli(
        "profile", "add", "prod", "--uri", "https://h.example", "--user", "root", "--password-stdin", "--json",
        input=SECRET, status=4,
    )  # fmt: skip
    assert outcome.stdout == ""
    assert outcome.error["error"] == "secret"
    assert "--token-file" in outcome.error["hint"]
    assert "--token-env" in outcome.error["hint"]
    assert not cli.user_file.exists()
    assert SECRET not in outcome.stderr


def test_a_file_that_cannot_be_written_leaves_no_secret(cli: Command, keyring_session: KeyringSession) -> None:
    cli.own_file("[profiles.x\n")
    before = cli.user_file.read_text()
    cli(
        "profile", "add", "prod", "--uri", "https://rollback.example", "--user", "root", "--password-stdin",
        input=SECRET, keyring=keyring_session, status=3,
    )  # fmt: skip
    assert cli.user_file.read_text() == before
    assert keyring_session.get("milvus-profiles", "tls|rollback.example|443|root") is None


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["--uri", "https://h", "--user", "u", "--token-stdin"], "x"),
        (["--uri", "https://h", "--password-stdin"], "x"),
        (["--uri", "https://h", "--token-stdin", "--token-env", "X"], "x"),
        (["--uri", "https://h", "--host", "h"], None),
        (["--uri", "https://h", "--port", "1"], None),
        ([], None),
        (["--uri", "https://h", "--no-ssl", "--server-name", "x"], None),
        (["--uri", "https://h", "--token-command", "op 'read"], None),
        (["--uri", "./x.db", "--token-stdin"], "x"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(cli: Command, words: list[str], stdin: str | None) -> None:
    outcome = cli("profile", "add", "a", *words, input=stdin, status=2)
    assert outcome.stderr.startswith("error: ")
    assert not cli.user_file.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["bad alias", "--uri", "localhost"],
        ["a", "--uri", "https://root:hushhush@h"],
        ["a", "--uri", "https://h", "--no-ssl"],
        ["a", "--uri", "https://h", "--ca", "nowhere.pem"],
    ],
)
def test_values_that_make_no_profile_are_config_errors(cli: Command, words: list[str]) -> None:
    outcome = cli("profile", "add", *words, status=3)
    assert outcome.stderr.startswith("error: ")
    assert "hushhush" not in outcome.stderr
    assert not cli.user_file.exists()


def test_an_alias_that_exists_is_replaced_only_by_force(cli: Command) -> None:
    cli("profile", "add", "Prod-EU", "--uri", "https://one")
    outcome = cli("profile", "add", "prod_eu", "--uri", "https://two", status=3)
    assert "there is a profile 'Prod-EU' already" in outcome.stderr
    assert f"at {cli.user_file}:" in outcome.stderr
    assert cli("profile", "add", "prod_eu", "--uri", "https://two", "--force").returncode == 0
    assert [row["uri"] for row in cli("profile", "list", "--json").json] == ["https://two:443"]


def test_a_protected_profile_asks(cli: Command, project: Path) -> None:
    path = project / "milvus.toml"
    path.write_text('[profiles.prod]\nuri = "https://h"\nprotected = true\n')
    changes = (["remove", "prod"], ["add", "prod", "--uri", "https://x", "--force"], ["set", "prod", "uri=https://x"])
    for words in (*changes, ["rename", "prod", "x"]):
        refused = cli("profile", *words, status=1)
        assert "is protected" in refused.stderr
        cli.tty("profile", *words, answers=[("[y/N]", "n")], status=1)
        assert "[profiles.prod]" in path.read_text()
        assert "https://x" not in path.read_text()
    cli("profile", "set", "prod", "timeout=3", "--yes", status=0)
    assert cli.tty("profile", "remove", "prod", answers=[("[y/N]", "y")]).returncode == 0
    assert "prod" not in path.read_text()


def test_secret_set_status_and_delete(cli: Command, project: Path, keyring_session: KeyringSession) -> None:
    (project / "milvus.toml").write_text('[profiles.s]\nuri = "https://s.example"\nuser = "u"\n')
    missing = cli("secret", "status", "s", "--json", keyring=keyring_session, status=4)
    assert missing.json["present"] is False
    assert cli("secret", "set", "s", input=SECRET, keyring=keyring_session).returncode == 0
    assert keyring_session.get("milvus-profiles", "tls|s.example|443|u") == SECRET
    assert cli("secret", "status", "s", keyring=keyring_session).returncode == 0
    screen = cli.tty("secret", "set", "s", answers=[("Password of u", "other")], keyring=keyring_session, status=0)
    assert "other" not in screen.text
    assert keyring_session.get("milvus-profiles", "tls|s.example|443|u") == "other"
    assert cli("secret", "delete", "s", "--json", keyring=keyring_session).json["deleted"] is True
    assert cli("secret", "delete", "s", "--json", keyring=keyring_session).json["deleted"] is False


def test_secret_set_refuses_what_the_keyring_is_never_asked_for(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(
        '[profiles.plain]\nuri = "localhost"\n'
        '[profiles.env]\nuri = "localhost"\ntoken = { env = "X" }\n'
        '[profiles.lite]\nuri = "./x.db"\nuser = "u"\n'
    )
    for alias, status in (("plain", 3), ("env", 5), ("lite", 3)):  # the variable of an untrusted file is gated first
        outcome = cli("secret", "set", alias, input="x", status=status)
        assert "Traceback" not in outcome.stderr


def test_remove_takes_its_comment_and_its_secret_along_but_none_that_another_profile_uses(
    cli: Command, project: Path, keyring_session: KeyringSession
) -> None:
    path = project / "milvus.toml"
    path.write_text(
        '# the file\n\n# about a\n[profiles.a]\nuri = "https://r.example"\nuser = "u"\n\n'
        '# about b\n[profiles.b]\nuri = "https://shared.example"\nuser = "u"\n'
        '[profiles.c]\nuri = "https://SHARED.example:443/db"\nuser = "u"\n'
    )
    before = path.read_text()
    # Nothing is removed where one of the two cannot be.
    error = cli("profile", "remove", "a", "--with-secret", "--json", status=4).error
    assert "nothing was written" in error["message"]
    assert "leave --with-secret out" in error["hint"]
    assert path.read_text() == before
    after = path.read_text().replace('# about a\n[profiles.a]\nuri = "https://r.example"\nuser = "u"\n\n', "")
    for host in ("r.example", "shared.example"):
        keyring_session.set("milvus-profiles", f"tls|{host}|443|u", SECRET)
    cli("profile", "remove", "a", "--with-secret", keyring=keyring_session, status=0)
    assert path.read_text() == after
    assert entry(keyring_session, "r.example") is None
    outcome = cli("profile", "remove", "b", "--with-secret", keyring=keyring_session, status=0)
    assert "the keyring entry stays" in outcome.stderr
    assert entry(keyring_session, "shared.example") == SECRET


def test_a_file_that_cannot_be_written_gets_its_secret_back(
    cli: Command, project: Path, keyring_session: KeyringSession
) -> None:
    path = project / "milvus.toml"
    path.write_text('[profiles.a]\nuri = "https://back.example"\nuser = "u"\n[profiles.b]\nuri = "h"\n')
    before = path.read_text()
    keyring_session.set("milvus-profiles", "tls|back.example|443|u", SECRET)
    full = Command(["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *cli.program], cli.home, project)
    outcome = full.real("profile", "remove", "a", "--with-secret", keyring=keyring_session)
    assert outcome.returncode == 3, outcome.stderr
    assert path.read_text() == before
    assert entry(keyring_session, "back.example") == SECRET


# --- an entry of the keyring is an endpoint's and a user's ---


SHARED = """\
[profiles.one]
uri = "https://one.example"
user = "u"
[profiles.two]
uri = "https://two.example"
user = "u"
"""


def entry(session: KeyringSession, host: str) -> str | None:
    return session.get("milvus-profiles", f"tls|{host}|443|u")


def test_a_secret_that_another_profile_uses_is_replaced_only_after_a_word_about_it(
    cli: Command, keyring_session: KeyringSession
) -> None:
    cli.own_file(SHARED)
    words = ["profile", "add", "more", "--uri", "https://ONE.example/db", "--user", "u", "--password-stdin"]
    for host in ("one.example", "two.example"):
        keyring_session.set("milvus-profiles", f"tls|{host}|443|u", "old")
    same = cli(*words, input="old", keyring=keyring_session, status=0)
    assert "replaces" not in same.stderr
    other = cli(*words, "--force", input="new", keyring=keyring_session, status=0)
    assert "this replaces the secret in the keyring for tls|one.example|443|u, which one uses too" in other.stderr
    assert entry(keyring_session, "one.example") == "new"
    # One's own may change.
    assert "replaces" not in cli("secret", "set", "two", input="x", keyring=keyring_session, status=0).stderr
    assert "which more uses too" in cli("secret", "set", "one", input="x", keyring=keyring_session, status=0).stderr
    told = cli("secret", "delete", "more", keyring=keyring_session, status=0).stderr
    assert "this deletes the secret in the keyring for tls|one.example|443|u, which one uses too" in told
    assert cli("secret", "delete", "two", keyring=keyring_session, status=0).stderr == ""


def test_on_a_terminal_somebody_is_asked_before_another_profiles_secret_is_replaced(
    cli: Command, keyring_session: KeyringSession
) -> None:
    cli.own_file(SHARED)
    keyring_session.set("milvus-profiles", "tls|one.example|443|u", "old")
    before = cli.user_file.read_text()
    question = "one uses the secret in the keyring for tls|one.example|443|u too. Replace it?"
    words = ["profile", "add", "more", "--uri", "https://one.example", "--user", "u"]
    for answer, status in (("n", 1), ("y", 0)):
        answers = [("Password of u", "new"), (question, answer)]
        cli.tty(*words, answers=answers, keyring=keyring_session, columns=200, status=status)
        assert entry(keyring_session, "one.example") == ("old" if answer == "n" else "new")
        assert (cli.user_file.read_text() == before) == (answer == "n")
    shown = cli.tty("secret", "set", "one", answers=[("Password of u", "x"), ("more uses the secret", "n")],
                    keyring=keyring_session, columns=200, status=1)  # fmt: skip
    assert "was left as it is" in shown.text
    assert entry(keyring_session, "one.example") == "new"


def test_remove_says_that_the_secret_stays(cli: Command, keyring_session: KeyringSession) -> None:
    cli.own_file(SHARED + '[profiles.none]\nuri = "https://n.example"\n')
    outcome = cli("profile", "remove", "one", status=0)  # no keyring is asked
    assert (
        "what the keyring has for tls|one.example|443|u stays there; --with-secret deletes that too" in outcome.stderr
    )
    assert "keyring" not in cli("profile", "remove", "none", status=0).stderr


@pytest.mark.parametrize("change", ["uri=https://new.example", "ssl=false"])
def test_set_says_that_the_secret_of_the_old_address_does_not_follow(cli: Command, change: str) -> None:
    cli.own_file(SHARED.replace("https://one.example", "one.example:443").replace('"u"', '"u"\nssl = true', 1))
    told = cli("profile", "set", "one", change, status=0).stderr
    new = "plain|one.example|443|u" if change.startswith("ssl") else "tls|new.example|443|u"
    assert f"for tls|one.example|443|u and does not follow to {new}: `milvus-profiles secret set one`" in told
    assert cli("profile", "set", "one", "timeout=3", status=0).stderr == ""


def test_on_a_terminal_set_takes_the_secret_along(cli: Command, keyring_session: KeyringSession) -> None:
    cli.own_file(SHARED)
    for host in ("one.example", "two.example"):
        keyring_session.set("milvus-profiles", f"tls|{host}|443|u", host)
    keyring_session.set("milvus-profiles", "tls|taken.example|443|u", "taken")

    def lead(alias: str, host: str, answer: str) -> str:
        words = ("profile", "set", alias, f"uri=https://{host}")
        return cli.tty(*words, answers=[(f"Take it along to tls|{host}|443|u?", answer)],
                       keyring=keyring_session, columns=200, status=0).text  # fmt: skip

    assert "it does not follow: `milvus-profiles secret set one`" in lead("one", "n.example", "n")
    assert entry(keyring_session, "n.example") is None
    lead("one", "one.example", "n")
    assert "took its secret along" in lead("one", "new.example", "y")
    assert (entry(keyring_session, "new.example"), entry(keyring_session, "one.example")) == ("one.example", None)
    # What another profile uses stays there as well, and what is there is not replaced.
    cli("profile", "copy", "two", "twin")
    lead("two", "other.example", "y")
    assert entry(keyring_session, "other.example") == entry(keyring_session, "two.example") == "two.example"
    assert "which stays" in lead("two", "taken.example", "y")
    assert entry(keyring_session, "taken.example") == "taken"
    for host in ("new", "two", "other", "taken"):
        keyring_session.delete("milvus-profiles", f"tls|{host}.example|443|u")


def test_edit_says_which_secrets_do_not_follow(cli: Command, tmp_path: Path) -> None:
    cli.own_file(SHARED)
    editor = written(tmp_path / "editor", '#!/bin/sh\nsed -i s/one.example/uno.example/ "$1"\n', 0o755)
    told = cli.tty("profile", "edit", env={"EDITOR": str(editor)}, columns=250, status=0).text
    assert "for tls|one.example|443|u and does not follow to tls|uno.example|443|u" in told
    assert "two.example" not in told


def test_remove_of_what_the_environment_declares_says_which_variable(cli: Command) -> None:
    outcome = cli("profile", "remove", "ci", env={"MILVUS_PROFILES__CI__URI": "localhost"}, status=3)
    assert "unset MILVUS_PROFILES__CI__URI" in outcome.stderr


def test_add_warns_of_a_secret_that_would_be_refused(cli: Command, keyring_session: KeyringSession) -> None:
    words = ["profile", "add", "far", "--uri", "http://10.1.2.3:19530", "--user", "u", "--password-stdin"]
    outcome = cli(*words, input="x", keyring=keyring_session, status=0)
    assert "connecting will be refused" in outcome.stderr
    outcome = cli(*words, "--force", "--allow-insecure", input="x", keyring=keyring_session)
    assert outcome.stderr == ""


def test_add_says_when_another_layer_hides_the_profile(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "localhost"\n')
    outcome = cli("profile", "add", "a", "--uri", "elsewhere", "--user-file", status=0)
    assert "is hidden by" in outcome.stderr


# --- pinning a certificate ---


@pytest.fixture
def self_signed(start_milvus: StartMilvus, certificates: Certificates) -> MilvusServer:
    return start_milvus(auth=True, tls="server", identity=certificates.self_signed_server)


def test_a_certificate_is_shown_asked_about_and_pinned(
    cli: Command, self_signed: MilvusServer, keyring_session: KeyringSession
) -> None:
    words = ["profile", "add", "pinned", "--uri", self_signed.uri, "--user", "root", "--pin-certificate"]
    declined = cli.tty(*words, answers=[("Trust this certificate?", "n")], keyring=keyring_session, status=1)
    assert "SHA-256" in declined.text
    assert "self-signed" in declined.text
    assert "localhost" in declined.text
    assert not cli.user_file.exists()
    assert not cli.user_file.with_name("pinned.pem").exists()
    # Nothing stays behind either of an attempt that fails later.
    answers = [("Trust this certificate?", "y"), ("Password of root", "wrong")]
    cli.tty(*words, "--test", answers=answers, keyring=keyring_session, status=9)
    assert not cli.user_file.with_name("pinned.pem").exists()
    answers[1] = ("Password of root", "Milvus")
    cli.tty(*words, "--test", answers=answers, keyring=keyring_session, status=0)
    assert "BEGIN CERTIFICATE" in cli.user_file.with_name("pinned.pem").read_text()
    assert cli("profile", "test", "pinned", keyring=keyring_session).returncode == 0


def test_pinning_sets_the_name_that_the_certificate_has(
    cli: Command, project: Path, start_milvus: StartMilvus, certificates: Certificates
) -> None:
    server = start_milvus(tls="server", identity=certificates.other_host_server)
    words = ["profile", "add", "p", "--uri", server.uri, "--pin-certificate", "--project-file"]
    preview = cli(*words, "--dry-run", status=0)
    assert 'server_name = "other.example"' in preview.stdout
    assert not (project / "p.pem").exists()
    cli.tty(*words, answers=[("Trust this certificate?", "y")], status=0)
    assert 'ssl = {ca = "./p.pem", server_name = "other.example"}' in (project / "milvus.toml").read_text()
    assert cli("profile", "test", "p").returncode == 0


def test_pinning_without_a_terminal_or_without_tls(
    cli: Command, milvus_tls: MilvusServer, milvus_plain: MilvusServer
) -> None:
    alone = cli("profile", "add", "p", "--uri", milvus_tls.uri, "--pin-certificate", status=1)
    assert "SHA-256" in alone.stderr
    # What is asked about is shown, however quiet the rest is.
    quiet = cli("profile", "add", "p", "--uri", milvus_tls.uri, "--pin-certificate", "--quiet", status=1)
    assert "SHA-256" in quiet.stderr
    assert cli("profile", "add", "p", "--uri", milvus_plain.uri, "--pin-certificate").returncode == 2
    tls_to_plain = milvus_plain.uri.replace("http", "https")
    assert cli("profile", "add", "p", "--uri", tls_to_plain, "--pin-certificate").returncode == 7
    assert not cli.user_file.exists()
