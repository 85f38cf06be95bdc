"""The layers, files and the environment: what they declare of one alias together, and what it extends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from ..errors import ConfigError
from ..files.paths import home_directory
from ..files.regular_file import is_given
from ..masked import SecretText, as_given
from ..names import Nearest, fold_alias
from ..text import CALL, OPTIONS, Standing
from .aliases import choices
from .documents import Document
from .fields import ADDRESS_FIELDS, SECRET_FIELDS, find_field
from .settings import PREFIX, EnvironmentLayer
from .values import BOUND_TO_ADDRESS, Origin, Raw, RawProfile, Value, displaced, from_table, has_address, override


@dataclass(frozen=True, slots=True)
class Selection:
    """Which profile is meant when none, or one, was named, and why, in words.

    Attributes:
        origin: what selected it: an argument, a variable, a file's default_profile; None for the last resorts.
        hidden: what else would have selected a profile, weaker ones, in words.
    """

    alias: str
    origin: Origin | None
    reason: str
    hidden: tuple[str, ...] = ()


class Layers:
    """What the files in force, strongest first, and the environment declare, before anything of it is validated."""

    def __init__(self, documents: tuple[Document, ...], environment: EnvironmentLayer, env: Mapping[str, str]) -> None:
        self._documents = documents
        self._environment = environment
        self._env = env
        self._uri_key = None if environment.uri_alias is None else fold_alias(environment.uri_alias)
        self._parents: dict[str, dict[str, Raw | ConfigError]] = {}

    @cached_property
    def home(self) -> str:
        """What ``~`` stands for; empty where it stands for nothing."""
        return home_directory(self._env) or ""

    @property
    def stands_on_home(self) -> bool:
        """Whether something that was put together so far has a path in the home directory."""
        return "home" in vars(self)

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Folded alias to alias, in the order of the layers."""
        uri = self._environment.uri_alias
        declared = [document.aliases for document in self._documents]
        declared += [{} if uri is None else {fold_alias(uri): uri}, self._environment.names]
        found: dict[str, str] = {}
        for names in declared:
            for key, alias in names.items():
                found.setdefault(key, alias)
        return found

    def find(self, alias: str) -> str | None:
        key = fold_alias(alias)
        for document in self._documents:
            if key in document.aliases:
                return document.aliases[key]
        return self._environment.uri_alias if key == self._uri_key else self._environment.names.get(key)

    def declaring(self, alias: str) -> Document | None:
        """The file that declares a profile; None for one of the environment alone, and for one that nobody declares."""
        key = fold_alias(alias)
        if key == self._uri_key:
            return None
        return next((document for document in self._documents if key in document.aliases), None)

    def is_usable(self, alias: str) -> bool:
        key, document = fold_alias(alias), self.declaring(alias)
        own = self._environment.fields.get(key)
        # What follows, at a tenth of the time: there may be thousands.
        if document is not None and own is None:
            table = document.profiles[document.aliases[key]]
            if isinstance(table, dict) and "extends" not in table:
                return "uri" in table or "host" in table
        elif document is None and own is not None and key != self._uri_key and ("extends",) not in own:
            return has_address(own)
        try:
            return (raw := self.raw(alias)) is not None and has_address(raw.values)
        except ConfigError:
            return True  # it wants to be one, and says what is wrong when it is taken

    def choices(self, alias: str | None, name: str, variable: str | None) -> list[tuple[str, Origin | None, str]]:
        """What selects a profile, strongest first: its alias, its origin (None for the last resorts), and why.

        ``name`` is what the explicit alias is called in messages; ``variable`` what ``MILVUS_PROFILE`` names.
        """
        documents = {document.path: document for document in self._documents}
        defaults = [(path, d.root["default_profile"]) for path, d in documents.items() if "default_profile" in d.root]
        found: list[tuple[str, Origin | None, str]] = []
        for chosen, source, why in choices(alias, variable, self._environment.uri_alias, defaults):
            if source == "call":
                origin = Origin("call", name)
            elif (document := documents.get(source or "")) is not None:
                origin = Origin(document.role, document=document, path=("default_profile",))
            else:
                origin = Origin("environment", source)
            found.append((chosen, origin, why))
        if (last := self.find("default")) is not None:
            found.append((last, None, "its alias is `default`"))
        # Only where nothing else does: it goes through all of them.
        if not found and self._only is not None:
            found.append((self._only, None, "it is the only one there is"))
        return found

    @cached_property
    def _only(self) -> str | None:
        """The one profile that has an address; a variable's typing error must not count as a profile."""
        usable = list(islice((alias for alias in self.aliases.values() if self.is_usable(alias)), 2))
        return usable[0] if len(usable) == 1 else None

    def raw(self, alias: str) -> RawProfile | None:
        """The fields of a profile from all layers but the call, before validation; None where nobody declares it.

        ConfigError where it is no table, or what it extends cannot be had.
        """
        key = fold_alias(alias)
        environment = self._environment
        base = self._declared_by_environment(key) if key == self._uri_key else None
        for document in self._documents:
            if key not in document.aliases:
                continue
            if base is None:
                base = self.declared(document, document.aliases[key])
                continue
            with contextlib.suppress(ConfigError):  # what is not in force may be wrong
                hidden = self.declared(document, document.aliases[key]).values
                base.overridden += [(path, value.origin) for path, value in hidden.items()]
        over = environment.fields.get(key)
        if base is None and over is None:
            return None
        if base is None:
            return self._declared_by_environment(key)
        if over is None or base.document is None:
            return base
        if ("extends",) in over:
            raise ConfigError(
                f"extends cannot be set from the environment: {base.alias!r} is declared in a file",
                hint="a profile and the one that it extends stand in the same place",
                location=over["extends",].origin.location(),
            )
        return override(base, over)

    def _declared_by_environment(self, key: str) -> RawProfile:
        environment = self._environment

        def stated(folded: str) -> RawProfile | None:
            """What the variables say, those with the alias in their names over the MILVUS_URI family."""
            own = environment.fields.get(folded, {})
            if environment.uri_alias is not None and folded == self._uri_key:
                family = Origin("environment", "MILVUS_URI")
                return override(RawProfile(environment.uri_alias, environment.uri_fields, [], family, None), own)
            if not own:
                return None
            address = [value.origin for path, value in own.items() if path[0] in ("uri", "host")]
            declared = address[0] if address else next(iter(own.values())).origin
            return RawProfile(environment.names[folded], own, [], declared, None)

        raw = stated(key)
        assert raw is not None  # the caller looked

        def fields_of(folded: str) -> tuple[str, Raw] | None:
            return None if (found := raw if folded == key else stated(folded)) is None else (found.alias, found.values)

        values = inherited(
            key, fields_of, "the environment", lambda: self._nearest_variable, self._parents.setdefault("", {})
        )
        return RawProfile(self.find(key) or raw.alias, values, raw.overridden, raw.declared, None)

    def declared(self, document: Document, alias: str) -> RawProfile:
        def fields_of(folded: str) -> tuple[str, Raw] | None:
            name = document.aliases.get(folded)
            return None if name is None else (name, from_table(document, name, lambda: self.home))

        values = inherited(
            fold_alias(alias),
            fields_of,
            document.path,
            lambda: document.nearest,
            self._parents.setdefault(document.path, {}),
        )
        origin = Origin(document.role, document=document, path=("profiles", alias))
        return RawProfile(alias, values, [], origin, document)

    @cached_property
    def _nearest_variable(self) -> Nearest:
        environment = self._environment
        return Nearest([*environment.names.values(), *([environment.uri_alias] if environment.uri_alias else [])])


