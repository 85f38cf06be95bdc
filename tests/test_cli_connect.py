"""`connect` as the Milvus CLI documents it, against real servers."""

from __future__ import annotations

import pytest

from milvus_profiles.tomltext.parser import loads
from tests.support.command import Command
from tests.support.faults import refused_port
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession
from tests.test_hygiene import CANARY, leaks


def selected(cli: Command) -> str | None:
    return next((row["alias"] for row in cli("profile", "list", "--json").json if row["default"]), None)


def test_it_checks_the_server_stores_the_alias_and_selects_it(cli: Command, milvus_plain: MilvusServer) -> None:
    outcome = cli("connect", "-h", "127.0.0.1", "-p", str(milvus_plain.port), "-a", "mine", status=0)
    assert f"connected to {milvus_plain.uri}: 'mine' is selected" in outcome.stdout
    text = cli.user_file.read_text()
    assert 'default_profile = "mine"' in text
    assert f'[profiles.mine]\nhost = "127.0.0.1"\nport = {milvus_plain.port}\n' in text
    # The long options say the same, and say it once.
    again = cli("connect", "--host", "127.0.0.1", "--port", str(milvus_plain.port), "--alias", "MINE", "--json")
    assert again.json == {
        "alias": "mine",
        "uri": milvus_plain.uri,
        "file": str(cli.user_file),
        "selected": True,
        "hidden_by": None,
        "secret_stored": False,
    }
    assert cli.user_file.read_text() == text


def test_the_defaults_are_those_of_the_documentation(cli: Command) -> None:
    with refused_port() as port:
        outcome = cli("connect", "-p", str(port), status=6)
        assert f"127.0.0.1:{port}" in outcome.stdout
    assert not cli.user_file.exists()
    text = cli("connect", "--help").stdout
    for words in ("-h, --host", "-p, --port", "-a, --alias", "-D, --disconnect", "127.0.0.1", "19530", "else default"):
        assert words in text


def test_an_alias_that_exists_is_checked_and_selected_unchanged(cli: Command, milvus_plain: MilvusServer) -> None:
    cli.own_file(
        f'# mine\n[profiles.default]\nuri = "{milvus_plain.uri}"\ntimeout = 7 # s\n'
        '[profiles.gone]\nuri = "127.0.0.1:1"\n'
    )
    before = cli.user_file.read_text()
    assert cli("connect").returncode == 0
    after = cli.user_file.read_text()
    assert loads(after) == loads(before) | {"default_profile": "default"}
    assert "timeout = 7 # s" in after
    cli("connect", "-a", "gone", status=6)
    assert cli.user_file.read_text() == after


def test_another_address_needs_force(cli: Command, milvus_plain: MilvusServer, milvus_228: MilvusServer) -> None:
    port, other = str(milvus_plain.port), str(milvus_228.port)
    assert cli("connect", "-p", port).returncode == 0
    refused = cli("connect", "-p", other, "--json", status=3)
    assert "--force" in refused.error["hint"]
    assert cli("connect", "-p", port, "-u", "someone").returncode == 3
    assert loads(cli.user_file.read_text())["profiles"]["default"]["port"] == milvus_plain.port
    assert cli("connect", "-p", other, "--force").returncode == 0
    assert loads(cli.user_file.read_text())["profiles"]["default"]["port"] == milvus_228.port
    # What the environment declares, no file can change.
    env = {"MILVUS_URI": milvus_plain.uri}
    declared = cli("connect", "-a", "envy", "-p", other, "--force", env={**env, "MILVUS_CONN_ALIAS": "envy"}, status=3)
    assert "environment" in declared.stderr


def test_a_protected_profile_is_not_replaced(cli: Command, milvus_plain: MilvusServer) -> None:
    cli.own_file('[profiles.default]\nuri = "127.0.0.1:1"\nprotected = true\n')
    before = cli.user_file.read_text()
    assert cli("connect", "-p", str(milvus_plain.port), "--force").returncode == 1
    assert cli.user_file.read_text() == before


