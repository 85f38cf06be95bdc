"""TAB in a hostile directory runs nothing and offers nothing hostile: real shells with the installed completion."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.files import written
from tests.support.requirements import need
from tests.support.shells import SHELLS, InteractiveShell

pytestmark = pytest.mark.security

GOOD = ["local", "prod", "prod-eu", "a.b_c"]
# Each begins with another letter, so that completing it is not ambiguous.  All of them leave a file behind if they are
# evaluated, put on the line as they are, or taken for a pattern.
EVIL = [
    "b$(touch evil)", "c`touch evil`", "d';touch evil;'", 'e";touch evil;"', "f;touch evil", "g|touch evil",
    "h\ntouch evil\n", "i(e:touch evil:)", "j))';touch evil;'((", 'k")) touch evil', "m>evil", "n&touch evil&",
    "q\\", "r*", "s:touch evil", "t{evil,b}", "u$((1))", "v[$(touch evil)]", "w\t$(touch evil)", "x\x1b]0;owned\x07",
    "$(touch evil)", "-z$(touch evil)", "=touch", "~root", "(touch evil)", "y\u202egnp", "--explain;touch evil",
    "a.", ".a", "a--b", "-a", "z" * 65,
]  # fmt: skip
DESCRIPTION = "$(touch evil) `touch evil` ';touch evil;' \";touch evil;\" \t(touch evil)"
PLACES = [
    "profile show ", "profile test ", "profile test local ", "profile remove ", "profile use ", "secret set ", "exec ",
    "export --to env ", "--profile ", "--profile=", "connect -a ", "connect --alias=", "--config ./milvus.toml exec ",
]  # fmt: skip


def declared(aliases: list[str]) -> str:
    table = f'uri = "http://h"\ndescription = {json.dumps(DESCRIPTION)}\n'
    return "".join(f"[profiles.{json.dumps(alias)}]\n{table}" for alias in aliases)


def files_below(directory: Path) -> set[str]:
    return {os.path.join(path, name) for path, _, names in os.walk(directory) for name in names}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, cli: Command, project: Path) -> Iterator[InteractiveShell]:
    need(request.param)
    (project / "milvus.toml").write_text(declared([*GOOD, *EVIL]))
    # What the fallback to the names of files offers.
    for name in ("1$(touch gone)", "1`touch gone`;touch gone", "1';touch gone;'"):
        (project / name).touch()
    with InteractiveShell(request.param, Path(cli.program[0]), cli.environment(), project) as opened:
        yield opened


def test_tab_offers_the_aliases_and_nothing_that_is_none(shell: InteractiveShell, project: Path) -> None:
    before = files_below(project)
    for place in PLACES:
        line = f"milvus-profiles {place}"
        words, _ = shell.press(f"{line}loc" if "local" not in place else f"{line}prod-")
        assert words == (f"{line}local" if "local" not in place else f"{line}prod-eu").split(" "), line
        assert files_below(project) == before, line
    for place in ("profile show ", "--profile=", "exec "):
        _, shown = shell.press(f"milvus-profiles {place}")
        assert "prod-eu" in shown
        assert "a.b_c" in shown
        assert "evil" not in shown
        assert files_below(project) == before, place


def test_tab_after_the_beginning_of_a_hostile_alias_adds_nothing(shell: InteractiveShell, project: Path) -> None:
    before = files_below(project)
    for letter in sorted({alias[0] for alias in EVIL if alias[0] in "bcdefghijkmnqrstuvwxyz"}):
        words, _ = shell.press(f"milvus-profiles profile show {letter}")
        # Where there is no alias, shells offer files; fish those that hold the letter anywhere.
        assert words in [["milvus-profiles", "profile", "show", word] for word in (letter, "milvus.toml")]
        assert files_below(project) == before, letter


TYPED = [
    "profile show $(touch evil", 'profile show "$(touch evil)', "profile show '$(touch evil)",
    "profile show `touch evil", "profile show \\$(touch evil)", "profile show x\\", "profile show #$(touch evil)",
    "--config '$(touch evil).toml' profile show ", "--config ~nobody/'`touch evil`' exec ",
    "--config=/dev/zero exec ", "exec $(", "profile show '", "profile show \"'\"'$(touch evil)'",
    "profile show pröd\u202e",
]  # fmt: skip


@pytest.mark.parametrize("typed", TYPED)
def test_what_is_typed_is_not_run_by_tab(shell: InteractiveShell, project: Path, typed: str) -> None:
    before = files_below(project)
    shell.press_only(f"milvus-profiles {typed}")
    assert files_below(project) == before


def test_what_typer_answers_runs_nothing_either(shell: InteractiveShell, project: Path) -> None:
    before = files_below(project)
    words, _ = shell.press("milvus-profiles profile sho")
    assert words == ["milvus-profiles", "profile", "show"]
    words, _ = shell.press("milvus-profiles profile show --expl")
    assert words == ["milvus-profiles", "profile", "show", "--explain"]
    shell.press_only("milvus-profiles profile ")
    shell.press_only("milvus-profiles profile add --")
    shell.press_only("milvus-profiles --version ")
    assert files_below(project) == before


OFFERED = [
    ("export prod --to dote", "x", "dotenv x"),
    ("export prod --to=k8", "x", "--to=k8s-secret x"),
    ("import --from zil", "x", "zilliz x"),
    ("import --from=milv", "x", "--from=milvus-cli x"),
    ("--profile=loc", "x", "--profile=local x"),
    ("--profile loc", "x", "local x"),
    ("list --profile=loc", "x", "--profile=local x"),
    # The value follows, with no space between.
    ("set prod call_t", "5", "call_timeout=5"),
    ("profile set prod timeout=5 ssl.serv", "h", "ssl.server_name=h"),
    ("set --profile prod call_t", "5", "call_timeout=5"),
    ("unset prod call_t", "x", "call_timeout x"),
    ("profile unset prod call_timeout ssl.serv", "x", "ssl.server_name x"),
    ("set loc", "x", "local x"),
    ("rm loc", "x", "local x"),
    ("get prod-", "x", "prod-eu x"),
    ("delete loc", "x", "local x"),
    ("profile rm loc", "x", "local x"),
    ("ls --profile=loc", "x", "--profile=local x"),
    ("ls --js", "x", "--json x"),
    ("rm prod --with-s", "x", "--with-secret x"),
    ("get prod --expl", "x", "--explain x"),
    ("completion fi", "x", "fish x"),
    ("help comp", "x", "completion x"),
    ("help secret stat", "x", "status x"),
    ("config schema secret-del", "x", "secret-delete x"),
    ("explain unr", "x", "unreachable x"),
]


def test_tab_offers_formats_sources_fields_and_profiles(shell: InteractiveShell) -> None:
    for program in ("milvus-profiles", "mvp"):
        for line, more, last in OFFERED:
            words, _ = shell.press(f"{program} {line}", more)
            assert " ".join(words).endswith(f" {last}"), (line, words)


def test_tab_in_the_value_of_a_field_offers_no_other_field(shell: InteractiveShell, project: Path) -> None:
    (project / "cert.pem").touch()
    for line in ("set prod ssl.ca=", "set prod ssl.ca=cer"):
        words, shown = shell.press(f"milvus-profiles {line}", "x")
        assert "call_timeout" not in " ".join(words) + shown, (line, shown)
        assert " ".join(words).count("ssl.ca") == 1, (line, words)


# Styles, options, aliases, keys: what a completion has no business to change.
_STATE = "{ zstyle -L; setopt; alias -L; bindkey; trap; print -r -- $fpath $path; }"


def test_the_script_of_zsh_changes_nothing_of_the_shell(cli: Command, project: Path) -> None:
    need("zsh")
    (project / "milvus.toml").write_text(declared(GOOD))
    shell = InteractiveShell("zsh", Path(cli.program[0]), cli.environment(), project)
    try:
        shell.run(f"zstyle ':completion:*' menu select; setopt extended_glob; {_STATE} > ~/before")
        for line in ("exec ", "set prod call_t", "--profile=", "profile sho"):
            shell.press_only(f"milvus-profiles {line}")
        shell.run(f"{_STATE} > ~/after")
    finally:
        shell.__exit__(None, None, None)
    before = (cli.home / "before").read_text()
    assert "zstyle ':completion:*' menu select" in before
    assert (cli.home / "after").read_text() == before


def test_the_printed_script_of_zsh_only_adds_itself(cli: Command) -> None:
    need("zsh")
    program = (
        f"autoload -Uz compinit; compinit -u -D; {_STATE} > ~/before\n"
        f'eval "$({cli.program[0]} completion zsh)"; {_STATE} > ~/after\n'
        "print ${_comps[milvus-profiles]} ${_comps[mvp]}"
    )
    done = Command(["zsh", "-f", "-c", program], cli.home, cli.cwd)(status=0)
    assert done.stdout == "_milvus_profiles_completion _milvus_profiles_completion\n", done.stderr
    assert (cli.home / "after").read_text() == (cli.home / "before").read_text()


def test_a_file_that_is_offered_instead_is_quoted(shell: InteractiveShell, project: Path) -> None:
    before = files_below(project)
    for letter in ("1$", "1`", "1';"):
        quoted = letter.replace("$", "\\$").replace("`", "\\`").replace("'", "\\'").replace(";", "\\;")
        words, _ = shell.press(f"milvus-profiles config validate {quoted}")
        assert words[:3] == ["milvus-profiles", "config", "validate"]
        assert words[3].startswith(letter)
        assert files_below(project) == before, letter


def test_a_directory_with_a_hostile_name_is_no_harm(shell: InteractiveShell, project: Path) -> None:
    directory = project / "$(touch evil) `touch evil`;'touch evil'"
    directory.mkdir()
    (directory / "milvus.toml").write_text(declared(["inside", "inside$(touch evil)"]))
    shell.run("cd '$(touch evil) `touch evil`'*")
    before = files_below(project)
    words, _ = shell.press("milvus-profiles profile show ins")
    assert words == ["milvus-profiles", "profile", "show", "inside"]
    assert files_below(project) == before


def test_a_fifo_or_a_device_in_place_of_the_file_does_not_hang_the_shell(
    shell: InteractiveShell, project: Path
) -> None:
    (project / "milvus.toml").unlink()
    os.mkfifo(project / "milvus.toml")
    words, _ = shell.press("milvus-profiles profile show loc")
    assert words == ["milvus-profiles", "profile", "show", "loc"]


# Each is run with what the user typed; the marker says so.
MARKING = '#!/bin/sh\n: > "$HOME/ran"\necho local; echo evil\n'


def plant(project: Path) -> list[str]:
    """Programs of our name in a hostile directory, and the words that name them."""
    (project / "x").mkdir()
    for name in ("milvus-profiles", "x/milvus-profiles", "env"):
        written(project / name, MARKING, 0o755)
    here = str(project)
    return ["./milvus-profiles", "./x/milvus-profiles", "x/milvus-profiles", f"{here}/milvus-profiles",
            "../project/x/milvus-profiles"]  # fmt: skip


def test_tab_after_a_repositorys_program_of_our_name_does_not_run_it(
    shell: InteractiveShell, cli: Command, project: Path
) -> None:
    named = plant(project)
    before = files_below(project)
    for program in named:
        for rest in ("profile show prod-", "profile sho", "profile show --expl", "--profile=prod-", ""):
            _, shown = shell.press(f"{program} {rest}")
            assert "evil" not in shown, (program, rest)
            assert not (cli.home / "ran").exists(), (program, rest)
    assert files_below(project) == before
    words, _ = shell.press("milvus-profiles profile show prod-")
    assert words[-1] == "prod-eu"


@pytest.mark.parametrize("entry", [".", "", "x", "x/..", "./x"])
def test_tab_runs_nothing_that_a_relative_entry_of_path_leads_to(
    shell: InteractiveShell, cli: Command, project: Path, entry: str
) -> None:
    plant(project)
    shell.run(f"set -x PATH '{entry}' $PATH" if shell.name == "fish" else f"PATH='{entry}':$PATH; hash -r")
    for program in ("milvus-profiles", "./milvus-profiles"):
        shell.press(f"{program} profile show prod-")
        assert not (cli.home / "ran").exists(), program


@pytest.mark.parametrize("name", SHELLS)
def test_a_function_or_an_alias_of_our_name_is_not_called_by_tab(cli: Command, project: Path, name: str) -> None:
    need(name)
    (project / "milvus.toml").write_text(declared(GOOD))
    with InteractiveShell(name, Path(cli.program[0]), cli.environment(), project) as opened:
        body = "function milvus-profiles; touch ~/ran; end" if name == "fish" else "milvus-profiles() { touch ~/ran; }"
        opened.run(body)
        words, _ = opened.press("milvus-profiles profile show prod-")
        assert words == ["milvus-profiles", "profile", "show", "prod-eu"]
        assert not (cli.home / "ran").exists()


@pytest.mark.parametrize("name", SHELLS)
def test_every_way_to_the_script_gives_the_same(cli: Command, name: str) -> None:
    need(name)
    installed = {"bash": ".bash_completions/milvus-profiles.sh", "zsh": ".zfunc/_milvus-profiles",
                 "fish": ".config/fish/completions/milvus-profiles.fish"}[name]  # fmt: skip
    words = f"{cli.program[0]} $WAY; true"
    calling = Command([name, "-c", words], cli.home, cli.cwd)
    done = calling(env={"WAY": "--install-completion"})
    assert (cli.home / installed).exists(), done.stderr
    script = (cli.home / installed).read_text()
    assert calling(env={"WAY": "--show-completion"}).stdout == script
    assert cli(env={"_MILVUS_PROFILES_COMPLETE": f"source_{name}"}).stdout == script
    printed = cli("completion", name, status=0).stdout
    assert "milvus-profiles" in printed
    assert "mvp" in printed
    wrong = cli("completion", "tcsh", status=2).stderr
    assert wrong.startswith("error: there is no completion for 'tcsh'\nhint: there is one for bash, zsh, fish")
    assert "$1 " not in script


@pytest.mark.parametrize("name", ["bash", "fish"])
def test_all_aliases_that_there_may_be_complete(cli: Command, project: Path, name: str) -> None:
    # Not zsh: what it evaluates grows with the square of what it is offered.
    need(name)
    aliases = [f"n{number:05}" for number in range(65_536)]
    text = "".join(f'[profiles.{alias}]\nuri="h"\n' for alias in aliases)
    (project / "milvus.toml").write_text(text + declared(EVIL))
    with InteractiveShell(name, Path(cli.program[0]), cli.environment(), project) as opened:
        words, _ = opened.press("milvus-profiles profile show n6553")
        assert words == ["milvus-profiles", "profile", "show", "n6553"]
        words, _ = opened.press("milvus-profiles profile show n65535")
        assert words == ["milvus-profiles", "profile", "show", "n65535"]


def test_only_a_request_for_candidates_is_answered_with_them(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text(declared(GOOD))
    request = {"COMP_WORDS": "milvus-profiles exec l", "COMP_CWORD": "2"}
    script = cli(env={**request, "_MILVUS_PROFILES_COMPLETE": "source_bash"})
    assert "complete -o default" in script.stdout
    for position in ("9" * 5000, "-1", "x", ""):
        outcome = cli(env={**request, "_MILVUS_PROFILES_COMPLETE": "complete_bash", "COMP_CWORD": position})
        assert "local" not in outcome.stdout
