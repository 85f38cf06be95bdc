"""``explain``: the page about an error, from the package itself, so that it is there without a network too."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Argument

from ..explanations import Explanation, every, meant
from ..output import answer, console_of, note, table
from ..session import NAME, current

__all__ = ["explain"]

_WIDEST = 100
"""Columns in which text is still read with ease."""


def _offered(incomplete: str) -> list[tuple[str, str]]:
    return [(page.code, page.title) for page in every() if page.code.startswith(incomplete.lower())]


def explain(
    what: Annotated[
        str | None,
        Argument(
            metavar="[CODE]",
            help="The error's code; its exit status or its class in Python will do. Default: list all of them.",
            autocompletion=_offered,
        ),
    ] = None,
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
