"""``completion | version | help``: about the program itself."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Context

from ...errors import UsageError
from ..completion_scripts import SHELLS, answer_script
from ..manual import GROUPS
from ..manual_pages import PAGES
from ..options import begun
from ..output import print_version
from ..session import NAME

__all__ = ["completion", "help_of", "version"]


def _commands(ctx: Context, incomplete: str) -> list[tuple[str, str]]:
    """The commands whose help may be asked for, after the words that stand there."""
    path = " ".join([*(ctx.params.get("words") or [])])
    prefix = "" if path in ("", "profile") else f"{path} "
    names = [name for titles in (GROUPS.get(path) or {}).values() for name in titles]
    return [(name, PAGES[prefix + name].summary) for name in names if name.startswith(incomplete)]


def version() -> None:
    """Print the version."""
    print_version()


def completion(
    shell: Annotated[
        str | None,
        Argument(metavar="[SHELL]", help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}.", autocompletion=begun(SHELLS)),
    ] = None,
) -> None:
    """Print the completion of a shell, by default the one that calls: `eval "$(milvus-profiles completion bash)"`."""
    if shell is not None and shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell[:64]!a}", hint=f"there is one for {', '.join(SHELLS)}")
    answer_script(shell)


def help_of(
    words: Annotated[
        list[str] | None,
        Argument(metavar="[COMMAND]", help="The command; default: all of them.", autocompletion=_commands),
    ] = None,
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
