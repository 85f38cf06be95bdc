"""Changes of a file, for tests that pass them on: each is a call of the editor; and what they make of a text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from milvus_profiles.config.edit import Change, edit_file
from milvus_profiles.config.edit_profiles import Editor


def add(alias: str, fields: Mapping[str, Any], *, replace: bool = False) -> Change:
    return lambda editor: editor.add(alias, fields, replace=replace)


def remove(alias: str) -> Change:
    return lambda editor: editor.remove(alias)


def rename(old: str, new: str) -> Change:
    return lambda editor: editor.rename(old, new)


def copy(source: str, target: str) -> Change:
    return lambda editor: editor.copy(source, target)


def put(alias: str, path: tuple[str, ...], value: Any) -> Change:
    return lambda editor: editor.set(alias, path, value)


def unset(alias: str, path: tuple[str, ...]) -> Change:
    return lambda editor: editor.unset(alias, path)


def put_root(key: str, value: Any) -> Change:
    return lambda editor: editor.set_root(key, value)


def in_turn(*changes: Change) -> Change:
    def all_of_them(editor: Editor) -> None:
        for change in changes:
            change(editor)

    return all_of_them


def edited(directory: Path, text: str, *changes: Change) -> str:
    path = directory / "milvus.toml"
    path.write_bytes(text.encode())
    edit_file(path, in_turn(*changes))
    return path.read_bytes().decode()
