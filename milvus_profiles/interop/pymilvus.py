"""pymilvus's arguments: of its client, for libraries that open it themselves, and of its ``connections``, as a profile.

What pymilvus ignores in silence is an error here (a misspelled name) or is obeyed (a CA without ``secure``, a client
certificate beside ``server_pem_path``): nobody gives a certificate in order to connect without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..channel.pymilvus_client import ClientArguments, authentication, client_arguments, shared_arguments
from ..config.fields import FIELDS
from ..config.loading import load_with_warning
from ..config.profiles import Profiles, profiles_of
from ..config.resolved import check_plaintext
from ..errors import MilvusProfilesError, ParamError
from ..live.api import Connection, connect
from ..live.opening import secret_context
from ..live.request import CallFields, request
from ..masked import SecretText, as_given
from ..names import alias_of, suggest_field
from ..profile import Profile
from ..secrets.resolution import resolve

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_HOST = "localhost"
"""pymilvus's host where only a port is given."""

_DATABASE = "default"
"""What a Milvus server calls the database of a connection that names none."""

CREDENTIALS = ("user", "password", "token")

# One shared channel for each alias does what each of them promised.
_POOLS = ("QueuePool", "SingletonThread", "Singleton")
_TLS = ("server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path", "server_name")
_ADDRESS = ("address", "uri", "host", "port")
_NAMES = frozenset({*_ADDRESS, *CREDENTIALS, *_TLS, "db_name", "secure", "timeout", "handler", "pool", "keep_alive"})
_TAKEN = _NAMES.union(FIELDS)


def connection_args(
    alias: str | Profile | None = None, *, profiles: Profiles | None = None, channel: bool = False
) -> dict[str, Any]:
    """The keyword arguments of ``MilvusClient`` for a profile: for LangChain, LlamaIndex, Haystack and their kin.

    The dictionary holds the token in the clear, since that is what those libraries take; only its repr hides it.

    For Milvus Lite this opens the profile's shared connection, as :func:`milvus_profiles.connect` does, and gives the
    address of its server in this process, so that what is made of it and connections of the profile use the database
    side by side.  The address is good until ``disconnect(alias)``, ``disconnect_all()`` or the end of the process.

    Args:
        alias: the profile, or its name; None takes the selected one.
        profiles: where profiles come from; None reads the files and the environment.
        channel: give the profile's shared connection itself, in place of the token and of all that says how to
            connect: no login of its own, no secret in the dictionary, and all that holds for ``conn.client()``.  It is
            for libraries that make a ``MilvusClient`` of it and nothing else: Haystack, LlamaIndex with
            ``use_async_client=False``, milvusql-sqlalchemy as ``connect_args``.  LangChain makes an
            ``AsyncMilvusClient`` too, whose calls would fail; and no library can write it to a file.

    Raises:
        MilvusProfilesError: the profile or its secret cannot be had, or Milvus Lite not be started, as for ``connect``.
        ConfigError: pymilvus cannot express the profile: an IPv6 address, a client certificate without a CA.
        ParamError: a shared connection is wanted of a profile that a program made, which has none.
    """
    try:
        profiles, made = profiles_of(profiles), None
        if isinstance(alias, Profile):
            asked = request(alias, profiles=profiles, fields=CallFields({}))
            known, resolved = asked.profiles, asked.resolved
            made = alias if alias.source is None else None
        else:
            name = None if alias is None else alias_of(alias)
            known = load_with_warning(name, stacklevel=2) if profiles is None else profiles
            resolved = known.use(known.select(name).alias)
        check_plaintext(resolved)
    except MilvusProfilesError as error:
        error.__traceback__ = None
        raise error
    profile, endpoint = resolved.profile, resolved.profile.endpoint
    if made is not None and (channel or endpoint.kind == "lite"):
        raise ParamError(
            f"the profile {made.alias!r} was made by the program, so there is no shared connection of it",
            hint="declare it, or use the client of a connection of its own: profile.connect().client()",
        )
    if channel:
        connection = connect(profile.alias, profiles=known)
        return shared_arguments(profile, connection._shared.reach, connection.channel)
    if endpoint.kind == "lite":
        with connect(profile.alias, profiles=known) as connection:
            return client_arguments(profile, connection._shared.reach)
    token = resolve(profile.credential, endpoint, secret_context(known, profile.alias))
    return ClientArguments(**client_arguments(profile, endpoint), **authentication(token))


