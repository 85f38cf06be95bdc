"""What a call of ``connect`` asks for: which profile, with which fields, shared with whom."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..config.documents import file_warnings
from ..config.fields import FIELDS, SECRET_FIELDS
from ..config.loading import BrokenFileWarning, Unchanged, load_for
from ..config.profiles import Profiles, profiles_of
from ..config.resolved import Resolved, check_plaintext
from ..connectable import Connectable
from ..errors import ConfigError, MilvusProfilesError, ParamError
from ..log import EVENTS, LOG, log
from ..masked import MaskedFields, SecretText, as_given, even_half_made, without_secrets
from ..names import alias_of, check_alias, fold_alias, is_alias, seconds_of, suggest_field
from .spec import NOT_OF_THE_CHANNEL, SpecKey

if TYPE_CHECKING:
    from ..profile import Profile


class InsecureFileWarning(UserWarning):
    """A file holds a token or password, and others may read it or change it.

    It is given once for a file in a process, and not again in what that forks, whatever connects from wherever.
    """


# The files that were told of; without a lock, which a fork could leave held.
_TOLD: dict[str, object] = {}


class InsecureTransportWarning(UserWarning):
    """A secret crosses the network unencrypted, as the profile allows."""


@even_half_made
class CallFields(MaskedFields):
    """The fields of a call, of which a traceback shows the names only: a misspelled one may hold a secret too.

    Args:
        fields: the keyword arguments; rebind their name to this, so that no frame has a secret among its locals.
    """

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        for name in SECRET_FIELDS:
            if isinstance(self.get(name), str):
                self[name] = SecretText(self[name])

    def __setitem__(self, name: str, value: Any) -> None:
        self._values()[name] = value

    def update(self, fields: Mapping[str, Any]) -> None:
        """As of a dictionary."""
        self._values().update(fields)

    def pop(self, name: str, default: Any) -> Any:
        """As of a dictionary."""
        return self._values().pop(name, default)

    def check(self) -> None:
        """See that a profile has all of them; else it is a ConfigError."""
        for name in self:
            if name not in FIELDS:
                near = suggest_field(name, (*FIELDS, *_ARGUMENTS))
                raise ConfigError(f"unknown field {as_given(name)!r}", hint=f"did you mean {near!r}?" if near else None)
        if isinstance(port := self.get("port"), str) and len(port) <= 5 and port.isascii() and port.isdecimal():
            self["port"] = int(port)  # as pymilvus takes it, and variables have it

    def __repr__(self) -> str:
        return f"<fields {', '.join(sorted(self))}>"


_ARGUMENTS = ("alias", "profiles", "dedicated", "wait_ready", "timeout")


@dataclass(frozen=True, slots=True)
class Request:
    """A profile that may be connected to, fields of the call included, and what the caller should be warned of.

    Attributes:
        key: what channels are shared by; None for a channel of its own.
        fingerprint: what the channel depends on.
    """

    resolved: Resolved
    profiles: Profiles
    key: Hashable | None
    warnings: tuple[Warning, ...]
    fingerprint: SpecKey

    def warn(self, stacklevel: int) -> None:
        """Issue the warnings; the stack level is counted from the caller of this."""
        for warning in self.warnings:
            key, document = None, self.resolved.raw.document
            if isinstance(warning, InsecureFileWarning) and document is not None:
                key, claim = os.path.realpath(document.path), object()
                if _TOLD.setdefault(key, claim) is not claim:
                    continue
            try:
                warnings.warn(warning, stacklevel=stacklevel + 1)
            except BaseException:
                # A filter makes it an error: then every connection is refused, and not only the first.
                if key is not None:
                    _TOLD.pop(key, None)
                raise


def request(
    alias: str | Profile | None,
    *,
    profiles: Profiles | None = None,
    dedicated: bool = False,
    timeout: float | None = None,
    fields: CallFields,
    name: str | None = None,
) -> Request:
    """Find the profile that a call asks for, and see that its secret may go where it leads.

    Args:
        alias: the profile, or its name; None takes the selected one, or an anonymous one if the fields name an address.
        profiles: where profiles come from; None reads the files and the environment.
        dedicated: share with nobody.
        timeout: seconds for connecting; None takes the profile's.
        fields: fields of a profile that override it.
        name: of the connection that an address alone is asked for; by it the channel is shared.

    Raises:
        UnknownProfileError: there is no such profile.
        ConfigError: a field or the profile is invalid.
        UntrustedError: it stands in a project file that is not trusted and needs trust.
        InsecureTransportError: its secret would cross the network in plaintext.
    """
    by_name: _ByName | None = None
    if not fields and profiles is None and timeout is None and name is None and isinstance(dedicated, bool):
        by_name = (alias, dedicated) if alias is None or isinstance(alias, str) else None
    if by_name is not None and (known := _remembered(by_name)) is not None:
        return known
    with told(alias.alias if isinstance(alias, Connectable) else alias):
        asked = _request(alias, profiles, dedicated, timeout, fields, name)
    if by_name is not None:
        _remember(by_name, asked)
    return asked


_ByName = tuple["str | None", bool]

_LAST: list[tuple[Unchanged, dict[_ByName, Request]]] = []
"""What was asked for by name alone, as long as nothing has changed since; one at most."""
_REMEMBERED = 64


def _remembered(by_name: _ByName) -> Request | None:
    if by_name[0] is None and LOG.isEnabledFor(EVENTS["selected"].level):
        return None  # whoever listens is told each time which one it is
    for unchanged, requests in _LAST[:1]:
        found = requests.get(by_name)
        if found is not None and unchanged.holds() and found.fingerprint.is_current(found.resolved.connectable):
            return found
    return None


def _remember(by_name: _ByName, asked: Request) -> None:
    # What is asked of an untrusted file depends on more than these files, and one that was left out may be mended.
    is_sure = asked.resolved.trusted and not any(isinstance(one, BrokenFileWarning) for one in asked.warnings)
    unchanged = Unchanged.since(asked.profiles) if is_sure else None
    if unchanged is None:
        _LAST.clear()
        return
    last = next(iter(_LAST), None)
    if last is None or last[0] != unchanged or len(last[1]) >= _REMEMBERED:
        last = (unchanged, {})
        _LAST[:] = [last]
    last[1][by_name] = asked


def _request(
    alias: str | Profile | None,
    profiles: Profiles | None,
    dedicated: bool,
    timeout: float | None,
    fields: CallFields,
    name: str | None = None,
) -> Request:
    fields.check()
    profiles = profiles_of(profiles)
    if not isinstance(dedicated, bool):
        raise ParamError(f"dedicated= is True or False, not a value of the type {type(dedicated).__name__}")
    if timeout is not None:
        fields["timeout"] = seconds_of("timeout=", timeout)
    given = alias if isinstance(alias, Connectable) else None
    if profiles is None and given is not None and isinstance(given.source, Profiles):
        profiles = given.source
    anonymous = alias is None and has_address(fields)
    called = None if alias is None else alias_of(alias)
    needless = anonymous or (given is not None and given.source is None)
    known, left_out = (profiles, None) if profiles is not None else load_for(called, address=needless)
    key: Hashable | None = None
    if given is not None and given.source is None:
        resolved = known.anonymous(CallFields(given.fields()), alias=given.alias, over=fields)
        resolved = replace(resolved, connectable=resolved.profile.held_to(given.untrusted))
    elif given is not None:
        # As by its name, with the trust that its file has; what a program changed in it is the call's.
        was = known[given.alias].fields()
        changed = {name: value for name, value in given.fields().items() if was.get(name) != value}
        return _request(given.alias, known, dedicated, None, CallFields({**changed, **fields}))
    elif anonymous:
        resolved = known.anonymous(fields) if name is None else known.anonymous(fields, alias=check_alias(name))
        key = None if name is None else (__name__, fold_alias(name))
    else:
        resolved = known.use(known.select().alias if called is None else called, fields)
        key = None if dedicated else _key(known, resolved, fields)
    caught: list[Warning] = [] if left_out is None else [BrokenFileWarning(left_out)]
    if resolved.raw.document is not None:
        caught += [InsecureFileWarning(line) for line in file_warnings([resolved.raw.document])]
    if resolved.connectable.credential is not None and (warning := check_plaintext(resolved)) is not None:
        caught.append(InsecureTransportWarning(warning))
    return Request(resolved, known, key, tuple(caught), SpecKey.of(resolved.connectable))


def has_address(fields: Mapping[str, Any]) -> bool:
    """Whether fields say where a connection leads."""
    return "uri" in fields or "host" in fields


def _key(profiles: Profiles, resolved: Resolved, fields: Mapping[str, Any]) -> Hashable:
    """What channels are shared by: the source, the alias, and the overrides of the call that change the channel."""
    overrides = tuple(
        (name, _hashable(value)) for name, value in sorted(fields.items()) if name not in NOT_OF_THE_CHANNEL
    )
    return profiles.source, fold_alias(resolved.connectable.alias), overrides


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(inner)) for key, inner in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(inner) for inner in value)
    hashable: Hashable = value
    return hashable


@contextmanager
def told(alias: object) -> Iterator[None]:
    """Log an error that comes up in the block, and raise it.

    Args:
        alias: the profile, as far as it is known; what is no alias is not told, since it may be anything.
    """
    try:
        yield
    except MilvusProfilesError as error:
        name = without_secrets(alias) if isinstance(alias, str) and is_alias(alias) else None
        log("failed", alias=name, code=error.code, stage=error.stage)
        raise
