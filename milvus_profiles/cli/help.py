"""The pages of the help: panels where a terminal has colours, plain text on pipes and where colours are not wanted.

What stands on a page is the same on both.  A page of many commands needs none of them: :mod:`.manual` has their
summaries.  The pages about errors are in ``explanations/``; here is what there is of them.
"""

from __future__ import annotations

import inspect
import pkgutil
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple, TextIO

from .. import errors
from ..errors import MilvusProfilesError
from ..text import DOCUMENTATION, page_of
from .internal import GLOBAL_PANEL, SYNONYMS
from .manual import GROUPS, PAGES, STATUSES, VARIABLES
from .output import console_of, emit_json
from .session import current

_WIDEST = 100  # lines that are longer are hard to read
_TERMS = 32  # cells of a term beside which its text begins in the same line


class _Section(NamedTuple):
    title: str
    rows: Sequence[tuple[str, str]]
    boxed: bool = True


class _Page(NamedTuple):
    command: str
    usage: str
    text: list[str]
    sections: list[_Section]
    docs: str | None


def _page_name(path: str) -> str:
    """The name of a page, of the path of a command, such as ``milvus-profiles profile ls``."""
    words = path.split()[1:]
    words = words[1:] if len(words) > 1 and words[0] == "profile" else words
    return " ".join(SYNONYMS.get(word, word) if words[0] != "secret" else word for word in words)


def print_page(command: Any, ctx: Any, stream: TextIO | None = None) -> None:
    """Print the help of a command, as typer has it, by default to standard output."""
    is_output = stream is None or stream is sys.stdout
    sections = [section for section in _sections(command, ctx) if section.rows]
    text = [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]
    known = PAGES.get(_page_name(ctx.command_path))
    link = None if known is None else f"{DOCUMENTATION}/{known.docs}"
    page = _Page(ctx.command_path, _usage(command, ctx), text, sections, link)
    if is_output and current().json:
        told = [{"title": one.title, "rows": [{"term": a, "text": b} for a, b in one.rows]} for one in sections]
        emit_json(page._asdict() | {"sections": told})
        return
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    if is_output and current().colors(sys.stdout):
        _print_panels(page, width)
    else:
        (stream or sys.stdout).write(_plain(page, width))


# --- what stands there ---


def _usage(command: Any, ctx: Any) -> str:
    words = [ctx.command_path, "[OPTIONS]"]
    for one in command.params:
        if one.param_type_name == "argument" and not one.hidden:
            # Not by whether it is required: on a terminal what is missing is asked for.
            name = one.metavar or (one.name.upper() if one.required else f"[{one.name.upper()}]")
            words.append(f"({name})" if " | " in name else name)
    return " ".join([*words, *(["COMMAND"] if _is_group(command) else [])])


def _is_group(command: Any) -> bool:
    return hasattr(command, "commands")


def _sections(command: Any, ctx: Any) -> list[_Section]:
    name = _page_name(ctx.command_path)
    found = []
    if _is_group(command):
        prefix = f"{name} " if name not in ("", "profile") else ""
        for title, names in GROUPS.get(name, {}).items():
            found.append(_Section(title, [(one, PAGES[prefix + one].summary) for one in names]))
    arguments, panels = [], dict[str, list[tuple[str, str]]]()
    for one in command.get_params(ctx):
        if one.hidden:
            continue
        if one.param_type_name == "argument":
            arguments.append(((one.metavar or one.name.upper()).removesuffix("...").strip("[]"), one.help or ""))
        else:
            panel = GLOBAL_PANEL if one.name == "help" else (one.rich_help_panel or "Options")
            panels.setdefault(panel, []).append(_option(one))
    found.append(_Section("Arguments", arguments))
    # Those with a name of their own first, and last what every command has.
    order = sorted(panels, key=lambda panel: (panel == GLOBAL_PANEL, panel == "Options"))
    found += [_Section(panel, panels[panel]) for panel in order]
    if (page := PAGES.get(name)) is not None:
        found.append(_Section("Examples", [(example.line, example.says) for example in page.examples], boxed=False))
        found.append(_Section("Exit status", [(str(one), STATUSES[one]) for one in page.statuses], boxed=False))
        found.append(_Section("Variables", [(one, VARIABLES[one]) for one in page.variables], boxed=False))
    return found


