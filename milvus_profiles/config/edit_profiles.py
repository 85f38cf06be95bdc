"""What each operation on a milvus.toml means for aliases, defaults and inheritance.

Every change is made twice: on the text, by :class:`.TextDocument`, and on the plain data that tomli reads.  If the new
text does not say what the new data says, the text was damaged, and the edit is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, EditConflictError, Location, UnknownProfileError
from ..profile import check_alias, fold_alias
from ..spelling import some, suggest
from ..text import milvus_profiles, printable
from ..tomltext.document import TextDocument
from ..tomltext.parser import TOMLDecodeError, loads
from ..tomltext.render import plain
from .edit_operations import (
    AddProfile,
    CopyProfile,
    FieldPath,
    Operation,
    RemoveProfile,
    RenameProfile,
    SetField,
    SetRoot,
    UnsetField,
)
from .fields import FIELDS

__all__ = ["edit_text"]

_FIRST_LINE = "Connection profiles for Milvus. `milvus-profiles` edits this file and keeps its comments."


def edit_text(
    text: str, data: dict[str, Any], operations: Sequence[Operation], path: str
) -> tuple[TextDocument, list[str]]:
    """Apply operations to a document, one after the other.

    Args:
        text: the document; empty for a new file.
        data: what tomli reads in it; changed by the call.
        operations: what to do.
        path: the file, for messages.

    Returns:
        The edited document, and what else happened that the user should know.

    Raises:
        ConfigError: an operation does not fit the file.
        UnknownProfileError: the file has no such profile.
        EditConflictError: others extend a profile that is to be removed, or the document is written in a way that
            cannot be edited without damage.
    """
    edit = _Edit(text, data, path)
    for operation in operations:
        edit.apply(operation)
    edit.guard()
    return edit.document, edit.notes


class _Edit:
    """One document on its way through a sequence of operations: its text and its data, kept in step."""

    def __init__(self, text: str, data: dict[str, Any], path: str) -> None:
        self.document = TextDocument(text)
        self.notes: list[str] = []
        self._data = data
        self._path = path
        self._is_new = not text

    def apply(self, operation: Operation) -> None:
        if isinstance(operation, AddProfile):
            self.add(operation)
        elif isinstance(operation, RemoveProfile):
            self.remove(operation.alias)
        elif isinstance(operation, RenameProfile):
            self.rename(operation.old, operation.new)
        elif isinstance(operation, CopyProfile):
            self.copy(operation.source, operation.target)
        elif isinstance(operation, SetField):
            alias = self.find(operation.alias)
            path, value = operation.path, operation.value
            if len(path) == 2 and path[0] == "ssl" and self.switches_tls_on(alias):
                path, value = ("ssl",), {path[-1]: value}  # the table says so too
            self.check_way(alias, path)
            self.put(("profiles", alias, *path), value)
        elif isinstance(operation, UnsetField):
            alias = self.find(operation.alias)
            self.check_way(alias, operation.path)
            if not self.unset(("profiles", alias, *operation.path)):
                self.notes.append(f"{printable('.'.join(operation.path))} of {alias!a} is not set in this file")
        else:
            if operation.key == "profiles":
                raise self.error("profiles is not a setting", "profiles are added and removed one by one")
            if isinstance(operation, SetRoot):
                self.put((operation.key,), operation.value)
            else:
                self.unset((operation.key,))

    def guard(self) -> None:
        """Refuse a text that does not say what the data says.

        Raises:
            EditConflictError: it does not.
        """
        try:
            unharmed = _same(_trimmed(loads(self.document.text)), _trimmed(self._data))
        except TOMLDecodeError:
            unharmed = False
        if not unharmed:
            raise EditConflictError(
                "the file is written in a way that this edit would damage, so nothing was changed",
                hint="make the change by hand, with `milvus-profiles profile edit`",
                location=Location(self._path),
            )

    # --- profiles ------------------------------------------------------------------------------------------------

    def add(self, operation: AddProfile) -> None:
        alias = check_alias(operation.alias)
        there = self.spelling(alias)
        if there is None:
            self.append(alias, plain(operation.fields))
            return
        if not operation.replace:
            raise self.taken(alias, there)
        table = self.profiles()[there]
        if not isinstance(table, dict):
            self.forget(there)
            self.append(alias, plain(operation.fields))
            return
        gone = [name for name in table if name not in operation.fields]
        if len(gone) > len(FIELDS):
            # Most of them are no fields at all; each would be looked for in the whole file.
            self.forget(there)
            self.append(there, plain(operation.fields))
            return
        for name in gone:
            self.unset(("profiles", there, name))
        for name, value in operation.fields.items():
            self.put(("profiles", there, name), value)

    def append(self, alias: str, fields: dict[str, Any]) -> None:
        self.begin()
        self.document.add_table(("profiles", alias), fields)
        self._data.setdefault("profiles", {})[alias] = fields

    def forget(self, alias: str) -> None:
        self.document.remove(("profiles", alias))
        del self._data["profiles"][alias]

    def remove(self, alias: str) -> None:
        alias = self.find(alias)
        heirs = self.heirs(alias)
        if heirs:
            names = some([ascii(name) for name in heirs])
            raise EditConflictError(
                f"the profile {alias!a} cannot be removed: it is extended by {names}",
                hint=f"end that first: {milvus_profiles('profile', 'unset', heirs[0], 'extends')}",
                location=self.place(heirs[0]),
            )
        if self.is_default(alias):
            self.unset(("default_profile",))
            self.notes.append(f"{alias!a} was the default profile; this file names none now")
        self.forget(alias)

    def rename(self, old: str, new: str) -> None:
        check_alias(new)
        old = self.find(old)
        there = self.spelling(new)
        if there not in (None, old):
            raise self.taken(new, there)
        if new == old:
            return
        heirs = self.heirs(old)
        if self.is_default(old):
            self.put(("default_profile",), new)
            self.notes.append(f"default_profile names {new!a} now")
        for heir in heirs:
            self.put(("profiles", heir, "extends"), new)
        if heirs:
            self.notes.append(f"{some([ascii(name) for name in heirs])}: extends names {new!a} now")
        self.document.rename_table(("profiles", old), new)
        profiles = self.profiles()
        profiles[new] = profiles.pop(old)

    def copy(self, source: str, target: str) -> None:
        check_alias(target)
        source = self.find(source)
        if (there := self.spelling(target)) is not None:
            raise self.taken(target, there)
        table = self.profiles()[source]
        if not isinstance(table, dict):
            raise self.error(f"the profile {source!a} is not a table", None, source)
        fields = plain(table)
        if self.document.copy_table(("profiles", source), ("profiles", target)):
            self.profiles()[target] = fields
        else:
            self.append(target, fields)

    def profiles(self) -> dict[str, Any]:
        profiles = self._data.get("profiles", {})
        if not isinstance(profiles, dict):
            raise self.error("profiles must be a table", "write [profiles.NAME] above each profile")
        return profiles

    def spelling(self, alias: str) -> str | None:
        """The alias as the file spells it."""
        profiles = self.profiles()
        if alias in profiles:
            return alias
        folded = fold_alias(alias)
        return next((name for name in profiles if fold_alias(name) == folded), None)

    def find(self, alias: str) -> str:
        if (there := self.spelling(alias)) is not None:
            return there
        names = list(self.profiles())
        near = suggest(alias, names)
        known = f"it declares {', '.join(ascii(n) for n in names[:10])}{', …' if len(names) > 10 else ''}"
        raise UnknownProfileError(
            f"the file declares no profile {alias!a}",
            hint=f"did you mean {near!a}?" if near else known if names else "add it with `milvus-profiles profile add`",
            location=Location(self._path),
        )

    def heirs(self, alias: str) -> list[str]:
        folded = fold_alias(alias)
        return [
            name
            for name, table in self.profiles().items()
            if name != alias and isinstance(table, dict) and _names(table.get("extends"), folded)
        ]

    def is_default(self, alias: str) -> bool:
        return _names(self._data.get("default_profile"), fold_alias(alias))

    # --- fields --------------------------------------------------------------------------------------------------

    def switches_tls_on(self, alias: str) -> bool:
        """Whether ``ssl = true`` stands there."""
        table = self.profiles()[alias]
        return isinstance(table, dict) and table.get("ssl") is True

    def check_way(self, alias: str, path: FieldPath) -> None:
        """Refuse a path that leads through something that is no table."""
        if not path:
            raise self.error("no field is named", None, alias)
        value: Any = self.profiles()[alias]
        for depth, name in enumerate(path):
            if not isinstance(value, dict):
                if depth == 0:
                    raise self.error(
                        f"the profile {alias!a} is not a table",
                        f"write [profiles.{printable(alias)}] above its fields",
                        alias,
                    )
                table = ".".join(path[:depth])
                raise self.error(
                    f"{printable('.'.join(path))} of {alias!a} cannot be reached, "
                    f"because {printable(table)} is not a table there",
                    f"remove the value first: {milvus_profiles('profile', 'unset', alias, table)}",
                    alias,
                    *path[:depth],
                )
            if name not in value:
                return
            value = value[name]

    def put(self, path: tuple[str, ...], value: Any) -> None:
        value = plain(value)
        table = self._data
        for name in path[:-1]:
            table = table.setdefault(name, {})
        if path[-1] in table and _same(table[path[-1]], value):
            return
        self.begin()
        self.document.put(path, value)
        table[path[-1]] = value

    def unset(self, path: tuple[str, ...]) -> bool:
        table = self._data
        for name in path[:-1]:
            table = table.get(name, {})
        if path[-1] not in table:
            return False
        self.document.unset(path)
        del table[path[-1]]
        return True

    # --- texts and places ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Head a new file with a line that says what it is."""
        if self._is_new:
            self.document.comment(_FIRST_LINE)
            self._is_new = False

    def place(self, alias: str, *path: str) -> Location:
        return Location(self._path, self.document.line_number(("profiles", alias, *path)))

    def error(self, message: str, hint: str | None, alias: str | None = None, *path: str) -> ConfigError:
        place = Location(self._path) if alias is None else self.place(alias, *path)
        return ConfigError(message, hint=hint, location=place)

    def taken(self, alias: str, there: str) -> ConfigError:
        same = f"the profile {there!a} exists already"
        folded = f"{alias!a} is the same alias as {there!a}: case and '-', '_', '.' do not count"
        return self.error(
            same if alias == there else folded,
            f"choose another alias, or remove the profile first: {milvus_profiles('profile', 'remove', there)}",
            there,
        )


def _names(value: Any, folded: str) -> bool:
    return isinstance(value, str) and fold_alias(value) == folded


def _trimmed(data: dict[str, Any]) -> dict[str, Any]:
    # Without profiles it does not matter whether their table is there.
    return {key: value for key, value in data.items() if key != "profiles" or value != {}}


def _same(one: Any, other: Any) -> bool:
    """Equality that keeps 1, 1.0 and true apart and takes nan for itself."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))
