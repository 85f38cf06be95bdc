"""What each change of a milvus.toml means for aliases, defaults and inheritance.

Every change is made twice: on the text, by :class:`.TextDocument`, and on the plain data that tomli reads.  If the new
text does not say what the new data says, the text was damaged, and the edit is refused.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, EditConflictError, Location, UnknownProfileError
from ..names import check_alias, fold_alias, some, suggest
from ..text import DOCUMENTATION, Standing, printable
from ..tomltext.document import TextDocument
from ..tomltext.lines import plain
from ..tomltext.parser import TOMLDecodeError, loads
from .fields import FIELDS

FieldPath = tuple[str, ...]

_EQUAL = 2  # the version of marshal's format in which equal data has equal bytes

# For editors that read TOML with taplo, as Even Better TOML does.  The address of the site, not a file of this package:
# the line is committed, and what it names must be there for everybody who has the repository.
_SCHEMA = f"#:schema {DOCUMENTATION}/schema/milvus.json"
_ABOUT = "# Connection profiles for Milvus. `milvus-profiles` edits this file and keeps its comments."


class Editor:
    """A document that is being changed: its text and its data, as tomli reads it, kept in step.

    Aliases are found however they are spelled.  Every method raises ConfigError where the change does not fit the file,
    UnknownProfileError where there is no such profile, and EditConflictError where the document is written in a way
    that cannot be changed without damage.

    Remedies name the file by ``standing``; None where no command needs to.  ``notes`` says what else happened.
    """

    def __init__(self, text: str, data: dict[str, Any], path: str, standing: Standing | None = None) -> None:
        self.document = TextDocument(text, below="profiles")
        self.notes: list[str] = []
        self._data = data
        self._path = path
        self._standing = standing or Standing()
        self._is_new = not text

    def guard(self) -> None:
        """Refuse a text that does not say what the data says."""
        try:
            unharmed = _same(_trimmed(loads(self.document.text)), _trimmed(self._data))
        except TOMLDecodeError:
            unharmed = False
        if not unharmed:
            raise EditConflictError(
                "the file is written in a way that this edit would damage, so nothing was changed",
                hint=f"make the change by hand, with {self._standing.command('profile', 'edit')}",
                location=Location(self._path),
            )

    def add(self, alias: str, fields: Mapping[str, Any], *, replace: bool = False) -> None:
        """Add a profile; its fields are written in their order, a SecretText as the text that it hides.

        ``replace``: one of that alias may be there.  Then it keeps its place, its spelling and the comments of the
        fields that stay.
        """
        check_alias(alias)
        there = self._spelling(alias)
        if there is None:
            self._append(alias, plain(fields))
            return
        if not replace:
            raise self._taken(alias, there)
        table = self._profiles()[there]
        gone = [name for name in table if name not in fields] if isinstance(table, dict) else None
        if gone is None or len(gone) > len(FIELDS):
            # Most of so many are no fields at all; each would be looked for in the whole file.
            self._forget(there)
            self._append(there, plain(fields))
            return
        for name in gone:
            self._drop(("profiles", there, name))
        for name, value in fields.items():
            self._put(("profiles", there, name), value)

    def remove(self, alias: str) -> None:
        """Remove a profile and its comments; if it is the default, there is none afterwards.  Children refuse it."""
        alias = self._find(alias)
        children = self._children(alias)
        if children:
            names = some([repr(name) for name in children])
            raise EditConflictError(
                f"the profile {alias!r} cannot be removed: it is extended by {names}",
                hint=f"end that first: {self._standing.command('profile', 'unset', children[0], 'extends')}",
                location=self._place(children[0]),
            )
        if self._is_default(alias):
            self._drop(("default_profile",))
            self.notes.append(f"{alias!r} was the default profile; this file names none now")
        self._forget(alias)

    def rename(self, old: str, new: str) -> None:
        """Rename a profile; ``default_profile`` and the ``extends`` of others follow."""
        check_alias(new)
        old = self._find(old)
        there = self._spelling(new)
        if there not in (None, old):
            raise self._taken(new, there)
        if new == old:
            return
        children = self._children(old)
        if self._is_default(old):
            self._put(("default_profile",), new)
            self.notes.append(f"default_profile names {new!r} now")
        self._follow(children, new)
        if children:
            self.notes.append(f"{some([repr(name) for name in children])}: extends names {new!r} now")
        self.document.rename_table(("profiles", old), new)
        # In its place, as in the text.
        self._data["profiles"] = {new if name == old else name: table for name, table in self._profiles().items()}

    def copy(self, source: str, target: str) -> None:
        check_alias(target)
        source = self._find(source)
        if (there := self._spelling(target)) is not None:
            raise self._taken(target, there)
        table = self._profiles()[source]
        if not isinstance(table, dict):
            raise self._error(f"the profile {source!r} is not a table", None, source)
        fields = plain(table)
        if self.document.copy_table(("profiles", source), ("profiles", target)):
            self._profiles()[target] = fields
        else:
            self._append(target, fields)

    def set(self, alias: str, path: FieldPath, value: Any) -> None:
        """Give a field of a profile, or a key of its table (``("ssl", "ca")``), a value as TOML would hold it.

        A SecretText is written as the text that it hides.
        """
        alias = self._find(alias)
        table = self._profiles()[alias]
        if len(path) == 2 and path[0] == "ssl" and isinstance(table, dict) and table.get("ssl") is True:
            path, value = ("ssl",), {path[-1]: value}  # the table says that TLS is on, too
        self._check_way(alias, path)
        self._put(("profiles", alias, *path), value)

    def unset(self, alias: str, path: FieldPath) -> None:
        """Take a field from a profile; a table that loses its last key stays, empty."""
        alias = self._find(alias)
        self._check_way(alias, path)
        if not self._drop(("profiles", alias, *path)):
            self.notes.append(f"{printable('.'.join(path))} of {alias!r} is not set in this file")

    def set_root(self, key: str, value: Any) -> None:
        """Give a root key, such as ``default_profile``, a value; None takes it away."""
        if key == "profiles":
            raise self._error("profiles is not a setting", "profiles are added and removed one by one")
        if value is None:
            self._drop((key,))
        else:
            self._put((key,), value)

    def _append(self, alias: str, fields: dict[str, Any]) -> None:
        self._begin()
        self.document.add_table(("profiles", alias), fields)
        self._data.setdefault("profiles", {})[alias] = fields

    def _forget(self, alias: str) -> None:
        self.document.remove(("profiles", alias))
        del self._data["profiles"][alias]

    def _profiles(self) -> dict[str, Any]:
        profiles = self._data.get("profiles", {})
        if not isinstance(profiles, dict):
            raise self._error("profiles must be a table", "write [profiles.NAME] above each profile")
        return profiles

    def _spelling(self, alias: str) -> str | None:
        profiles = self._profiles()
        if alias in profiles:
            return alias
        folded = fold_alias(alias)
        return next((name for name in profiles if fold_alias(name) == folded), None)

    def _find(self, alias: str) -> str:
        if (there := self._spelling(alias)) is not None:
            return there
        names = list(self._profiles())
        near = suggest(alias, names)
        add = f"add it with {self._standing.adding(printable(alias))}"
        known = f"it declares {', '.join(repr(n) for n in names[:10])}{', …' if len(names) > 10 else ''}"
        raise UnknownProfileError(
            f"the file declares no profile {alias!r}",
            hint=f"did you mean {near!r}?" if near else known if names else add,
            location=Location(self._path),
        )

    def _children(self, alias: str) -> list[str]:
        folded = fold_alias(alias)
        return [
            name
            for name, table in self._profiles().items()
            if name != alias and isinstance(table, dict) and _names(table.get("extends"), folded)
        ]

    def _is_default(self, alias: str) -> bool:
        return _names(self._data.get("default_profile"), fold_alias(alias))

    def _check_way(self, alias: str, path: FieldPath) -> None:
        """Refuse a path that leads through something that is no table."""
        if not path:
            raise self._error("no field is named", None, alias)
        value: Any = self._profiles()[alias]
        for depth, name in enumerate(path):
            if not isinstance(value, dict):
                if depth == 0:
                    raise self._error(
                        f"the profile {alias!r} is not a table",
                        f"write [profiles.{printable(alias)}] above its fields",
                        alias,
                    )
                table = ".".join(path[:depth])
                raise self._error(
                    f"{printable('.'.join(path))} of {alias!r} cannot be reached, "
                    f"because {printable(table)} is not a table there",
                    f"remove the value first: {self._standing.command('profile', 'unset', alias, table)}",
                    alias,
                    *path[:depth],
                )
            if name not in value:
                return
            value = value[name]

    def _put(self, path: tuple[str, ...], value: Any) -> None:
        value = plain(value)
        table = self._data
        for name in path[:-1]:
            table = table.setdefault(name, {})
        if path[-1] in table and _same(table[path[-1]], value):
            return
        self._begin()
        self.document.put(path, value)
        table[path[-1]] = value

    def _follow(self, children: list[str], new: str) -> None:
        """Have profiles extend another one: there may be tens of thousands."""
        tables = [(child, self._profiles()[child]) for child in children]
        changed = [(child, table) for child, table in tables if table["extends"] != new]
        self.document.put_each([("profiles", child, "extends") for child, _ in changed], new)
        for _, table in changed:
            table["extends"] = new

    def _drop(self, path: tuple[str, ...]) -> bool:
        table = self._data
        for name in path[:-1]:
            table = table.get(name, {})
        if path[-1] not in table:
            return False
        self.document.unset(path)
        del table[path[-1]]
        return True

    def _begin(self) -> None:
        """Head a new file with lines that say what it is, to editors and to people."""
        if self._is_new:
            self.document.comment(_SCHEMA, _ABOUT)
            self._is_new = False

    def _place(self, alias: str, *path: str) -> Location:
        return Location(self._path, self.document.line_number(("profiles", alias, *path)))

    def _error(self, message: str, hint: str | None, alias: str | None = None, *path: str) -> ConfigError:
        place = Location(self._path) if alias is None else self._place(alias, *path)
        return ConfigError(message, hint=hint, location=place)

    def _taken(self, alias: str, there: str) -> ConfigError:
        same = f"the profile {there!r} exists already"
        folded = f"{alias!r} is the same alias as {there!r}: case and '-', '_', '.' do not count"
        return self._error(
            same if alias == there else folded,
            f"choose another alias, or remove the profile first: {self._standing.command('profile', 'remove', there)}",
            there,
        )


def _names(value: Any, folded: str) -> bool:
    return isinstance(value, str) and fold_alias(value) == folded


def _trimmed(data: dict[str, Any]) -> dict[str, Any]:
    # Without profiles it does not matter whether their table is there.
    return {key: value for key, value in data.items() if key != "profiles" or value != {}}


def _same(one: Any, other: Any) -> bool:
    """Equality that keeps 1, 1.0 and true apart and takes nan for itself."""
    with contextlib.suppress(ValueError):  # of dates, which it does not take
        if marshal.dumps(one, _EQUAL) == marshal.dumps(other, _EQUAL):
            return True  # nearly always, at a tenth of the time
    return _equal(one, other)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))
