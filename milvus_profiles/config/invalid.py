"""pydantic's findings as errors that a person can act on: what, where, and the nearest right spelling.

pydantic's own messages name neither file nor line, and its errors carry the input; only types, places and our own
texts pass through here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from ..errors import ConfigError, Location, MilvusProfilesError
from ..masked import as_given, even_half_made, without_secrets
from ..names import is_alias, suggest_field
from ..text import OPTIONS, Standing
from .fields import FIELDS, field, find_field
from .layers import standing_of
from .values import PATH_FIELDS, FieldPath, Origin, RawProfile, left_out, unflatten

if TYPE_CHECKING:
    from ..profile import Profile

FINDINGS = 100
"""Errors that are made of the findings in one profile, or shown of those in all: a file can hold a million."""


class _Described(NamedTuple):
    """A finding in words, as far as they take no time; the hint may, since it looks for the nearest right spelling."""

    message: str
    origin: Origin
    at: Literal["key", "value"] = "value"
    hint: Callable[[], str | None] = lambda: None

    @property
    def code(self) -> str:
        return ConfigError.code

    @property
    def location(self) -> Location | None:
        return self.origin.location(self.at)

    def error(self) -> ConfigError:
        return ConfigError(self.message, hint=self.hint(), location=self.location)


@even_half_made
class Findings:
    """What is wrong with a profile, at least one thing, and how many in all; errors are made when asked for."""

    def __init__(
        self, found: Callable[[], list[Callable[[], _Described]]] | MilvusProfilesError, number: int = 1
    ) -> None:
        self._found = found
        self.number = number

    def __repr__(self) -> str:
        return f"<Findings: {self.number}>"

    @property
    def _first(self) -> _Described | MilvusProfilesError:
        return self._found if isinstance(self._found, MilvusProfilesError) else self._found()[0]()

    @property
    def code(self) -> str:
        return self._first.code

    @property
    def message(self) -> str:
        return without_secrets(self._first.message)

    @property
    def location(self) -> Location | None:
        return self._first.location

    def errors(self, limit: int = FINDINGS) -> list[MilvusProfilesError]:
        """The first of them as errors, so many at most."""
        if isinstance(self._found, MilvusProfilesError):
            return [self._found][:limit]
        return [describe().error() for describe in self._found()[:limit]] if limit else []


def validate(raw: RawProfile, *, check_files: bool = True) -> Profile | Findings:
    """The profile that fields make, or what is wrong: an error that were raised would hold the values in its frames.

    The models are imported here, since who connects by plain values needs none; what its findings take is with them.
    """
    try:
        from pydantic import ValidationError

        from ..profile import Profile
    except (ImportError, OSError) as error:  # by now there may be no file descriptor left to import them with
        message = f"the profile {raw.alias!r} cannot be validated, since what that takes cannot be loaded: {error}"
        return Findings(ConfigError(message, location=raw.declared.location()))
    if (stray := raw.values.get(("alias",))) is not None:
        return Findings(lambda: [partial(_unknown_key, ("alias",), raw, stray.origin)])
    try:
        return Profile.model_validate(
            {"alias": raw.alias, **unflatten(raw.values)},
            context={"check_files": check_files, "directory": _directory_of_command(raw)},
        )
    except ValidationError as error:
        fault = error.with_traceback(None)

    def described() -> list[Callable[[], _Described]]:
        found = fault.errors(include_url=False, include_input=False)
        return [partial(_described, finding, raw) for finding in found[:FINDINGS]]

    return Findings(described, fault.error_count() + left_out(raw))


def _directory_of_command(raw: RawProfile) -> str | None:
    """The directory of the file that declares the command of a secret; None where no file does, or there is none."""
    for path, value in raw.values.items():
        if path[1:] == ("command",) and value.origin.document is not None:
            # What a shell gives in the place of a file has none, and the current directory is nobody's word.
            return value.origin.document.directory if value.origin.document.base is None else None
    return None


def _described(finding: Any, raw: RawProfile) -> _Described:
    from ..fieldtypes import fields_in, wording

    kind: str = finding["type"]
    context: dict[str, Any] = finding.get("ctx", {})
    path = fields_in(finding["loc"], kind)
    hint: str | None = context.get("hint")
    if kind == "conflict":
        origin = _conflict_origin(context["fields"], raw)
        remedy: str | None = context["remedy"]
        return _Described(wording(finding, ""), origin, hint=lambda: _followed(hint, remedy, raw))
    origin = _origin(path, raw)
    if origin.layer == "call":
        hint = context.get("in_call") or hint
    if kind == "extra_forbidden":
        return _unknown_key(path, raw, origin)
    message = wording(finding, ".".join(str(part) for part in path))
    return _Described(message, origin, hint=lambda: hint or _correction(tuple(map(str, path[:2])), raw, origin))


def _followed(hint: str | None, remedy: str | None, raw: RawProfile) -> str | None:
    """A hint, and how to follow it: ``FIELD=VALUE`` is set, ``FIELD`` taken away, where it stands."""
    standing = standing_of(raw)
    if remedy is None or standing.prefix == OPTIONS:  # which somebody may have answered questions in place of
        return hint
    name = remedy.partition("=")[0]
    alias = _declaring(raw, _conflict_origin((name,), raw))
    return f"{hint}: {standing.change(alias, remedy) if '=' in remedy else standing.unset(alias, name)}"


def _declaring(raw: RawProfile, origin: Origin) -> str:
    """The alias under which a value stands: what it extends may have it."""
    return str(origin.path[1]) if origin.document is not None and len(origin.path) > 1 else raw.alias


def _correction(path: FieldPath, raw: RawProfile, origin: Origin) -> str | None:
    """How a value that is wrong is replaced by a right one, where it stands."""
    known, alias, standing = find_field(path), _declaring(raw, origin), standing_of(raw)
    if path not in raw.values or known is None or known.kind is None:
        return None  # the fault of a table as a whole
    if standing.prefix == OPTIONS:  # as above
        return "give another one"
    if known.kind != "secret":
        name, value = ".".join(path), "PATH" if path in PATH_FIELDS else "VALUE"
        return f"correct it: {standing.change(alias, f'{name}={value}')}"
    if origin.document is not None and standing.prefix is None:
        return f"correct it there, or keep it in the keyring: {standing.into_keyring(alias, path[0])}"
    return f"give another {path[0]}" if origin.layer == "call" else f"set {origin.name} to the right one"


def _unknown_key(path: tuple[Any, ...], raw: RawProfile, origin: Origin) -> _Described:
    name = ".".join((*(str(part) for part in path[:-1]), as_given(str(path[-1]))))
    return _Described(f"unknown key {name!r}", origin, "key", lambda: _right_key(path, raw))


def _right_key(path: tuple[Any, ...], raw: RawProfile) -> str:
    """What may have been meant by a key that there is not."""
    parents = tuple(str(part) for part in path[:-1])
    known = field(parents[:1]).keys if parents else FIELDS
    near = suggest_field(str(path[-1]), known)
    value = raw.values.get(tuple(str(part) for part in path))
    if near is not None:
        return f"did you mean {near!r}?"
    if value is not None and isinstance(value.value, dict) and not parents and is_alias(f"{raw.alias}.{path[-1]}"):
        return f'a dot in an alias is quoted: [profiles."{raw.alias}.{path[-1]}"]'
    return f"{parents[-1] if parents else 'a profile'} has {', '.join(known)}"


def _origin(path: tuple[Any, ...], raw: RawProfile) -> Origin:
    """The origin of the value at a path, of the nearest value around it, or of the profile."""
    for length in (2, 1):
        if (value := raw.values.get(tuple(str(part) for part in path[:length]))) is not None:
            if value.origin.document is not None and len(path) > length:
                return Origin(value.origin.layer, None, value.origin.document, (*value.origin.path, *path[length:]))
            return value.origin
    for candidate, value in raw.values.items():
        if path and candidate[0] == path[0]:
            if value.origin.document is not None:
                return Origin(value.origin.layer, None, value.origin.document, value.origin.path[:3])
            return value.origin
    return raw.declared


def _conflict_origin(fields: tuple[str, ...], raw: RawProfile) -> Origin:
    """Where a contradiction is shown: at the strongest layer, since that one was added last."""
    strength = ("call", "environment", "named", "project", "user", "default")
    origins = [
        value.origin for name in fields for path, value in raw.values.items() if path[0] == name or name in path[1:]
    ]
    return min(origins, key=lambda origin: strength.index(origin.layer), default=raw.declared)


def refuse(findings: Findings, standing: Standing) -> NoReturn:
    """Raise the first of the findings; a command to list them all is for the file of ``standing``."""
    [error] = findings.errors(1)
    if findings.number > 1:
        more = f"{findings.number - 1} more"
        if error.location is not None and error.location.line is not None:  # not of a call, which no command looks at
            more += f": {standing.command('config', 'validate')} lists all"
        error.hint = f"{error.hint} ({more})" if error.hint else more
    raise error
