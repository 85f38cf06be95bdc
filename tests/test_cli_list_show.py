"""`profile list`, `show`, `config` and `trust` as their users see them; nothing here connects."""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command

FILE = """\
default_profile = "prod"

[profiles.prod]
uri = "HTTPS://In03.Cloud.Example/analytics"
user = "root"

[profiles.lite]
uri = "./milvus.db"

[profiles.base]
timeout = 5

[profiles.gated]
uri = "localhost"
token = { env = "TEAM_TOKEN" }
"""


def test_list_json_has_the_documented_keys(cli: Command, file: Path) -> None:
    outcome = cli("profile", "list", "--json", status=0)
    assert outcome.stderr == ""
    usual = {"alias": "", "uri": None, "db_name": None, "tls": False, "auth": "none", "default": False, "origin": "",
             "trusted": False, "error": None, "description": None}  # fmt: skip
    uri = "https://in03.cloud.example:443"
    wanted: list[dict[str, Any]] = [
        {"alias": "prod", "origin": f"{file}:3", "uri": uri, "db_name": "analytics", "tls": True, "auth": "keyring",
         "default": True},
        {"alias": "lite", "origin": f"{file}:7", "uri": f"{file.parent}/milvus.db"},
        {"alias": "base", "origin": f"{file}:10"},
        {"alias": "gated", "origin": f"{file}:13", "uri": "http://localhost:19530", "auth": "env"},
    ]  # fmt: skip
    assert outcome.json == [usual | one for one in wanted]
    assert list(outcome.json[0]) == list(usual)


def test_list_of_nothing_says_what_to_do(cli: Command) -> None:
    outcome = cli("profile", "list", status=0)
    assert "no profiles yet" in outcome.stdout
    assert "profile add" in outcome.stderr
    assert cli("profile", "list", "--json").json == []


def test_list_shows_invalid_profiles_beside_valid_ones(cli: Command, project: Path) -> None:
    path = project / "milvus.toml"
    path.write_text('[profiles.good]\nuri = "localhost"\n\n[profiles.bad]\nurl = "localhost"\n')
    outcome = cli("profile", "list", "--json", status=0)
    good, bad = outcome.json
    assert good["error"] is None
    assert bad["error"] == {"code": "config", "location": f"{path}:5:1"}
    assert "invalid: unknown key 'url'" in cli("profile", "list").stdout


@pytest.mark.parametrize(("words", "env"), [([], {"NO_COLOR": "1"}), (["--no-color"], {}), ([], {"TERM": "dumb"})])
def test_colours_can_be_turned_off(cli: Command, file: Path, words: list[str], env: dict[str, str]) -> None:
    assert "\x1b[1m" in cli.tty("profile", "list").raw
    assert "\x1b[" not in cli.tty("profile", "list", *words, env=env).raw


def test_show_json_gives_values_with_origins(cli: Command, file: Path) -> None:
    outcome = cli("profile", "show", "--json", env={"MILVUS_PROFILES__PROD__TIMEOUT": "3"}, status=0)
    shown = outcome.json
    assert set(shown) == {"alias", "values", "overridden"}
    assert shown["alias"] == "prod"
    assert shown["values"]["uri"] == {"value": "https://in03.cloud.example:443", "origin": f"{file}:4:1"}
    assert shown["values"]["db_name"] == {"value": "analytics", "origin": f"{file}:4:1"}
    assert shown["values"]["timeout"] == {"value": 3.0, "origin": "MILVUS_PROFILES__PROD__TIMEOUT"}
    assert shown["overridden"] == []


def test_show_says_what_a_variable_overrides(cli: Command, file: Path) -> None:
    env = {"MILVUS_PROFILES__PROD__USER": "alice"}
    shown = cli("profile", "show", "prod", "--json", env=env).json
    assert shown["values"]["user"]["value"] == "alice"
    assert shown["overridden"] == [{"field": "user", "origin": f"{file}:5:1"}]
    explained = cli("profile", "show", "prod", "--explain", env=env).stdout
    assert "user from" in explained
    assert "MILVUS_PROFILES__PROD__USER" in explained


def test_explicit_name_beats_ambient_milvus_uri_and_explain_says_so(cli: Command, file: Path) -> None:
    env = {"MILVUS_URI": "http://elsewhere:19530"}
    assert cli("profile", "show", "--json", env=env).json["alias"] == "default"
    outcome = cli("profile", "show", "prod", "--explain", env=env)
    assert "selected because it was named" in outcome.stdout
    assert "MILVUS_URI declares it (default)" in outcome.stdout


def test_explain_names_variables_that_mean_nothing(cli: Command, file: Path) -> None:
    outcome = cli("profile", "show", "prod", "--explain", env={"MILVUS_TOKEN": "hushhush", "MILVUS_DB": "x"})
    assert "ignored, because MILVUS_URI is not set: MILVUS_TOKEN, MILVUS_DB" in outcome.stdout
    assert "hushhush" not in outcome.stdout + outcome.stderr


