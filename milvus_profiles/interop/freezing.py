"""Where PyInstaller finds what it must know of this package, by the entry point ``pyinstaller40``.

The hook itself is ``hook-milvus_profiles.py``, beside this: modules that are imported by name, which are most of them,
are found by nobody who reads the imports.
"""

from __future__ import annotations

import os

__all__ = ["hook_directories"]


def hook_directories() -> list[str]:
    """The directories of hooks."""
    return [os.path.dirname(__file__)]
