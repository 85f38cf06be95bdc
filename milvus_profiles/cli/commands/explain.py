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
    by_status = what is not None and what.isdecimal()
    if current().json:
        records = [page.as_json(whole=what is not None) for page in pages]
        answer(records if what is None or by_status else records[0])
    elif len(pages) == 1:
        _show(pages[0])
    else:
        if by_status:
            rows = [[page.code, ", ".join(page.names(int(what or ""))), page.title] for page in pages]
        else:
            rows = [[page.code, str(page.exit_status), page.title] for page in pages]
        table(["CODE", "IN PYTHON" if by_status else "EXIT", "WHAT IT MEANS"], rows, styles=["cyan"])
        note(f"`{NAME} explain CODE` prints the page of one")


def _show(page: Explanation) -> None:
    text = f"{page.text}\n\nOn the web: {page.address}"
    if not sys.stdout.isatty():
        answer(None, *text.split("\n"), asked=True)
        return
    from rich.markdown import Markdown
    from rich.theme import Theme

    console = console_of(True)
    # rich's own have backgrounds, for dark terminals.
    with console.use_theme(Theme({"markdown.code": "cyan"})):
        console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, _WIDEST))