def test_the_password_goes_into_the_keyring_once_the_server_took_it(
    cli: Command, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    account = f"plain|127.0.0.2|{milvus_auth.port}|root"  # an account that no other test has
    words = ["connect", "-h", "127.0.0.2", "-p", str(milvus_auth.port), "-u", "root", "--password-stdin"]
    wrong = cli(*words, input=f"{CANARY}\n", keyring=keyring_session, status=9)
    assert keyring_session.get("milvus-profiles", account) is None
    assert not cli.user_file.exists()
    assert not leaks(wrong.stdout + wrong.stderr)
    cli(*words, input="Milvus\n", keyring=keyring_session, status=0)
    assert keyring_session.get("milvus-profiles", account) == "Milvus"
    assert loads(cli.user_file.read_text())["profiles"]["default"].keys() == {"host", "port", "user"}
    assert cli("connect", keyring=keyring_session).returncode == 0
    # Once more with a password: the entry is replaced only by one that the server takes.
    assert cli("connect", "--password-stdin", input="wrong\n", keyring=keyring_session).returncode == 9
    assert keyring_session.get("milvus-profiles", account) == "Milvus"


def test_on_a_terminal_the_password_is_asked_for(
    cli: Command, milvus_auth: MilvusServer, keyring_session: KeyringSession
) -> None:
    words = ["connect", "-h", "localhost", "-p", str(milvus_auth.port), "-u", "root", "-a", "asked"]
    screen = cli.tty(*words, answers=[("Password of root", "Milvus")], keyring=keyring_session, status=0)
    assert "Milvus\n" not in screen.text
    assert keyring_session.get("milvus-profiles", f"plain|localhost|{milvus_auth.port}|root") == "Milvus"


def test_disconnect_unselects_and_keeps_the_alias(cli: Command, milvus_plain: MilvusServer) -> None:
    cli("profile", "add", "first", "--uri", "127.0.0.1:1")
    cli("connect", "-p", str(milvus_plain.port), "-a", "second")
    assert selected(cli) == "second"
    other = cli("connect", "-D", "-a", "first")
    assert (other.returncode, selected(cli)) == (0, "second")
    assert "is not the selected profile" in other.stdout
    outcome = cli("connect", "-D", status=0)
    assert "'second' is not selected any more" in outcome.stdout
    assert selected(cli) is None
    assert "second" in loads(cli.user_file.read_text())["profiles"]
    assert cli("connect", "--disconnect", "--json").json["disconnected"] is False
    # It counts as a selection: `use -` goes back to it.
    assert cli("profile", "use", "-").returncode == 0
    assert selected(cli) == "second"


def test_what_hides_the_selection_is_said(cli: Command, milvus_plain: MilvusServer) -> None:
    (cli.cwd / "milvus.toml").write_text('default_profile = "ours"\n[profiles.ours]\nuri = "127.0.0.1:1"\n')
    outcome = cli("connect", "-p", str(milvus_plain.port), "-a", "mine", status=0)
    assert "something stronger hides it" in outcome.stderr
    assert "mine" not in (cli.cwd / "milvus.toml").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["-D", "-h", "x"], ["-D", "--force"], ["-D", "--password-stdin"], ["--password-stdin"], ["-p", "0"],
        ["-p", "x"], ["-h", "http://x"], ["-h", "a b"], ["-a", "-x-"], ["-a", "a b"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_options_change_nothing(cli: Command, words: list[str]) -> None:
    outcome = cli("connect", *words, input="x\n")
    assert outcome.returncode in (2, 3)
    assert outcome.stdout == ""
    assert not cli.user_file.exists()


def test_a_named_file_takes_both(cli: Command, milvus_plain: MilvusServer) -> None:
    cli("--config", "own.toml", "connect", "-p", str(milvus_plain.port), status=3)
    (cli.cwd / "own.toml").write_text("")
    assert cli("--config", "own.toml", "connect", "-p", str(milvus_plain.port)).returncode == 0
    assert loads((cli.cwd / "own.toml").read_text())["default_profile"] == "default"
    assert not cli.user_file.exists()
