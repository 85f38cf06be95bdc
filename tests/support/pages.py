"""Pages of the documentation, run: their commands, their programs and the files that they show, in their order.

What a page needs stands in a comment at its top, ``<!-- needs: server=auth, keyring -->``:

    server=plain|auth|tls|mtls   a real Milvus, of which the page says ``milvus.example:19530``
    keyring                      a real keyring
    lite                         Milvus Lite, by the extra of that name
    management                   the management port of that server, which is not the documented one, for ``prod``
    certificates                 ``certs/``: ca.pem, client.pem and client.key, of those servers
    notebook                     its programs are the cells of one notebook, and `text` is what the cell above shows
    sdks                         what `make test-sdks` fetches: the page is run there, since it takes long
    apart                        a test of its own runs the page, and says with what

Of the code blocks of a page

- one with a title is a file: it is written before what follows runs (a second one of the same title replaces it);
  ``~/`` is the reader's home;
- ``console`` is commands after ``$``, each with what it prints below it (see :func:`assert_printed`); ``[status 7]`` in
  the last line of that is the exit status that it must have, other than 0;
- ``python`` is a program, ``toml`` without a title a milvus.toml that must be valid;
- others are pictures, and so is what follows ``<!-- not run: REASON -->``; what follows ``<!-- layer: NAME -->`` runs
  with the packages of that layer (tests/support/layers.py).

A path between two lines ``--8<--`` is that file of the repository. (The shorter form of pymdownx.snippets is Python to
ruff, which formats it.)
"""

from __future__ import annotations

import fnmatch
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Page", "assert_printed", "commands", "page"]

ROOT = Path(__file__).parents[2]
_FILE = re.compile(r"^(?P<indent>[ ]*)--8<--\n[ ]*(?P<path>\S+)\n[ ]*--8<--\n", re.MULTILINE)
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?:not run: (?P<reason>.+?)|layer: (?P<layer>[\w-]+)) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_STATUS = re.compile(r"^\[status (\d+)\]\n?\Z", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    title: str | None
    """The file that it is."""
    reason: str | None
    """Why it is not run."""
    layer: str | None
    """Whose packages it runs with."""


@dataclass(frozen=True)
class Page:
    path: Path
    needs: dict[str, str]
    blocks: list[Block]


def page(path: Path) -> Page:
    text = _FILE.sub(_included, path.read_text(encoding="utf-8"))
    found = re.search(r"^<!-- needs: (.+?) -->$", text, re.MULTILINE)
    needs = [word.strip().partition("=") for word in found[1].split(",")] if found else []
    return Page(path, {name: value for name, _, value in needs}, list(_blocks(text)))


def _included(line: re.Match[str]) -> str:
    return textwrap.indent((ROOT / line["path"]).read_text(encoding="utf-8"), line["indent"])


def _blocks(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        lines = [line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True)]
        title = _TITLE.search(found["options"])
        yield Block(found["language"], "".join(lines), title and title[1], found["reason"], found["layer"])


def commands(block: str) -> list[tuple[str, str, int]]:
    """The commands of a console block, each with what is printed below it and its exit status."""
    found: list[tuple[str, str, int]] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, output = _command(part)
        status = _STATUS.search(output)
        found.append((command, output[: status.start()] if status else output, int(status[1]) if status else 0))
    return found


def _command(part: str) -> tuple[str, str]:
    """A command with the lines that it goes on with (a here-document, or after a ``\\``), and the rest."""
    lines = part.splitlines(keepends=True)
    end = 1
    while lines[end - 1].endswith("\\\n"):
        end += 1
    if (here := re.search(r"(?<!<)<<(?!<)-?\s*'?(\w+)'?", "".join(lines[:end]))) is not None:
        end = next(index for index, line in enumerate(lines) if index and line.strip() == here[1]) + 1
    return "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])


def assert_printed(pattern: str, printed: str) -> None:
    """Each line of the page stands in the output, in this order; `…` and numbers may differ, `…` alone is any lines."""
    lines = iter(printed.splitlines())
    for wanted in pattern.splitlines():
        if wanted.strip() in ("", "…"):
            continue
        loose = re.sub(r"[0-9]+(\.[0-9]+)?", "*", re.sub(r"\s+", " ", wanted.strip())).replace("…", "*")
        loose = loose.replace("[", "[[]")
        for line in lines:
            normal = re.sub(r"[0-9]+(\.[0-9]+)?", "0", re.sub(r"\s+", " ", line.strip()))
            if fnmatch.fnmatchcase(normal, loose):
                break
        else:
            raise AssertionError(f"not printed: {wanted!r}\n--- the output\n{printed}")