def _option(one: Any) -> tuple[str, str]:
    names = sorted(one.opts, key=len)
    value = "" if one.is_flag or one.count or not one.metavar else f" {one.metavar}"
    other = f" / {', '.join(one.secondary_opts)}" if one.secondary_opts else ""
    text = one.help or ""
    if one.required:
        text += " Required."
    elif one.show_default and one.default not in (None, False, True, ()):
        text += f" [default: {one.default}]"
    return ", ".join(names) + value + other, text


# --- how it looks ---


def _plain(page: _Page, width: int) -> str:
    lines = _wrapped(f"Usage: {page.usage}", width, "", " " * 7)
    for paragraph in page.text:
        lines += ["", *_wrapped(paragraph, width, "  ", "  ")]
    for section in page.sections:
        lines += ["", f"{section.title}:", *(line for line, _ in _rows(section, width))]
    return "\n".join([*lines, *(["", f"Docs: {page.docs}"] if page.docs else []), ""])


def _rows(section: _Section, width: int) -> list[tuple[str, int]]:
    """The lines of a section, each with how long the term is that begins it; 0 where none does."""
    broad = max((len(term) for term, _ in section.rows if len(term) <= _TERMS), default=2)
    lines: list[tuple[str, int]] = []
    for term, text in section.rows:
        beside = section.title != "Examples" and len(term) <= broad
        room = " " * (broad + 4 if section.title != "Examples" else 6)
        parts = _wrapped(text, width, room, room)
        if beside and parts:
            lines.append((f"  {term:<{broad}}  {parts.pop(0).lstrip()}", len(term)))
        else:
            lines.append((f"  {term}", len(term)))
        lines += [(part, 0) for part in parts]
    return lines


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    # A word with hyphens is an option, an alias or an address: it is not taken apart.
    return wrap(
        text, max(width, 40), initial_indent=first, subsequent_indent=rest,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _print_panels(page: _Page, width: int) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = console_of(True)
    width = min(console.width, width)
    console.print(Text.assemble(("Usage: ", "yellow"), (page.usage, "bold")), width=width)
    for paragraph in page.text:
        console.print()
        console.print(Text(paragraph), width=width)
    for section in page.sections:
        if not section.boxed:
            console.print()
            console.print(Text(section.title, "bold"))
            for line, term in _rows(section, width):
                text = Text(line)
                text.stylize("cyan", 2, 2 + term)
                console.print(text, soft_wrap=True)
            continue
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="cyan", max_width=_TERMS)
        table.add_column()
        for name, says in section.rows:
            table.add_row(Text(name), Text(says))
        title = Text(section.title)
        console.print(Panel(table, title=title, title_align="left", border_style="dim", width=width))
    if page.docs is not None:
        console.print()
        console.print(Text(f"Docs: {page.docs}"), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The page of a code.

    Attributes:
        code: the stable code, such as ``tls``.
        classes: the exceptions that have it, the most general first.
    """

    code: str
    classes: tuple[type[MilvusProfilesError], ...]

    @property
    def exit_status(self) -> int:
        """The exit status of most errors of this code; a class of its own may have another."""
        return self.classes[0].exit_status

    @property
    def text(self) -> str:
        content = pkgutil.get_data(errors.__name__.partition(".")[0], f"explanations/{self.code}.md")
        assert content is not None
        return content.decode().rstrip("\n")

    @property
    def title(self) -> str:
        """What it means, in a few words: the rest of the page's first line, ``# CODE: TITLE``."""
        return self.text.partition("\n")[0].partition(": ")[2]

    @property
    def address(self) -> str:
        return page_of(self.code)

    def names(self, status: int) -> list[str]:
        return [one.__name__ for one in self.classes if one.exit_status == status]

    def as_json(self, *, whole: bool) -> dict[str, object]:
        record: dict[str, object] = {
            "error": self.code,
            "exit_status": self.exit_status,
            "classes": [{"name": one.__name__, "exit_status": one.exit_status} for one in self.classes],
            "title": self.title,
            "url": self.address,
        }
        return record | {"text": self.text} if whole else record


def every() -> list[Explanation]:
    """One for each code, in the order of the exit statuses; those without a status of their own come last."""
    found: dict[str, list[type[MilvusProfilesError]]] = {}
    # In the order of the tree, from the general to the special.
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, MilvusProfilesError):
            found.setdefault(one.code, []).append(one)
    pages = [Explanation(code, tuple(classes)) for code, classes in found.items()]
    return sorted(pages, key=lambda page: (page.exit_status == 1, page.exit_status, page.code == "internal"))
