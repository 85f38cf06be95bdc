"""``doctor | explain | completion | version | help``: about the program itself, and what it says."""

from __future__ import annotations

import datetime as dt
import sys

import typer
from typer import Argument, Context

from ...config.locations import current_directory
from ...errors import UsageError
from ...masked import as_given
from ...names import suggest
from .. import keyring_access
from ..completion_scripts import SHELLS, answer_script
from ..help import Explanation, every
from ..manual import GROUPS, PAGES
from ..options import begun
from ..output import answer, console_of, emit_json, note, say, table
from ..session import NAME, current

# What is no error's, or has more reasons than one.
_NO_ERROR = {
    0: "0 says that all went well",
    126: "`exec` ends with 126 where the program is there and cannot be run, else as the program does",
    127: "`exec` ends with 127 where the program is not found, else as the program does",
    130: "130 says that it was interrupted, by Ctrl+C",
    141: "141 says that whoever read the output went away, as `head` does",
}


def meant(word: str) -> list[Explanation]:
    """The pages that somebody asks for by a code, the name of a class, or an exit status."""
    pages = every()
    if word.isdecimal() and len(word) <= len("255"):
        status = int(word)
        if found := [page for page in pages if page.names(status)]:
            return found
        hint = _NO_ERROR.get(status, f"`{NAME} explain` lists them")
        raise UsageError(f"no error has the exit status {status}", hint=hint)
    names = {page.code: page for page in pages}
    names |= {one.__name__: page for page in pages for one in page.classes}
    folded = {name.lower(): page for name, page in names.items()}
    if (page := folded.get(word.lower().replace("-", "_"))) is not None:
        return [page]
    near = suggest(word, names)
    raise UsageError(
        f"{as_given(word)!a} is not the code of an error, nor a class or an exit status of one",
        hint=f"did you mean {near}?" if near else f"`{NAME} explain` lists them",
    )


_WIDEST = 100
"""Columns in which text is still read with ease."""


def _offered(incomplete: str) -> list[tuple[str, str]]:
    return [(page.code, page.title) for page in every() if page.code.startswith(incomplete.lower())]


def explain(
    what: str | None = Argument(
        None,
        metavar="[CODE]",
        help="The error's code; its exit status or its class in Python will do. Default: list all of them.",
        autocompletion=_offered,
    ),
) -> None:
    """Explain an error: what it means, how it looks, its causes and what to do about each."""
    pages = every() if what is None else meant(what)
    status = int(what) if what is not None and what.isdecimal() else None
    if current().json:
        records = [page.as_json(whole=what is not None) for page in pages]
        answer(records if what is None or status is not None else records[0])
    elif len(pages) == 1:
        _show(pages[0])
    else:
        about = "EXIT" if status is None else "IN PYTHON"
        rows = [
            [page.code, str(page.exit_status) if status is None else ", ".join(page.names(status)), page.title]
            for page in pages
        ]
        table(["CODE", about, "WHAT IT MEANS"], rows, styles=["cyan"])
        note(f"`{NAME} explain CODE` prints the page of one")


def _show(page: Explanation) -> None:
    text = f"{page.text}\n\nOn the web: {page.address}"
    console = console_of(True) if sys.stdout.isatty() else None
    if console is None or console.options.ascii_only:  # rich has signs that such a terminal has not
        answer(None, *text.split("\n"), asked=True)
        return
    from rich.markdown import Markdown
    from rich.theme import Theme

    # rich's own have backgrounds, for dark terminals.
    with console.use_theme(Theme({"markdown.code": "cyan"})):
        console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, _WIDEST))


_FAILED = 3


def doctor() -> None:
    """Examine this installation: libraries, files, keyring, variables; no server is asked."""
    from ...doctor import examine
    from ...doctor.finding import DoctorContext

    session = current()
    context = DoctorContext(
        env=session.env,
        cwd=current_directory(),
        load=session.profiles,
        keyring=keyring_access.keyring,
        now=lambda: dt.datetime.now(dt.timezone.utc),
        standing=session.standing,
    )
    findings = list(examine(context))
    failed = sum(finding.status == "failed" for finding in findings)
    warned = sum(finding.status == "warning" for finding in findings)
    if session.json:
        emit_json({"ok": not failed, "findings": [finding.as_json() for finding in findings]})
    else:
        rows = [
            [
                "FAILED" if one.status == "failed" else one.status,
                one.name,
                one.detail + (f"\nhint: {one.hint}" if one.hint else ""),
            ]
            for one in findings
            if one.status != "skipped" or session.verbose
        ]
        table(["", "WHAT", "FOUND"], rows)
        if failed:
            say(f"{failed} failed, {warned} to look at", color="red")
        else:
            say(f"nothing failed, {warned} to look at", color="yellow" if warned else "green")
    if failed:
        raise typer.Exit(_FAILED)


def _commands(ctx: Context, incomplete: str) -> list[tuple[str, str]]:
    """The commands whose help may be asked for, after the words that stand there."""
    path = " ".join([*(ctx.params.get("words") or [])])
    prefix = "" if path in ("", "profile") else f"{path} "
    names = [name for titles in (GROUPS.get(path) or {}).values() for name in titles]
    return [(name, PAGES[prefix + name].summary) for name in names if name.startswith(incomplete)]


def completion(
    shell: str | None = Argument(
        None, metavar="[SHELL]", help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}.", autocompletion=begun(SHELLS)
    ),
) -> None:
    """Print the completion of a shell, by default the one that calls: `eval "$(milvus-profiles completion bash)"`."""
    if shell is not None and shell not in SHELLS:
        raise UsageError(
            f"there is no completion for {as_given(shell)!a}", hint=f"there is one for {', '.join(SHELLS)}"
        )
    answer_script(shell)


def help_of(
    words: list[str] | None = Argument(
        None, metavar="[COMMAND]", help="The command; default: all of them.", autocompletion=_commands
    ),
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
