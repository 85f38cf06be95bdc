"""The layers joined: which profiles there are, which one is meant, and one profile resolved with its origins.

Loading reads files and checks their roots; a profile is put together and validated when it is asked for, so that one
bad profile, or 65,536 good ones, cost nothing to the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..connectable import Connectable
from ..display import Table, Tabular
from ..errors import ConfigError, Location, MilvusProfilesError, ParamError, UnknownProfileError
from ..files.paths import home_fault
from ..log import log
from ..masked import MaskedFields, as_given, even_half_made
from ..names import Nearest, alias_of, fold_alias, foreign_letter, is_alias, some
from ..text import Standing
from .databases import refuse_brought, untrusted_origin
from .disclosure import is_address, shown
from .documents import Document, refusal
from .invalid import FINDINGS, Findings, refuse, validate
from .layers import Layers, Selection, standing_of
from .locations import UnreadFile, user_file
from .resolved import Examined, ProfileCache, Resolved, plain_profile
from .settings import Settings, idle_addresses
from .trust import TrustStore, check_default, check_endpoint, check_fields
from .values import Origin, Raw, RawProfile, from_call, override

if TYPE_CHECKING:
    from ..profile import Profile

_CACHED_PROFILES = 64
_SHOWN = 100  # in a notebook


@even_half_made
class Profiles(Tabular, Mapping[str, "Profile"]):
    """All profiles in force: a mapping from alias to :class:`Profile`.

    Aliases are compared without case and with ``-``, ``_``, ``.`` equal.  A profile is validated when it is taken;
    one that is invalid raises ConfigError then.

    Attributes:
        documents: the files in force, strongest first.
        settings: the root settings.
        env: the environment that was read.
        cwd: the directory that relative paths of arguments and variables count from.
        unread: files that are there and are not read, because they could be somebody else's work.
    """

    def __init__(
        self,
        documents: tuple[Document, ...],
        settings: Settings,
        *,
        env: Mapping[str, str],
        cwd: str,
        connector: Callable[..., Any] | None = None,
        cache: ProfileCache | None = None,
        unread: tuple[UnreadFile, ...] = (),
    ) -> None:
        self.unread = unread
        self.documents = documents
        self.settings = settings
        self.env = env
        self.cwd = cwd
        self._layers = Layers(documents, settings.environment, env)
        self._connector = connector
        self._resolved: dict[str, Resolved] = {}
        self._cache: ProfileCache = {} if cache is None else cache
        self._trusted: dict[str, bool] = {}

    def __repr__(self) -> str:
        places = [document.path for document in self.documents]
        return f"<Profiles: {len(self)} from {', '.join(places) or 'the environment'}>"

    def _table(self) -> Table:
        rows = [*map(_table_row, islice(self.examined(), _SHOWN))]
        return Table(("alias", "uri", "db_name", "auth", "description"), rows, len(self) - len(rows))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __dir__(self) -> list[str]:
        return ["connect", "documents", "get", "items", "keys", "resolve", "select", "unread", "user_file", "values"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers.aliases.values())

    def __len__(self) -> int:
        return len(self._layers.aliases)

    def __contains__(self, alias: object) -> bool:
        return isinstance(alias, str) and self._layers.find(alias) is not None

    def __getitem__(self, alias: str | Profile) -> Profile:
        try:
            if not isinstance(alias, (str, Connectable)):  # of a mapping, that is a key that it has not
                raise self.unknown(str(alias))
            return self.resolve(alias).profile
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error

    @cached_property
    def user_file(self) -> str | None:
        """Path of the user's own file, whether it exists or not; None where the user has no home directory for it."""
        return user_file(self.env)

    @cached_property
    def nearest(self) -> Nearest:
        """All aliases, to look up misspelled ones."""
        return Nearest(self)

    def unknown(self, alias: str, *, location: Location | None = None) -> UnknownProfileError:
        """The error for an alias that nobody declares, with the nearest one or the way to declare it."""
        names, near = list(islice(self, 9)), self.nearest.to(alias)
        # No `user:password`, which is not to become an argument.
        if not is_alias(alias) and (":" in alias or alias.endswith(".db")) and is_address(alias):
            hint = f"that is an address: connect(uri=…) in a program, {self.standing.adding()} to name it"
        elif near is not None:
            hint = f"did you mean {near!r}?"
        elif names:
            hint = f"there are: {some(names, len(self))}"
        else:
            hint = f"there are no profiles yet: declare one with {self.standing.adding()}"
        return UnknownProfileError(
            f"there is no profile {as_given(alias)!r}{foreign_letter(alias[:64])}",
            hint="; ".join((hint, *self._left_out())),
            location=location,
        )

    @property
    def standing(self) -> Standing:
        """Where a profile is added."""
        return next((document.standing for document in self.documents if document.role == "named"), Standing())

    def _left_out(self) -> Iterator[str]:
        """What else there would have been profiles from, and why it is not."""
        yield from () if self else idle_addresses(self.env)
        for unread in self.unread:
            yield f"{unread} ({unread.hint})"
        if self.user_file is None and (fault := home_fault(self.env)) is not None:
            yield f"there is no file of your own, since {fault[0]} ({fault[1]})"

    def select(self, alias: str | Profile | None = None, *, name: str = "argument") -> Selection:
        """Choose the profile.

        Args:
            alias: an explicit name, which beats everything; None asks the environment and the files.
            name: what the explicit name is called in messages, such as ``--profile``.

        Raises:
            UnknownProfileError: the chosen name is not declared, or nothing chooses one.
            UntrustedError: the default of an untrusted project file is not one of its own profiles.
        """
        alias = None if alias is None else alias_of(alias)
        choices = self._layers.choices(alias, name, self.settings.profile)
        if not choices:
            names = list(islice(self, 9))
            remedy = f"declare one with {self.standing.adding()}"
            if names:
                remedy = (
                    f"name one of {some(names, len(self))} with --profile or MILVUS_PROFILE, or set default_profile"
                )
            raise UnknownProfileError(
                "no profile was named and none is the default" if names else "there are no profiles",
                hint="; ".join((remedy, *self._left_out())),
            )
        chosen, origin, reason = choices[0]
        found = self._layers.find(chosen)
        if origin is not None and origin.document is not None:
            check_default(origin.document, chosen, self.trust, fold_alias(chosen) in origin.document.aliases)
        if found is None:
            raise self.unknown(chosen, location=origin.location() if origin and origin.layer != "call" else None)
        log("selected", alias=found, reason=reason)
        hidden = tuple(
            f"{why} ({as_given(name)})" for name, _, why in choices[1:] if fold_alias(name) != fold_alias(found)
        )
        return Selection(found, origin, reason, hidden)

    def declaring(self, alias: str) -> Document | None:
        """The file that declares a profile; None for one of the environment alone, and for one that nobody declares."""
        return self._layers.declaring(alias)

    def raw(self, alias: str) -> RawProfile:
        """The fields of a profile from all layers but the call, before validation.

        UnknownProfileError where nobody declares it, ConfigError where it is no table, or what it extends cannot be
        had.
        """
        raw = self._layers.raw(alias)
        if raw is None:
            raise self.unknown(alias)
        return raw

    @cached_property
    def trust(self) -> TrustStore:
        """Which project files are trusted; read when first asked for."""
        return TrustStore.load(self.env)

    def is_trusted(self, raw: RawProfile) -> bool:
        """Whether a profile comes from a place of full trust."""
        if raw.document is None or raw.document.role != "project":
            return True  # and what is trusted beside need not be read
        if raw.document.path not in self._trusted:
            self._trusted[raw.document.path] = self.trust.trusts(raw.document)
        return self._trusted[raw.document.path]

    def resolve(self, alias: str | Profile) -> Resolved:
        """Put a profile together, to look at: nothing is refused for want of trust.

        Args:
            alias: any spelling of it.

        Raises:
            UnknownProfileError: nobody declares it.
            ConfigError: it is invalid; the first finding, with its place.
        """
        alias = alias_of(alias)
        key = fold_alias(alias)
        if key not in self._resolved:
            raw = self.raw(alias)
            trusted = self.is_trusted(raw)
            # An untrusted file must not make the program open files of its choice.
            found = self._valid(raw, check_files=trusted)
            profile = found if trusted else self._held(found, raw)
            self._resolved[key] = Resolved(profile.placed(standing_of(raw, self)), raw, trusted)
        return self._resolved[key]

    def examine(self, alias: str) -> tuple[RawProfile | None, Profile | Findings]:
        """Put a profile together as :meth:`resolve` does, for lists of many: nothing is raised, and no error made.

        Its fields are None where they cannot be had; then there is what is wrong, as for an invalid one.
        """
        try:
            raw = self.raw(alias)
        except MilvusProfilesError as error:
            return None, Findings(error.with_traceback(None))
        return raw, validate(raw, check_files=self.is_trusted(raw))

    def examined(self) -> Iterator[Examined]:
        """Every profile as :meth:`examine` has it, up to the hundredth that is wrong: a file can hold a million."""
        wrong = 0
        for alias in self:
            yield alias, *(found := self.examine(alias))
            if (wrong := wrong + isinstance(found[1], Findings)) == FINDINGS:
                return

    def findings(self, alias: str) -> list[MilvusProfilesError]:
        """What is wrong with a profile, the first hundred; empty for a valid one."""
        result = self.examine(alias)[1]
        return result.errors() if isinstance(result, Findings) else []

    def use(self, alias: str, fields: Mapping[str, Any] | None = None) -> Resolved:
        """Put a profile together to connect with it, fields of the call over all layers, as far as its file may say so.

        Raises:
            UnknownProfileError: nobody declares it.
            UntrustedError: it needs trust that its file does not have.
            ConfigError: it is invalid or has no address, or its file holds a secret and anyone may change it.
        """
        layer = self._call_layer(fields) if fields else {}
        fields = None  # a traceback may show the locals of its frames, and a secret of the call is plain text there
        key = fold_alias(alias)
        raw, profile = self._cache.get(key) or (self.raw(alias), None)
        if layer:
            raw, profile = override(raw, layer), None
        trusted = self.is_trusted(raw)
        if not trusted:
            check_fields(raw, self.trust)
        if raw.document is not None and (refused := refusal(raw.document)) is not None:
            raise refused
        if profile is None:
            profile = self._connectable(raw)
            if not layer:
                self._keep(key, raw, profile)
        if profile.is_template:
            del profile  # as the fields: whatever stands in one may be a misplaced secret
            raise self._no_address(raw)
        if not trusted:
            self._check_shadow(profile, raw)
            if profile.endpoint.kind == "lite":
                profile = self._held(profile.validated(), raw)
                refuse_brought(profile, raw)
        return Resolved(profile, raw, trusted)

    def _connectable(self, raw: RawProfile) -> Connectable:
        return plain_profile(raw) or self._valid(raw).placed(standing_of(raw))

    def _valid(self, raw: RawProfile, *, check_files: bool = True) -> Profile:
        result = validate(raw, check_files=check_files)
        return refuse(result, self.standing) if isinstance(result, Findings) else result

    def _held(self, profile: Profile, raw: RawProfile) -> Profile:
        return profile.held_to(untrusted_origin(profile, raw, self.trust, self.env))

    def _keep(self, key: str, raw: RawProfile, profile: Connectable) -> None:
        if self._layers.stands_on_home:
            return  # which may be another one by then, or none, and nothing that this is remembered by tells so
        if len(self._cache) >= _CACHED_PROFILES:
            self._cache.clear()
        # Certificate files are looked at each time: they change though the profile does not.
        names_files = any(path[0] == "ssl" and len(path) > 1 for path in raw.values)
        self._cache[key] = raw, None if names_files else profile

    def anonymous(
        self, fields: Mapping[str, Any], *, alias: str = "anonymous", over: Mapping[str, Any] | None = None
    ) -> Resolved:
        """A profile of the call alone, an address among its fields; ConfigError where it is invalid.

        ``over`` are fields that beat those, as one layer another: with an address they part it from its secret.
        """
        layer, more = self._call_layer(fields), self._call_layer(over or {})
        fields = over = {}  # as in use()
        raw = override(RawProfile(alias, layer, [], Origin("call", "connect()"), None), more)
        profile = self._connectable(raw)
        if profile.is_template:
            del profile  # as in use()
            raise ConfigError("no profile and no address was given", hint="name a profile, or give uri= or host=")
        return Resolved(profile, raw, True)

    def _no_address(self, raw: RawProfile) -> ConfigError:
        near = self.nearest.to(raw.alias, other=True)
        if near is not None and not self._layers.is_usable(near):
            near = None
        return ConfigError(
            f"the profile {raw.alias!r} has no address",
            hint=f"did you mean {near!r}?" if near else "give it uri or host, or use a profile that extends it",
            location=raw.declared.location("key"),
        )

    def _call_layer(self, fields: Mapping[str, Any]) -> Raw:
        return from_call(fields, self.cwd, lambda: self._layers.home)

    def _check_shadow(self, profile: Connectable, raw: RawProfile) -> None:
        key = fold_alias(raw.alias)
        for document in self.documents:
            if document is raw.document or key not in document.aliases:
                continue
            other = self._layers.declared(document, document.aliases[key])
            result = validate(other, check_files=False)
            own = None if isinstance(result, Findings) else result
            check_endpoint(profile, raw, self.trust, own, str(other.declared))

    def connect(self, alias: str | None = None, **options: Any) -> Any:
        """Open a connection of one of these profiles; the arguments are those of :func:`milvus_profiles.connect`."""
        if self._connector is None:
            raise ConfigError("these profiles were loaded without a way to connect", hint="use milvus_profiles.load()")
        given, options = MaskedFields(options), {}
        try:
            return self._connector(alias, profiles=self, **given)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error

    @property
    def source(self) -> tuple[str, ...]:
        """What tells one set of profiles from another: the real paths of its files."""
        return tuple(os.path.realpath(document.path) for document in self.documents)


def profiles_of(given: Any) -> Profiles | None:
    """The profiles that a caller gave, if any; ParamError where it is something else."""
    if given is None or isinstance(given, Profiles):
        return given
    raise ParamError(
        f"profiles= is what load() returns, not a value of the type {type(given).__name__}",
        hint="load a file with load(PATH)",
    )


def _table_row(examined: Examined) -> tuple[str, ...]:
    """A profile as the table of a notebook has it: alias, uri, db_name, auth, description."""
    alias, _, found = examined
    if isinstance(found, Findings):
        return alias, f"invalid: {found.message}", "", "", ""
    uri = "" if found.is_template else found.endpoint.uri
    db_name, description = (shown((name,), getattr(found, name) or "") for name in ("db_name", "description"))
    return alias, uri, db_name, found.auth, description