def standing_of(raw: RawProfile, source: object | None = None) -> Standing:
    """Where a profile stands, for remedies; and the profiles that it is taken from, if it is."""
    document = raw.document
    prefix = None
    if raw.declared.layer == "call":
        prefix = CALL if raw.declared.name == "connect()" else OPTIONS
    elif document is None:
        prefix = f"{PREFIX}{fold_alias(raw.alias).upper().replace('-', '_')}__"
    elif is_given(document.path):
        prefix = document.path
    variables = {
        ".".join(path): value.origin.name
        for path, value in raw.values.items()
        if value.origin.document is None and value.origin.name is not None
    }
    return Standing(None if document is None else document.standing.file, prefix, variables, source)


def into_keyring(document: Document) -> str:
    """How the first secret that stands in a file in the clear goes into the keyring."""
    alias = document.literals[0]
    fields = document.profiles[alias]
    return document.standing.into_keyring(
        alias, next(n for n in SECRET_FIELDS if isinstance(fields.get(n), SecretText))
    )


_NEVER_INHERITED = frozenset({"description", "protected", "extends"})
_BOUND_IN_SSL = frozenset({"server_name", "cert", "key"})
# Of an ancestor's unknown keys, which each child would be refused for, a few do.
_STRANGE_INHERITED = 10
_MANY = 40  # fields and keys; no profile that makes sense has as many


