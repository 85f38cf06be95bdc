"""Changes of a file, for tests that pass them on: each is a call of the editor; and what they make of a text."""

from __future__ import annotations

from functools import partial
from operator import methodcaller
from pathlib import Path

from milvus_profiles.config.edit import Change, edit_file
from milvus_profiles.config.edit_profiles import Editor

add = partial(methodcaller, "add")
remove = partial(methodcaller, "remove")
rename = partial(methodcaller, "rename")
copy = partial(methodcaller, "copy")
put = partial(methodcaller, "set")
unset = partial(methodcaller, "unset")
put_root = partial(methodcaller, "set_root")


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
