"""What a profile takes over from the one that it extends."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ConfigError
from ..masked import without_secrets
from ..names import Nearest, fold_alias
from .fields import ADDRESS_FIELDS, find_field
from .values import BOUND_TO_ADDRESS, Raw, Value, displaced, has_address

__all__ = ["inherit", "inherited"]

_NEVER_INHERITED = frozenset({"description", "protected", "extends"})
_BOUND_IN_SSL = frozenset({"server_name", "cert", "key"})
# Of an ancestor's unknown keys, which each heir would be refused for, a few do.
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
    """The fields of a profile with those of all that it extends.

    Args:
        key: its folded alias.
        fields_of: the alias as it is spelled and the own fields of a profile; None where there is no such profile.
        place: where these profiles stand, for messages.
        nearest: the aliases there.
        known: outcomes for the profiles that were met on the way before, which this adds to: going through all of a
            long chain, or of a circle, takes time that grows with its length then, not with the square.

    Raises:
        ConfigError: a profile on the way is not there or is no table, or extends itself in the end.
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
                f"extends names {without_secrets(parent.value)[:64]!r}, which {place} does not declare",
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
