"""``completion | version | help``: about the program itself."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Argument

from ...errors import UsageError
from ..completion_scripts import SHELLS, script
from ..output import print_version
from ..session import NAME

__all__ = ["completion", "help_of", "version"]


def version() -> None:
    """Print the version."""
    print_version()


def completion(
    shell: Annotated[str | None, Argument(metavar="[SHELL]", help="bash, zsh, fish, powershell or pwsh.")] = None,
) -> None:
    """Print the completion of a shell, by default the one that calls: `eval "$(milvus-profiles completion bash)"`."""
    if shell is not None and shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell[:64]!a}", hint=f"there is one for {', '.join(SHELLS)}")
    sys.stdout.write(f"{script(shell)}\n")


def help_of(
    words: Annotated[list[str] | None, Argument(metavar="[COMMAND]", help="The command; default: all of them.")] = None,
) -> None:
    """Print the help of a command."""
    from typer.main import get_command

    from ..app import application

    words = words or []
    asked = [*words, "--help"]
    whole = found = get_command(application(asked))
    for place, word in enumerate(words):
        if (below := getattr(found, "commands", None)) is None:
            name = " ".join(words[:place])
            raise UsageError(f"{name} has no commands of its own", hint=f"`{NAME} help {name}` is about it")
        if (found := below.get(word)) is None:
            break  # which the parser of options says
    whole.main(args=asked, prog_name=NAME, standalone_mode=False)
