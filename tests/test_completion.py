"""Completion of aliases, asked for as the shells' scripts ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_profiles.cli import completion
from milvus_profiles.cli.completion_scripts import SHELLS
from milvus_profiles.cli.internal import SYNONYMS
from milvus_profiles.cli.manual import GROUPS, PAGES
from milvus_profiles.cli.output_schemas import SCHEMAS
from milvus_profiles.config.fields import FIELDS, find_field
from milvus_profiles.interop.exports import FORMATS
from milvus_profiles.interop.imports import SOURCES
from tests.support.command import Command, Outcome, every_command, packages_of

FILE = '[profiles.prod]\nuri = "x"\n[profiles.prod-eu]\nuri = "y"\n[profiles.local]\nuri = "z"\n'


def bash(cli: Command, line: str, **env: str) -> list[str]:
    words = line.split(" ")
    request = {"_MILVUS_PROFILES_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    outcome = cli(env={**request, **env}, status=0)
    return outcome.stdout.split()


@pytest.mark.parametrize(
    "command",
    ["profile show", "secret set", "export --to go", "connect -a", "open", "watch --every 5"],
)
def test_aliases_complete_where_an_alias_stands(cli: Command, file: Path, command: str) -> None:
    assert bash(cli, f"milvus-profiles {command} pr") == ["prod", "prod-eu"]
    assert bash(cli, f"milvus-profiles {command} ") == ["prod", "prod-eu", "local"]


def test_several_aliases_complete_for_test_but_not_for_show(cli: Command, file: Path) -> None:
    assert bash(cli, "milvus-profiles profile test prod lo") == ["local"]
    assert bash(cli, "milvus-profiles profile show prod lo") == []


def test_the_value_of_profile_completes_and_that_of_config_counts(cli: Command, file: Path) -> None:
    assert bash(cli, "milvus-profiles --profile lo") == ["local"]
    other = file.with_name("other.toml")
    other.write_text("[profiles.elsewhere]\n")
    assert bash(cli, "milvus-profiles --config other.toml profile show ") == ["elsewhere"]
    assert bash(cli, "milvus-profiles --json profile show --explain l") == ["local"]


def test_environment_and_user_file_count(cli: Command, file: Path) -> None:
    cli.own_file("[profiles.mine]\n")
    found = bash(cli, "milvus-profiles profile show ", MILVUS_PROFILES__CI__URI="x", MILVUS_URI="y")
    assert found == ["prod", "prod-eu", "local", "mine", "default", "ci"]
    assert bash(cli, "milvus-profiles profile show c", MILVUS_PROFILES__PROD_EU__URI="x") == []


def test_a_broken_file_completes_nothing_and_says_nothing(cli: Command, file: Path) -> None:
    file.write_text("[[[")
    assert bash(cli, "milvus-profiles profile show ") == []


def test_commands_and_options_are_left_to_typer(cli: Command, file: Path) -> None:
    assert bash(cli, "milvus-profiles profile sh") == ["show"]
    assert "--explain" in bash(cli, "milvus-profiles profile show --ex")


def test_values_that_are_known_complete(cli: Command, file: Path) -> None:
    assert bash(cli, "mvp completion ") == list(SHELLS)
    assert bash(cli, "mvp completion z") == ["zsh"]
    commands = {name for titles in GROUPS[""].values() for name in titles}
    assert {*bash(cli, "mvp help ")} == commands
    assert bash(cli, "mvp help --json conf") == ["config"]
    assert bash(cli, "mvp help secret s") == ["set", "status"]
    assert bash(cli, "mvp help profile sh") == ["show"]
    assert bash(cli, "mvp help list ") == []
    assert bash(cli, "mvp config schema ") == ["file", *SCHEMAS]
    assert bash(cli, "mvp config schema secret-st") == ["secret-status"]


def test_each_argument_completes_or_is_free() -> None:
    """Whoever adds an argument says what completes it."""
    free = {"URI", "NEW", "[FILE]", "[FILE]...", "-- COMMAND...", "[PATH]"}
    for words, command in every_command():
        for one in command.params:
            if one.param_type_name == "argument" and one.metavar not in free:
                own = one._custom_shell_complete
                assert words in completion._ALIASES or own or words.endswith("add"), (words, one.metavar)


@pytest.mark.parametrize(("other", "right"), SYNONYMS.items())
def test_short_forms_complete_as_the_long_ones(cli: Command, file: Path, other: str, right: str) -> None:
    for before in ("mvp ", "mvp profile ", "mvp --json "):
        for rest in (" ", " p", " --", " --json ", " prod ", " --profile ", " --profile=lo"):
            assert bash(cli, before + other + rest) == bash(cli, before + right + rest), (before, rest)


def test_zsh_and_fish_are_answered_in_their_own_form(cli: Command, file: Path) -> None:
    def asked(shell: str, words: str, **more: str) -> Outcome:
        env = {"_MILVUS_PROFILES_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": f"milvus-profiles {words}"}
        return cli(env={**env, **more})

    assert asked("zsh", "profile show pr").stdout == '_arguments \'*: :(("prod"\n"prod-eu"))\'\n'
    assert asked("zsh", "set prod ssl.c").stdout == "compadd -S '' -- ssl.ca= ssl.cert=\n"
    both = asked("zsh", "--profile prod set p").stdout
    assert both.startswith("_arguments '*: :((\"prod\"\n\"prod-eu\"))'; compadd -S '' -- port= ")
    assert asked("zsh", "profile show nothing").stdout == "_files\n"
    got = asked("fish", "profile show ", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert got.stdout.split() == ["prod", "prod-eu", "local"]
    for words, status in (("profile show ", 0), ("profile show q", 1)):
        assert asked("fish", words, _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == status


def test_the_menu_of_commands_has_the_whole_of_each_summary(cli: Command, file: Path) -> None:
    asked = {"_MILVUS_PROFILES_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    for group, names in (("", ("list", "secret", "import")), ("secret ", ("set", "delete")), ("profile ", ("add",))):
        menu = cli(env={**asked, "_TYPER_COMPLETE_ARGS": f"milvus-profiles {group}"}, status=0).stdout
        for name in names:
            page = PAGES[f"{group}{name}".removeprefix("profile ")]
            assert f"\n{name}\t{page.summary}\n" in f"\n{menu}"


def test_formats_and_sources_complete_where_they_stand(cli: Command, file: Path) -> None:
    assert bash(cli, "milvus-profiles export prod --to ") == list(FORMATS)
    assert bash(cli, "milvus-profiles export --to d") == ["dotenv"]
    assert bash(cli, "milvus-profiles export --to = d") == ["dotenv"]
    assert bash(cli, "milvus-profiles import --from ") == list(SOURCES)
    assert bash(cli, "milvus-profiles import --from = m") == ["milvus-cli"]


def test_fields_complete_after_the_alias(cli: Command, file: Path) -> None:
    assert bash(cli, "milvus-profiles set prod time") == ["timeout="]
    assert bash(cli, "milvus-profiles profile set prod timeout = 5 ssl.c") == ["ssl.ca=", "ssl.cert="]
    tls = ["ssl", "ssl.ca", "ssl.cert", "ssl.key", "ssl.server_name"]
    assert bash(cli, "milvus-profiles unset prod ssl") == tls
    assert bash(cli, "milvus-profiles set prod timeout =") == []
    assert bash(cli, "milvus-profiles set prod timeout = t") == []
    # A literal secret is no argument.
    assert bash(cli, "milvus-profiles set prod token") == [
        f"token.{key}=" for key in ("keyring", "env", "file", "command", "pass_env")
    ]
    # An alias that may be left out.
    assert bash(cli, "milvus-profiles --profile prod set l") == ["local"]
    assert bash(cli, "milvus-profiles --profile prod set time") == ["timeout="]
    assert bash(cli, "milvus-profiles set time", MILVUS_PROFILE="prod") == ["timeout="]
    assert bash(cli, "milvus-profiles secret set prod time") == []


def test_the_names_that_complete_are_those_that_there_are(cli: Command, file: Path) -> None:
    leaves = {name: described.keys for name in FIELDS if (described := find_field((name,))) is not None}
    plain = {name for name in FIELDS if (one := find_field((name,))) and one.kind not in (None, "secret")}
    dotted = {f"{name}.{key}" for name, keys in leaves.items() for key in keys}
    assert sorted(bash(cli, "milvus-profiles set prod ")) == sorted(f"{name}=" for name in plain | dotted)
    assert sorted(bash(cli, "milvus-profiles unset prod ")) == sorted({*FIELDS} | dotted)
    assert tuple(SOURCES) == completion.SOURCES


def test_the_options_of_commands_that_take_aliases_are_known() -> None:
    """A value of one would be counted as a word else."""
    commands = dict(every_command())
    for path in completion._ALIASES:
        for one in commands[path].params:
            if one.param_type_name == "option" and not one.is_flag and not one.count:
                assert set(one.opts) <= completion._VALUED, (path, one.opts)


def test_aliases_are_answered_before_anything_heavy_is_imported(cli: Command, file: Path) -> None:
    heavy = {"typer", "pydantic", "grpc", "keyring", "tomlkit", "rich", "pydantic_settings"}
    for line in ("m profile show ", "m export a --to j", "m import --from a", "m set prod time"):
        env = {"_MILVUS_PROFILES_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        assert not packages_of(cli, "-m", "milvus_profiles", env=env) & heavy, line
