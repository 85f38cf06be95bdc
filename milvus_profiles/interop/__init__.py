"""How other clients write a profile, and programs that run with one.

PyInstaller finds what it must know of this package by the entry point ``pyinstaller40``: ``hook-milvus_profiles.py``,
beside this, names the modules that are imported by name, which nobody finds who reads the imports.
"""

from __future__ import annotations

import os


def hook_directories() -> list[str]:
    """The directories of PyInstaller's hooks."""
    return [os.path.dirname(__file__)]
