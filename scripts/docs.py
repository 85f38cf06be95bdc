"""Puts the pages of the site together in build/docs: those of docs/, and those made from the code.

python scripts/docs.py [DIRECTORY]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pictures
import reference

PROJECT = Path(__file__).absolute().parents[1]


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "build" / "docs"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PROJECT / "docs", target)
    for name, text in reference.pages().items():
        page = target / name
        page.parent.mkdir(parents=True, exist_ok=True)
        if page.exists():
            sys.exit(f"error: docs/{name} stands in the way of the page that is made from the code")
        page.write_text(text, encoding="utf-8")
    pictures.write(target / "pictures")
    shutil.copy(PROJECT / "benchmarks/results.svg", target / "pictures")


if __name__ == "__main__":
    main()