def inherit(parent: Raw, child: Raw) -> Raw:
    """The fields of a profile that extends another.

    The child's replace the parent's, tables whole.  Where the parent has an address and the child names one, nothing
    that is bound to the address is taken over.
    """
    if len(child) == 1 and ("extends",) in child:  # as tens of thousands have it
        return {path: value for path, value in parent.items() if path[0] not in _NEVER_INHERITED} | child
    heads = {path[0] for path in child}
    moved = has_address(parent) and bool(heads & set(ADDRESS_FIELDS))
    dropped = displaced(heads) | _NEVER_INHERITED | heads | (BOUND_TO_ADDRESS if moved else frozenset())
    merged = {
        path: value
        for path, value in parent.items()
        if path[0] not in dropped and not (moved and path[0] == "ssl" and path[1:2] and path[1] in _BOUND_IN_SSL)
    }
    if moved and any(path[0] == "ssl" for path in parent) and not any(path[0] == "ssl" for path in merged | child):
        # What is left of the parent's table is that TLS is on.
        merged["ssl",] = Value(True, next(value.origin for path, value in parent.items() if path[0] == "ssl"))
    return merged | child


def inherited(
    key: str,
    fields_of: Callable[[str], tuple[str, Raw] | None],
    place: str,
    nearest: Callable[[], Nearest],
    known: dict[str, Raw | ConfigError],
) -> Raw:
    """The fields of a profile with those of all that it extends; ``place`` is where these stand, for messages.

    Args:
        key: its folded alias.
        fields_of: the alias as it is spelled and the own fields of a profile; None where there is no such profile.
        known: outcomes for the profiles that were met on the way before, which this adds to: going through all of a
            long chain, or of a circle, takes time that grows with its length then, not with the square.
    """
    done = known.get(key)
    if isinstance(done, dict) and len(done) <= _MANY:  # of more, not all is known
        return done
    chain: dict[str, tuple[str, Raw]] = {}
    found = fields_of(key)
    if found is not None and ("extends",) not in found[1]:  # nearly all of them
        known[key] = _heritage(found[1])
        return found[1]
    start: Raw | ConfigError = {}
    while found is not None:
        chain[key] = found
        parent = found[1].get(("extends",))
        if parent is None or not isinstance(parent.value, str):
            break
        key = fold_alias(parent.value)
        if key in chain:
            aliases = [alias for alias, _ in list(chain.values())[list(chain).index(key) :]]
            shown = aliases if len(aliases) <= 8 else [*aliases[:4], "...", *aliases[-3:]]
            start = ConfigError(
                f"extends runs in a circle: {' -> '.join([*shown, aliases[0]])}",
                hint="remove one of them",
                location=parent.origin.location(),
            )
            break
        if key in known:
            start = known[key]
            break
        try:
            found = fields_of(key)
        except ConfigError as error:
            start = error.with_traceback(None)
            break
        if found is None:
            near = nearest().to(parent.value)
            start = ConfigError(
                f"extends names {as_given(parent.value)!r}, which {place} does not declare",
                hint=f"did you mean {near!r}?" if near else "the profile it extends stands in the same place",
                location=parent.origin.location(),
            )
    if isinstance(start, ConfigError):
        known |= dict.fromkeys(chain, start)
        # One of its own for each who asks: an error that is raised collects the frames that it went through.
        raise ConfigError(start.message, hint=start.hint, location=start.location)
    values = own = start
    for folded, (_, raw) in reversed(chain.items()):
        own = inherit(values, raw)
        known[folded] = values = _heritage(own)
    return own


def _heritage(values: Raw) -> Raw:
    """What others inherit of a profile: its fields, and of its unknown keys a few."""
    if len(values) <= _MANY:
        return values
    strange = [path for path in values if find_field(path) is None]
    surplus = set(strange[_STRANGE_INHERITED:])
    return {path: value for path, value in values.items() if path not in surplus}
