"""What a profile is: immutable models, strict about every field, silent about every secret.

A :class:`Profile` is complete in itself: paths are absolute, inheritance and overrides are behind it (``config/`` does
that).  It knows its endpoint and where its secret is to be had, but it opens, resolves and connects nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypedDict, Union

from pydantic import BeforeValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from .connectable import (
    Connectable,
    DefaultKeepalive,
    DefaultRetry,
    KeepaliveTimes,
    PlainProfile,
    RetryPolicy,
    TLSSettings,
    address_of,
)
from .display import Table, Tabular
from .endpoint import Address, AddressError, Untrusted
from .errors import MilvusProfilesError
from .fieldtypes import (
    AnyText,
    Host,
    Metadatum,
    Model,
    PEMPath,
    PingInterval,
    Port,
    Proxy,
    Seconds,
    Text,
    as_boolean,
    conflict,
    invalid,
    rows_of,
    table,
)
from .masked import MaskedFields, SecretText, as_given
from .names import ALIAS_LONGEST, ALIAS_PATTERN
from .pool_settings import POOL_WIDE, PoolSettings
from .references import CommandRef, EnvRef, FileRef, KeyringRef, SecretSource
from .text import Standing

# A table and a scalar may stand in one field; the tag tells which reading failed and never shows in an error.
_TABLE, _SCALAR = "<table>", "<scalar>"


def _table_or_scalar(value: object) -> str:
    return _TABLE if isinstance(value, (dict, Model)) else _SCALAR


class SSL(TLSSettings, Model):
    """TLS settings; that the table stands there turns TLS on.

    Attributes:
        ca: PEM file with the certificates to trust; None trusts gRPC's own roots.
        cert: PEM file with the client's certificate chain (mutual TLS); needs ``key``.
        key: PEM file with the client's private key; needs ``cert``.
        server_name: the name that the server's certificate must have, where it is not the host.
    """

    ca: PEMPath | None = None
    cert: PEMPath | None = None
    key: PEMPath | None = None
    server_name: Host | None = None

    @model_validator(mode="after")
    def _pairs(self) -> SSL:
        if (self.cert is None) != (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise invalid(f"ssl.{given} needs ssl.{missing} beside it", f"give ssl.{missing}, too, or none of the two")
        return self


class Retry(RetryPolicy, Model):
    """How calls that only read are repeated on UNAVAILABLE; a write never is.

    They are those of :data:`milvus_profiles.channel.wire.READ_METHODS`, which programs call as they work.

    Attributes:
        attempts: calls in all, 2 to 5 (gRPC allows no more).
        initial: seconds before the second attempt.
        max: seconds at most between two.
    """

    attempts: Annotated[int, Field(ge=2, le=5)] = DefaultRetry.attempts
    initial: Seconds = DefaultRetry.initial
    max: Seconds = DefaultRetry.max

    @model_validator(mode="after")
    def _order(self) -> Retry:
        if self.max < self.initial:
            raise invalid("retry.max is below retry.initial", "raise retry.max, or lower retry.initial")
        return self


class Keepalive(KeepaliveTimes, Model):
    """HTTP/2 pings that find a dead peer; none to a Milvus Lite, which is in the same process.

    Attributes:
        time: seconds between pings.  The default is what every gRPC server permits, gateways included: those that keep
            gRPC's own policy end connections over pings more often than every 300 s, or while no call is under way, so
            from there on there are none in that time.  A Milvus's policy has MinTime 5 s, so less is refused.
        timeout: seconds to wait for the answer to a ping; what was sent and is not acknowledged by then, as where a
            network went away, ends the connection, too.
    """

    time: PingInterval = DefaultKeepalive.time
    timeout: Seconds = DefaultKeepalive.timeout


Secret = Union[str, SecretText, EnvRef, FileRef, CommandRef, KeyringRef, Mapping[str, Any]]
"""A token or password as a call takes it: the text, or where it is to be had, ``{"env": "NAME"}``."""


class ProfileFields(TypedDict, total=False):
    """The fields of a profile that a call may set, for type checkers and editors; ``timeout`` is an argument."""

    description: str | None
    uri: str
    host: str
    port: int | str
    user: str | None
    password: Secret | None
    token: Secret | None
    db_name: str | None
    ssl: bool | SSL | Mapping[str, str]
    call_timeout: float | None
    retry: bool | Retry | Mapping[str, float]
    keepalive: Keepalive | Mapping[str, float]
    proxy: str | None
    management_port: int
    allow_insecure: bool
    protected: bool
    pool: PoolSettings | Mapping[str, Any]


class Profile(Connectable, Tabular, Model):
    """A name for a way to reach a Milvus.

    Attributes:
        alias: the name.
        description: a line for people.
        uri: the address, in any form that :func:`milvus_profiles.endpoint.parse_address` reads.
        host: the address in two parts; not with ``uri``.
        port: 1 to 65535, default 19530.
        user: name of the user, whose password is in ``password`` or else in the keyring.
        password: where the user's password is to be had.
        token: where the whole token (an API key or ``user:password``) is to be had; not with ``password``.
        db_name: the database; None means the server's default.
        ssl: True or a table for TLS, False for plaintext, None as the uri says.
        timeout: seconds for connecting, handshake included.
        call_timeout: default deadline in seconds of a call without one; None for none.
        retry: how reading calls are repeated; False turns it off.
        keepalive: HTTP/2 pings.
        proxy: ``http://HOST:PORT``; None means no proxy, whatever the environment says.
        management_port: the port of /healthz and /metrics.
        allow_insecure: let a secret cross the network in plaintext.
        protected: the command line asks before it removes or overwrites the profile.
        extends: alias of the profile whose fields this one took over.
        pool: settings of a pool for this profile; None takes the pool's own.
    """

    alias: Annotated[str, Field(max_length=ALIAS_LONGEST, pattern=rf"^(?:{ALIAS_PATTERN})$")]
    description: AnyText | None = None
    uri: str | None = None
    host: Host | None = None
    port: Port | None = None
    user: Text | None = None
    # Narrower than what connecting asks for; a profile is never changed.
    password: SecretSource | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    token: SecretSource | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    db_name: Metadatum | None = None
    ssl: (  # pyright: ignore[reportIncompatibleVariableOverride]
        Annotated[
            Union[Annotated[SSL, Tag(_TABLE)], Annotated[bool, Tag(_SCALAR)]],
            Discriminator(_table_or_scalar),
            table("ssl", SSL, flag=True),
        ]
        | None
    ) = None
    timeout: Seconds = PlainProfile.timeout
    call_timeout: Seconds | None = None
    retry: Annotated[  # pyright: ignore[reportIncompatibleVariableOverride]
        Union[Annotated[Retry, Tag(_TABLE)], Annotated[Literal[False], BeforeValidator(as_boolean), Tag(_SCALAR)]],
        Discriminator(_table_or_scalar),
        BeforeValidator(lambda value: Retry() if value is True else value),
        table("retry", Retry, flag=True),
    ] = Retry()
    keepalive: Annotated[Keepalive, table("keepalive", Keepalive)] = (  # pyright: ignore[reportIncompatibleVariableOverride]
        Keepalive()
    )
    proxy: Proxy | None = None
    management_port: Port = PlainProfile.management_port
    allow_insecure: bool = PlainProfile.allow_insecure
    protected: bool = PlainProfile.protected
    extends: str | None = None
    pool: Annotated[PoolSettings, table("pool", PoolSettings, without=POOL_WIDE)] | None = None

    _address: ClassVar[Address | None] = None  # of each profile; pydantic takes twice the time to keep it
    _standing: ClassVar[Standing | None] = None  # likewise
    _untrusted: Untrusted | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if self.uri is not None:
            for other in ("host", "port"):
                if getattr(self, other) is not None:
                    message = f"uri and {other} are both given: the uri holds the whole address"
                    raise conflict(("uri", other), message, "keep one of them", other)
        try:
            address = address_of(self.uri, self.host, self.port)
        except AddressError as error:
            raise conflict(("uri",), error.message, error.hint) from None
        if self.user is not None and ":" in self.user:
            raise conflict(
                ("user",),
                "the user's name contains a colon, which ends the name in Milvus's token",
                "give the name alone, and the password by itself",
                "user=NAME",
            )
        if self.token is not None and self.password is not None:
            raise conflict(
                ("token", "password"),
                "token and password are both given: a token is the whole credential",
                "keep the token, or user and password",
            )
        if address is not None:
            self._check_address(address)
        if self.pool is not None:
            for name in POOL_WIDE:
                if name in self.pool.model_fields_set:
                    message = f"{name} is a setting of a whole pool, not of one profile"
                    raise conflict((name,), message, f"give it to the pool: PoolSettings({name}=…)")
        object.__setattr__(self, "_address", address)
        return self

    def _check_address(self, address: Address) -> None:
        if address.tls and self.ssl is False:
            message = "ssl = false contradicts https:// in the uri"
            raise conflict(("ssl", "uri"), message, "spell http:// if plaintext is meant, or take ssl away", "ssl")
        if address.kind == "lite" and self.ssl:
            raise conflict(("ssl",), "Milvus Lite has no TLS: it runs inside this process", "take ssl away", "ssl")
        if self.password is not None and self.user is None:
            message = "password needs user beside it"
            raise conflict(("password",), message, "name whose it is, or give a token instead", "user=NAME")
        if address.database is not None:
            if self.db_name is not None and self.db_name != address.database:
                raise conflict(
                    ("db_name", "uri"),
                    f"db_name is {as_given(self.db_name)!r}, but the uri names the database {address.database!r}",
                    "keep one of them",
                    "db_name",
                )
            vars(self)["db_name"] = address.database

    def connect(self, **options: Any) -> Any:
        """Open a connection of it; the arguments are those of :func:`milvus_profiles.connect`."""
        # The public API, which stands above: it is loaded whenever anything of the package is.
        given, options = MaskedFields(options), {}
        try:
            return sys.modules[str(__package__)].connect(self, **given)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error

    @property
    def source(self) -> object | None:
        """The profiles that it was taken from, or something else for one that another process took; None for one that a
        program made."""
        return self.standing.source

    def __dir__(self) -> list[str]:
        return [*type(self).model_fields, "address", "auth", "connect", "credential", "endpoint", "is_template", "tls"]

    def _table(self) -> Table:
        return Table(("field", "value"), rows_of(self))

    def fields(self) -> dict[str, Any]:
        """The fields that were set, with tables as dictionaries: what a call would have to say for the same profile."""
        values = {name: getattr(self, name) for name in self.model_fields_set - {"alias", "extends"}}
        return {n: v.model_dump(exclude_unset=True) if isinstance(v, Model) else v for n, v in values.items()}

    def held_to(self, untrusted: Untrusted | None) -> Profile:
        """The same profile, with what :attr:`untrusted` says of it.

        Args:
            untrusted: where its address is from.
        """
        if untrusted == self._untrusted:
            return self
        twin = self.model_copy()
        twin._untrusted = untrusted
        return twin

    def placed(self, standing: Standing) -> Profile:
        """This profile, which nobody else has yet, with what :attr:`standing` says of it.

        Args:
            standing: where it was read.
        """
        object.__setattr__(self, "_standing", standing)
        return self

    @property
    def tls(self) -> SSL | None:
        """The TLS settings in force: an empty table where TLS is on without one, None where it is off.

        Raises:
            ConfigError: the profile is a template.
        """
        found = super().tls
        return found if found is None or isinstance(found, SSL) else SSL()

    def validated(self) -> Profile:
        """Itself; what a profile of plain values makes of itself."""
        return self