def profile_fields(arguments: CallFields) -> CallFields:
    """The fields of a profile that pymilvus's arguments stand for; errors are those of ``connect``."""
    for name in arguments:
        if name not in _TAKEN:
            near = suggest_field(name, _TAKEN)
            raise ParamError(f"unknown argument {as_given(name)!r}", hint=f"did you mean {near!r}?" if near else None)
    given = CallFields({name: value for name, value in arguments.items() if value is not None and value != ""})
    _check_manner(given.pop("handler", "GRPC"), given.pop("pool", None))
    given.pop("keep_alive", None)
    fields = CallFields({name: value for name, value in given.items() if name not in _NAMES})
    for name in ("address", "uri", "host", "user", "db_name", *_TLS):
        if name in given and not isinstance(given[name], str):
            raise ParamError(f"{name} must be text, not {type(given[name]).__name__}")
    _put_address(given, fields)
    _put_tls(given, fields)
    secrets = ("token",) if "token" in given else ("user", "password")
    fields.update({name: given[name] for name in (*secrets, "db_name", "timeout") if name in given})
    return fields


def _check_manner(handler: Any, pool: Any) -> None:
    if handler != "GRPC":
        raise NotImplementedError(f"the handler {as_given(str(handler))!r} does not exist: Milvus is reached by GRPC")
    if pool is not None and pool not in _POOLS:
        raise ParamError(
            f"the pool {as_given(str(pool))!r} is not supported",
            hint=f"leave it out, or take one of {', '.join(_POOLS)}",
        )


def _put_address(given: CallFields, fields: CallFields) -> None:
    if "address" in given or "uri" in given:
        fields["uri"] = given.get("address", given.get("uri"))
    elif "host" in given or "port" in given:
        fields["host"] = given.get("host", DEFAULT_HOST)
        if "port" in given:
            fields["port"] = _port(given["port"])


def _port(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        return int(value)
    raise ParamError("port must be a number from 1 to 65535")


def _put_tls(given: CallFields, fields: CallFields) -> None:
    secure = given.get("secure", False)
    if not isinstance(secure, bool):
        raise ParamError(f"secure must be True or False, not {type(secure).__name__}")
    files = {
        "ca": given.get("server_pem_path", given.get("ca_pem_path")),
        "cert": given.get("client_pem_path"),
        "key": given.get("client_key_path"),
        "server_name": given.get("server_name"),
    }
    table = {name: value for name, value in files.items() if value is not None}
    # secure=False is pymilvus's default, which https:// and certificates beat.
    if table or secure:
        fields["ssl"] = table or True


def hidden(value: Any) -> Any:
    """A secret as SecretText; as it is where there is none."""
    if value is None or value == "" or isinstance(value, (SecretText, Mapping)):
        return value
    return SecretText(str(value))


# --- what it tells ---


class ListedConnection(tuple[str, Connection | None]):  # noqa: SLOT001  # a tuple cannot have any
    """What ``list_connections`` tells of an alias: the pair ``(alias, connection)`` that pymilvus gives, and more.

    Attributes:
        address: ``host:port``, or the path of a Unix socket or of a Milvus Lite database.
        db_name: the database.
    """

    address: str
    db_name: str

    def __new__(cls, alias: str, connection: Connection | None, profile: Profile) -> Self:
        listed = super().__new__(cls, (alias, connection))
        listed.address, listed.db_name = profile.endpoint.authority, profile.db_name or _DATABASE
        return listed

    @property
    def alias(self) -> str:
        """The alias, as it was first spelled."""
        return self[0]

    @property
    def connection(self) -> Connection | None:
        """The connection; None while it is not open."""
        return self[1]

    def __repr__(self) -> str:
        return f"({self.alias!r}, {self.connection!r}, db_name={self.db_name!r})"


def address_of(profile: Profile) -> dict[str, Any]:
    """How a profile is reached, as pymilvus's ``get_connection_addr`` tells it, without secrets."""
    shown = {
        "address": profile.endpoint.authority,
        "user": profile.user or "",
        "db_name": profile.db_name or _DATABASE,
    }
    if (tls := profile.tls) is None:
        return shown
    paths = {
        "server_pem_path" if tls.cert is None else "ca_pem_path": tls.ca,
        "client_pem_path": tls.cert,
        "client_key_path": tls.key,
        "server_name": tls.server_name,
    }
    return {**shown, "secure": True, **{name: value for name, value in paths.items() if value is not None}}
