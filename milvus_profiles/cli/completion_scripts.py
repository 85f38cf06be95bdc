"""``--install-completion`` and ``--show-completion``: the shells' side of completion.

Typer's script for bash runs the word on the line (``$1``): after ``./milvus-profiles`` that is whatever program the
directory holds.  The scripts here run the program that the shell finds by its name, and only where its path is
absolute: a ``.`` in PATH finds what somebody else put there.  PowerShell's is typer's; it runs the name.

Typer would write scripts, and the shell's start-up file, by overwriting them in place: a full disk leaves an empty
``.bashrc``.  Here they go through the one writer, and PowerShell's policy is not touched.
"""

from __future__ import annotations

import os
import sys

import typer

from ..errors import ConfigError, Location, UsageError
from ..files.paths import home_directory, home_fault
from .asking import confirm
from .completion import VARIABLE
from .output import answer, emit_json, note, shorten, warn
from .session import current

_PROGRAM = "milvus-profiles"
_SHORT = "mvp"  # the same program

# What they ask is typer's protocol, so that scripts which are installed already go on working.
_SCRIPTS = {
    "bash": f"""\
_milvus_profiles_completion() {{
    local IFS=$'\\n' program
    COMPREPLY=()
    program=$(type -P {_PROGRAM})
    [[ $program == /* ]] || return 0
    COMPREPLY=( $( COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD \\
                   {VARIABLE}=complete_bash "$program" ) )
    # The value of a field follows.
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    return 0
}}

complete -o default -F _milvus_profiles_completion {_PROGRAM} {_SHORT}""",
    "zsh": f"""\
#compdef {_PROGRAM} {_SHORT}

_milvus_profiles_completion() {{
  local program
  program=$(whence -p {_PROGRAM})
  [[ $program == /* ]] || return 1
  eval $(_TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {VARIABLE}=complete_zsh "$program")
}}

compdef _milvus_profiles_completion {_PROGRAM} {_SHORT}""",
    "fish": f"""\
function __milvus_profiles_completion
    set -l program (command --search {_PROGRAM})
    string match --quiet -- '/*' "$program[1]"; or return 1
    set -lx {VARIABLE} complete_fish
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx _TYPER_COMPLETE_ARGS (commandline --cut-at-cursor --current-process)
    $program[1]
end

for name in {_PROGRAM} {_SHORT}
    complete --command $name --no-files --arguments '(__milvus_profiles_completion get-args)' \\
        --condition '__milvus_profiles_completion is-args'
end""",
}


# Of each shell: where its script stands, below the home directory, and what its start-up file gets.
_PLACES = {
    "bash": (f".bash_completions/{_PROGRAM}.sh", ".bashrc", "source {}"),
    "zsh": (f".zfunc/_{_PROGRAM}", ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
    "fish": (f".config/fish/completions/{_PROGRAM}.fish", None, ""),
}


def show(wanted: bool) -> None:
    """Print the script of the shell that called."""
    if wanted:
        answer_script(None)
        raise typer.Exit


def answer_script(shell: str | None) -> None:
    """Print the script of a shell; None of the one that calls."""
    text = script(shell)
    if current().json:
        emit_json({"script": text})
    else:
        sys.stdout.write(text + "\n")


def answer_source() -> None:
    """Print the script that ``source_SHELL`` in the variable asks for; other requests are typer's to answer."""
    instruction, _, shell = os.environ.get(VARIABLE, "").partition("_")
    if instruction == "source" and shell in _SCRIPTS:
        sys.stdout.write(script(shell) + "\n")
        raise typer.Exit


def install(wanted: bool) -> None:
    """Write the script of the shell that called, and have its start-up file read it.

    Raises:
        ConfigError: there is no home directory, or a file cannot be written.
        UsageError: the shell is not one that this can be done for.
    """
    if not wanted:
        return
    home = home_directory(current().env)
    if home is None:
        reason, hint = home_fault(current().env) or ("there is no home directory", "set HOME")
        raise ConfigError(f"there is no place for completion: {reason}", hint=hint)
    shell = _shell()
    if shell not in _PLACES:
        raise UsageError(
            f"completion cannot be installed for {shell}",
            hint="put what `milvus-profiles --show-completion` prints where the shell starts from",
        )
    place, start_up, line = _PLACES[shell]
    path = os.path.join(home, *place.split("/"))
    if start_up is not None:
        from ..config.atomic import check_writable

        start_up = os.path.join(home, start_up)
        check_writable(start_up)
    # First the script: a start-up file that reads a file which is not there complains at each start.
    _write_script(path, f"{script(shell)}\n".encode())
    if start_up is not None:
        _add_line(start_up, line.format("'" + path.replace("'", "'\"'\"'") + "'"))
    answer({"shell": shell, "file": path}, f"completion for {shell} is installed in {shorten(path)}")
    note("it takes effect in a new shell")
    raise typer.Exit


def _write_script(path: str, content: bytes) -> None:
    from ..config.atomic import read_bytes, write_atomic

    before = read_bytes(path)
    if before == content:
        return
    if before and VARIABLE.encode() not in before:
        confirm(
            f"{shorten(path)} is no script of this program. Replace it?",
            alone=ConfigError(
                "is there already, and is no script of this program",
                hint="move it away, and try again",
                location=Location(path),
            ),
            declined="nothing was written",
        )
    if (told := write_atomic(path, content, new_mode=0o644)) is not None:
        warn(told)


def _add_line(path: str, line: str) -> None:
    from ..config.atomic import read_bytes, write_atomic
    from ..errors import EditConflictError

    before, added = read_bytes(path), os.fsencode(line)
    if added in (before or b"").splitlines():
        return
    gap = b"\n" if before and not before.endswith(b"\n") else b""

    def last_look() -> None:
        if read_bytes(path) != before:
            raise EditConflictError(
                "the file was saved by someone else meanwhile", hint="try again", location=Location(path)
            )

    told = write_atomic(path, (before or b"") + gap + added + b"\n", new_mode=0o644, last_look=last_look)
    if told is not None:
        warn(told)


SHELLS = (*_SCRIPTS, "powershell", "pwsh")


def script(shell: str | None = None) -> str:
    """The script of a shell, by default the one that calls.

    Raises:
        UsageError: which one calls cannot be found out.
    """
    shell = shell or _shell()
    if shell in _SCRIPTS:
        return _SCRIPTS[shell]
    from typer._completion_shared import get_completion_script

    return get_completion_script(prog_name=_PROGRAM, complete_var=VARIABLE, shell=shell)


def _shell() -> str:
    import shellingham  # type: ignore[import-untyped]

    try:
        name: str = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        raise UsageError("the shell that called is not known", hint="run this in the shell itself") from None
    return name