def test_unknown_alias_is_suggested(cli: Command, file: Path) -> None:
    outcome = cli("profile", "show", "prdo", "--json", status=3)
    assert outcome.stdout == ""
    assert outcome.error == {
        "error": "unknown_profile",
        "message": "there is no profile 'prdo'",
        "hint": "did you mean 'prod'?",
        "location": None,
    }


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "shwo"],
        ["profile", "list", "--jsno"],
        ["profile", "show", "a", "b"],
        ["nonsense"],
        ["profile", "add"],
        ["profile", "add", "x", "--port", "many"],
        ["--config", "a.toml", "profile", "list", "--config", "b.toml"],
    ],
)
def test_misuse_is_exit_status_2_with_one_clear_error(cli: Command, words: list[str]) -> None:
    outcome = cli(*words, status=2)
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert "Traceback" not in outcome.stderr
    assert cli(*words, "--json").error["error"] == "usage"


def test_no_command_shows_the_help(cli: Command) -> None:
    outcome = cli(status=2)
    assert "profile" in outcome.stderr
    assert "Usage: milvus-profiles" in outcome.stderr
    assert cli("--help").returncode == 0


BAD_FILES = {
    "broken TOML": b"[profiles.a]\nuri = localhost\n",
    "wrong root type": b"profiles = 3\n",
    "binary": bytes(range(256)) * 16,
    "deep nesting": b"x = " + b"[" * 200_000,
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_is_one_clear_error_with_its_place(cli: Command, project: Path, content: bytes) -> None:
    path = project / "milvus.toml"
    path.write_bytes(content)
    for words in (["profile", "list"], ["profile", "show", "a"], ["config", "validate"]):
        outcome = cli(*words, status=3)
        assert outcome.stdout == ""
        assert outcome.stderr.startswith("error: ")
        assert str(path) in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert len(outcome.stderr) < 1000
    error = cli("profile", "list", "--json").error
    assert error["error"] == "config"
    assert error["location"].startswith(str(path))
    assert path.read_bytes() == content


BAD_PROFILES = {
    "wrong type": 'timeout = "soon"',
    "unknown key": "timout = 3",
    "cycle": 'extends = "a"',
    "missing PEM": 'ssl = { ca = "nowhere.pem" }',
}


@pytest.mark.parametrize("line", BAD_PROFILES.values(), ids=BAD_PROFILES.keys())
def test_bad_profile_is_one_clear_error_with_its_place(cli: Command, project: Path, line: str) -> None:
    path = project / "conf.toml"
    path.write_text(f'[profiles.a]\nuri = "https://localhost/db"\nuser = "u"\n{line}\n')
    outcome = cli("--config", path, "profile", "show", "a", status=3)
    assert f"at {path}:" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert cli("--config", path, "profile", "list").returncode == 0


def test_config_validate_lists_every_finding(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(
        '[profiles.a]\nurl = "x"\n[profiles.b]\nuri = "x"\nport = 3\n[profiles.c]\nuri = "x"\n'
    )
    outcome = cli("config", "validate", status=3)
    assert outcome.stderr.count("error: ") == 2
    report = cli("config", "validate", "--json")
    assert report.stdout == ""
    assert [finding["error"] for finding in report.error["errors"]] == ["config", "config"]


def test_config_validate_of_named_files_looks_at_these_alone(cli: Command, project: Path, tmp_path: Path) -> None:
    """As pre-commit calls it: with the files that changed, wherever they are."""
    good, bad, broken = (project / name for name in ("good.toml", "bad.toml", "broken.toml"))
    good.write_text('[profiles.a]\nuri = "https://a.example"\nssl = { ca = "missing.pem" }\n')
    bad.write_text('[profiles.b]\nurl = "https://b.example"\ntimeout = "x"\n[profiles.c]\nport = true\n')
    broken.write_text("profiles = \n")
    (project / "milvus.toml").write_text("is not looked at")
    env = {"MILVUS_PROFILES__A__NOTHING": "neither are variables"}
    report = cli("config", "validate", good, "--json", env=env, status=0).json
    assert report == {"valid": True, "profiles": 1, "files": [str(good)]}
    missing = project / "missing.toml"
    outcome = cli("config", "validate", good, bad, broken, missing, "--json", env=env, status=3)
    places = [error["location"] for error in outcome.error["errors"]]
    assert places == [f"{bad}:3:11", f"{bad}:2:1", f"{bad}:5:8", f"{broken}:1:12", str(missing)]
    # Certificates of a project that nobody trusts are not opened; those of a file that is the user's own are.
    cli.own_file(good.read_text())
    assert "missing.pem" in cli("config", "validate", cli.user_file, status=3).stderr
    assert cli("config", "validate", good, "--config", bad, status=2).stderr.startswith("error: --config and files")


def test_config_validate_of_valid_files(cli: Command, file: Path) -> None:
    assert cli("config", "validate").stdout == "4 profiles: all valid\n"
    assert cli("config", "validate", "--json").json == {"valid": True, "profiles": 4, "files": [str(file)]}


def test_config_path_says_which_files_are_read(cli: Command, file: Path, home: Path) -> None:
    assert cli("config", "path", "--json").json == [
        {"role": "project", "path": str(file), "exists": True, "trusted": False, "target": True},
        {
            "role": "user",
            "path": str(home / ".config/milvus/milvus.toml"),
            "exists": False,
            "trusted": True,
            "target": False,
        },
    ]
    named = cli("config", "path", "--json", "--config", "other.toml").json
    assert [(row["role"], row["path"]) for row in named] == [("named", str(file.parent / "other.toml"))]


def is_trusted(cli: Command) -> bool:
    return bool(cli("profile", "list", "--json").json[0]["trusted"])


def test_trust_pins_the_content_and_untrust_forgets_it(cli: Command, file: Path, home: Path) -> None:
    first = cli("trust", status=0)
    assert '+ gated.token.env = "TEAM_TOKEN"' in first.stdout
    assert is_trusted(cli)
    state = home / ".local/state/milvus/trust.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert "already trusted" in cli("trust").stdout
    file.write_text(FILE.replace("TEAM_TOKEN", "HOME"))
    assert not is_trusted(cli)
    again = cli("trust", "--json", file).json
    assert again == {
        "file": str(file),
        "trusted": True,
        "databases": {},
        "changed": {"gated.token.env": ["TEAM_TOKEN", "HOME"]},
    }
    assert is_trusted(cli)
    assert cli("untrust").returncode == 0
    assert not is_trusted(cli)


def test_what_is_trusted_is_listed_and_forgotten_at_once(cli: Command, file: Path, tmp_path: Path) -> None:
    assert cli("trust", "--list").stdout == "no file is trusted\n"
    assert (cli("trust", "--list", "--json").json, cli("untrust", "--all").stdout) == ([], "no file was trusted\n")
    (other := tmp_path / "oth\x1ber" / "milvus.toml").parent.mkdir()
    other.write_text(FILE)
    for path in (file, other):
        cli("trust", path, status=0)
    file.write_text(FILE + "# more\n")
    cli("trust", status=0)
    other.write_text("[")
    listed = cli("trust", "--list", "--json", cwd=tmp_path).json
    rows = [{"file": str(file), "now": "trusted", "contents": 2}, {"file": str(other), "now": "changed", "contents": 1}]
    assert listed == sorted(rows, key=lambda row: str(row["file"]))
    other.unlink()
    shown = cli("trust", "--list").stdout
    assert "missing" in shown
    assert "\x1b" not in shown
    assert cli("trust", "--list", file).returncode == cli("untrust", "--all", file).returncode == 2
    assert [row["file"] for row in cli("untrust", "--all", "--json").json] == [row["file"] for row in listed]
    assert cli("trust", "--list", "--json").json == []
    assert not cli("profile", "list", "--json").json[0]["trusted"]


def test_trust_without_a_project_file(cli: Command) -> None:
    outcome = cli("trust", status=3)
    assert "there is no project file here" in outcome.stderr


@pytest.mark.parametrize("option", ["--config", "--profile"])
def test_an_empty_option_is_a_usage_error(cli: Command, option: str) -> None:
    result = cli(option, "", "profile", "list", status=2)
    assert f"{option} is empty" in result.stderr


def test_trust_without_a_file_is_about_the_one_that_config_names(cli: Command, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "a b.toml"
    other.write_text(FILE)
    assert cli("--config", other, "trust", "--json", status=0).json["file"] == str(other)
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(other)]
    cli("trust", status=0)
    assert cli("untrust", "--config", other, "--json", status=0).json["file"] == str(other)
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(file)]
    # One that is given beats it; and a variable that was set for another purpose chooses nothing.
    assert cli("--config", other, "trust", file, "--json", status=0).json["file"] == str(file)
    for word in ("trust", "untrust"):
        refused = cli(word, "--json", env={"MILVUS_PROFILES_FILE": str(other)}, status=2).error
        assert "MILVUS_PROFILES_FILE names the file that is read" in refused["message"]
        assert f"`milvus-profiles trust '{other}'`" in refused["hint"]
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(file)]


@pytest.mark.parametrize("words", [["trust", ""], ["untrust", ""], ["config", "validate", ""]])
def test_an_empty_path_is_that_of_no_file(cli: Command, file: Path, words: list[str]) -> None:
    assert cli(*words, "--json", status=3).error["message"] == "no file is named: the path is empty"


@pytest.mark.parametrize("word", ["trust", "config validate"])
def test_a_file_that_is_named_and_not_there_is_created_by_the_command_in_the_hint(cli: Command, word: str) -> None:
    path = cli.cwd / "no pe.toml"
    error = cli(*word.split(), "no pe.toml", "--json", status=3).error
    [pasted] = re.findall("`([^`]*)`", error["hint"])
    cli(*shlex.split(pasted.replace("ALIAS", "a").replace("URI", "h"))[1:], status=0)
    assert path.read_text().endswith('[profiles.a]\nuri = "h"\n')
