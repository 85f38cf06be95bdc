"""Remedies are for where the value stands: a variable, a file that was named, the file that is found."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.text import Standing
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.secret_service import KeyringSession


def hint(cli: Command, *words: str, env: Mapping[str, str | None]) -> str:
    """The remedy of the stage that fails."""
    report = cli(*words, "profile", "test", "--json", env=env).json[0]
    [found] = [stage["hint"] for stage in report["stages"] if stage["status"] == "failed"]
    return str(found)


def pasted(text: str) -> str:
    found = re.search("`([^`]*)`", text)
    assert found is not None, text
    return found[1]


def assigned(text: str, **values: Any) -> dict[str, str | None]:
    """The variables of the command in a hint, its placeholders filled in."""
    words = shlex.split(pasted(text))
    return {name: str(values.get(value, value)) for name, _, value in (word.partition("=") for word in words)}


def test_a_profile_of_the_environment_is_told_its_variables(
    cli: Command, milvus_tls: MilvusServer, certificates: Certificates
) -> None:
    host = milvus_tls.uri.removeprefix("https://")
    for name, prefix, more in (
        ("MILVUS_URI", "MILVUS_PROFILES__DEFAULT__", {}),
        ("MILVUS_URI", "MILVUS_PROFILES__MY_OWN__", {"MILVUS_CONN_ALIAS": "my-own"}),
        ("MILVUS_PROFILES__PROD_EU__URI", "MILVUS_PROFILES__PROD_EU__", {}),
    ):
        env: dict[str, str | None] = {name: f"http://{host}", **more}
        # Each hint is followed until it works.
        env |= (told := assigned(hint(cli, env=env)))
        assert told == {name: milvus_tls.uri}
        env |= (told := assigned(hint(cli, env=env), PATH=certificates.ca))
        assert told == {f"{prefix}SSL__CA": str(certificates.ca)}
        env |= {f"{prefix}USER": "root", f"{prefix}PASSWORD": "wrong"}
        assert hint(cli, env=env) == f"set the variable {prefix}PASSWORD to the right one"
        env |= {f"{prefix}PASSWORD": "Milvus", f"{prefix}DB_NAME": "defualt"}
        env |= (told := assigned(hint(cli, env=env)))
        assert told == {f"{prefix}DB_NAME": "default"}
        cli("profile", "test", env=env, status=0)


def test_a_variable_over_a_file_is_what_is_to_be_changed(cli: Command, milvus_tls: MilvusServer) -> None:
    cli.own_file(f'[profiles.a]\nuri = "{milvus_tls.uri}"\nproxy = "http://127.0.0.1:1"\n')
    plain = milvus_tls.uri.replace("https:", "http:")
    env: dict[str, str | None] = {"MILVUS_PROFILES__A__URI": plain, "MILVUS_PROFILES__A__PROXY": "http://127.0.0.1:2"}
    assert assigned(hint(cli, env=env)) == {"MILVUS_PROFILES__A__PROXY": "http://HOST:PORT"}
    env["MILVUS_PROFILES__A__PROXY"] = None
    assert pasted(hint(cli, env=env)) == "milvus-profiles profile set a proxy=http://HOST:PORT"
    cli("profile", "unset", "a", "proxy", status=0)
    assert assigned(hint(cli, env=env)) == {"MILVUS_PROFILES__A__URI": milvus_tls.uri}


@pytest.mark.parametrize("how", ["--config", "MILVUS_PROFILES_FILE"])
def test_a_named_file_is_named_in_the_command(
    cli: Command,
    project: Path,
    milvus_tls: MilvusServer,
    certificates: Certificates,
    keyring_session: KeyringSession,
    how: str,
) -> None:
    path = project / "a b.toml"
    words, env = (("--config", str(path)), {}) if how == "--config" else ((), {how: str(path)})
    missing = cli(*words, "profile", "list", env=env, status=3).stderr
    cli(*shlex.split(pasted(missing).replace("ALIAS", "a").replace("URI", milvus_tls.uri))[1:], status=0)
    fix = hint(cli, *words, env=env)
    assert pasted(fix).startswith(f"milvus-profiles --config '{path}' profile set a ")
    cli(*shlex.split(pasted(fix).replace("PATH", str(certificates.ca)))[1:], status=0)
    assert f"milvus-profiles --config '{path}' secret set a" in hint(cli, *words, env=env)
    path.write_text(f'[profiles.a]\nuri = "https://h{os.urandom(4).hex()}.example"\nuser = "root"\n')
    wanting = cli(*words, "exec", "a", "true", env=env, keyring=keyring_session, status=4).stderr
    assert pasted(wanting) == f"milvus-profiles --config '{path}' secret set a"
    path.write_text("")
    unknown = cli(*words, "profile", "show", env=env, status=3).stderr
    assert pasted(unknown) == f"milvus-profiles --config '{path}' profile add ALIAS --uri URI"


def test_addresses_that_mean_nothing_are_named_where_there_are_no_profiles(cli: Command) -> None:
    env = {"MILVUS_URL": "http://u", "MILVUS_HOST": "h", "MILVUS_ADDRESS": "a", "MILVUS_PORT": "1"}
    said = "MILVUS_ADDRESS and MILVUS_URL and MILVUS_HOST mean nothing here: set MILVUS_URI"
    for words in (["profile", "test"], ["profile", "show"], ["exec", "prod", "true"], ["profile", "show", "prod"]):
        assert said in cli(*words, env=env, status=3).stderr, words
    assert said in cli("profile", "list", env=env, status=0).stderr
    assert "MILVUS_HOST means nothing here" in cli("profile", "test", env={"MILVUS_HOST": "h"}, status=3).stderr
    for program in (mp.load(env=env).select, mp.load(env=env).connect):
        with pytest.raises(mp.UnknownProfileError) as caught:
            program()
        assert said in (caught.value.hint or "")
    # Where there are profiles they are of no interest, and doctor tells them.
    cli.own_file('[profiles.a]\nuri = "http://127.0.0.1:1"\n')
    assert "MILVUS_HOST" not in cli("profile", "show", "nobody", env=env, status=3).stderr


def test_where_it_stands_makes_no_profile_another_one(tmp_path: Path) -> None:
    (tmp_path / "milvus.toml").write_text('[profiles.a]\nuri = "https://h.example"\n')
    named = mp.load(tmp_path / "milvus.toml", env={})["a"]
    declared = mp.load(env={"MILVUS_PROFILES__A__URI": "https://h.example"}, cwd=tmp_path)["a"]
    assert named == declared == mp.Profile(alias="a", uri="https://h.example")
    assert named.standing.file != declared.standing.file
    assert "standing" not in repr(named) + str(named.model_dump())


def test_values_are_quoted_for_the_shell() -> None:
    standing = Standing("/a b/m.toml", None, {"uri": "MILVUS_URI"})
    assert standing.change("x", "uri=http://h/$(id)", "ssl.ca=a b") == (
        "`MILVUS_URI='http://h/$(id)'`, then `milvus-profiles --config '/a b/m.toml' profile set x 'ssl.ca=a b'`"
    )
    assert standing.unset("x", "uri") == "`unset MILVUS_URI`"
    assert Standing(prefix="MILVUS_PROFILES__X__").change("x", "ssl.ca=P", "ssl.key=K") == (
        "`MILVUS_PROFILES__X__SSL__CA=P MILVUS_PROFILES__X__SSL__KEY=K`"
    )


def remedy(connect: Callable[[], object]) -> str:
    with pytest.raises(mp.MilvusProfilesError) as caught:
        connect()
    return caught.value.hint or ""


def test_what_the_call_gave_is_changed_in_the_call(tmp_path: Path, milvus_tls: MilvusServer) -> None:
    plain = milvus_tls.uri.replace("https:", "http:")
    file = tmp_path / "milvus.toml"
    written(file, f'[profiles.a]\nuri = "{plain}"\n[profiles.b]\nuri = "https://h.example"\ntoken = "t"\n')
    profiles = mp.load(file, env={"HOME": str(tmp_path)})
    assert f"--config {file} profile set a uri={milvus_tls.uri}`" in remedy(lambda: profiles.connect("a"))
    made = mp.Profile(alias="mine", uri=plain)
    for connect in (
        lambda: profiles.connect("a", uri=plain),
        lambda: mp.connect(uri=plain),
        lambda: mp.connect(made),
        made.connect,
    ):
        assert remedy(connect) == f"use https://: connect with uri={milvus_tls.uri}"
    # A secret in plaintext.
    assert "`milvus-profiles" not in remedy(lambda: mp.connect(uri="h.example", token="t"))
    assert remedy(lambda: mp.connect(uri="h.example", token="t")).endswith("connect with allow_insecure=True")


def test_what_an_option_gave_is_given_otherwise(
    cli: Command, milvus_tls: MilvusServer, milvus_auth: MilvusServer
) -> None:
    def hint_of(*words: str) -> str:
        report = cli("profile", "add", "new", *words, "--test", "--json").json
        [found] = [stage["hint"] for stage in report[0]["stages"] if stage["status"] == "failed"]
        return str(found)

    plain = milvus_tls.uri.replace("https:", "http:")
    assert hint_of("--uri", plain) == f"use https://: give `--uri {milvus_tls.uri}`"
    assert "give `--ca PATH`" in hint_of("--uri", milvus_tls.uri)
    assert hint_of("--uri", milvus_auth.uri) == "give --user and --password-stdin, or --token-stdin"


def test_what_a_shell_gave_for_a_file_is_named_in_no_command(cli: Command, milvus_tls: MilvusServer) -> None:
    plain = milvus_tls.uri.replace("https:", "http:")
    found = hint(cli, "--config", "/dev/null", env={"MILVUS_URI": plain})
    assert found == f"use https://: `MILVUS_URI={milvus_tls.uri}`"
    assert "/dev/null" not in cli("--config", "/dev/null", "profile", "show", status=3).stderr
    assert "/dev/null" not in cli("--config", "/dev/null", "profile", "list", status=0).stderr
    told = Standing(None, "/dev/fd/63")
    assert told.change("a", "uri=h") == "write uri=h where /dev/fd/63 comes from"
    assert told.unset("a", "ssl") == "remove ssl where /dev/fd/63 comes from"


def test_a_command_that_ends_a_refused_edit_names_the_file(cli: Command, project: Path) -> None:
    path = project / "a b.toml"
    path.write_text('[profiles.a]\nuri = "h"\nuser = "x"\n[profiles.b]\nextends = "a"\n')
    for words, ended in (
        (("remove", "a"), "profile unset b extends"),
        (("rename", "a", "b"), "profile remove b"),
        (("copy", "a", "b"), "profile remove b"),
        (("set", "a", "user.x=1"), ""),
    ):
        told = cli("--config", path, "profile", *words, status=3).stderr
        if ended:
            assert pasted(told) == f"milvus-profiles --config '{path}' {ended}", words


def test_so_does_the_command_of_an_export(cli: Command, project: Path) -> None:
    path = project / "a b.toml"
    path.write_text('[profiles.a]\nuri = "./m.db"\n')
    told = cli("--config", path, "export", "a", "--to", "java", status=3).stderr
    assert pasted(told) == f"milvus-profiles --config '{path}' exec a -- COMMAND"


def test_what_is_wrong_with_a_value_is_told_where_it_stands(cli: Command, project: Path) -> None:
    family: dict[str, str | None] = {"MILVUS_URI": "http://h"}
    assert hint(cli, env=family | {"MILVUS_TOKEN": "a\nb"}) == "set MILVUS_TOKEN to the right one"
    assert hint(cli, env=family | {"MILVUS_USER": "a:b"}).endswith(": `MILVUS_USER=NAME`")
    assert hint(cli, env={"MILVUS_PROFILES__A__URI": "h", "MILVUS_PROFILES__A__TIMEOUT": "-1"}) == (
        "correct it: `MILVUS_PROFILES__A__TIMEOUT=VALUE`"
    )
    assert remedy(lambda: mp.connect(uri="http://h", timeout=-1)) == "correct it: connect with timeout=VALUE"
    assert remedy(lambda: mp.connect(uri="http://h", token="a\nb")) == "give another token"
    assert remedy(lambda: mp.connect(uri="m.db", ssl=True)) == "take ssl away: connect without ssl="
    assert "hint: give another one\n" in cli("add", "a", "h", "--ca", "missing", status=3).stderr
    assert "give the variable such" in cli("test", env={"MILVUS_PROFILES__A__TIMEOUT": "x"}, status=3).stderr


@pytest.mark.parametrize("fields", ['token = "canary"', 'user = "root"\npassword = "canary"'])
def test_the_way_of_a_literal_into_the_keyring_can_be_pasted(
    cli: Command, project: Path, keyring_session: KeyringSession, fields: str
) -> None:
    text = f'[profiles.p]\nuri = "https://h{os.urandom(4).hex()}.example"\n{fields}\n'
    written(project / "milvus.toml", text)
    cli("trust", project / "milvus.toml", status=0)
    told = [
        tracked(cli)["hint"],
        cli("config", "validate", status=0).stderr,
        cli("secret", "set", "p", status=3).stderr,
        cli("profile", "set", "p", f"{fields.split()[-3]}=x", status=2).stderr,
    ]
    [commands] = {tuple(re.findall("`(milvus-profiles [^`]*)`", each)) for each in told}
    for command in commands:
        cli(*shlex.split(command)[1:], keyring=keyring_session, input="Milvus\n", status=0)
    assert "canary" not in (project / "milvus.toml").read_text()
    assert cli("secret", "status", "p", "--json", keyring=keyring_session, status=0).json["present"]
    assert tracked(cli)["status"] == "ok"


def tracked(cli: Command) -> dict[str, str]:
    """What doctor says of secrets in files."""
    found: list[dict[str, str]] = cli("doctor", "--json").json["findings"]
    return next(one for one in found if one["name"] == "tracked")
