"""What connecting asks of a profile, whether the models have validated it or it is so plain that they need not.

To import pydantic and to build the models takes a third of the time in which a program starts and connects, so who
connects asks for the classes in this module, which the models in ``profile.py`` are of, too.  The defaults of a
profile stand here, once: :class:`PlainProfile` has them, and the model takes them from it.  So do the references to
secrets: a file's are models in ``references.py``, those of a profile of plain values are made here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Union

from .endpoint import DEFAULT_PORT, Address, Endpoint, Untrusted, parse_address
from .errors import ConfigError
from .masked import SecretText, even_half_made
from .text import Standing

Kind = Literal["keyring", "inline", "env", "file", "command"]
"""Where a secret comes from, in one word."""


class KeyringSource:
    """The operating system's keyring; it says no more, so it is its own plain form."""

    __slots__ = ()


class EnvSource:
    """An environment variable, ``env``."""

    __slots__ = ()

    if TYPE_CHECKING:
        env: str


class FileSource:
    """A file, by its absolute path, ``file``."""

    __slots__ = ()

    if TYPE_CHECKING:
        file: str


class CommandSource:
    """A program that is run; only the model has it."""

    __slots__ = ()

    if TYPE_CHECKING:
        command: tuple[str, ...]
        pass_env: tuple[str, ...]

        @property
        def directory(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PlainEnv(EnvSource):
    """One of a profile of plain values: the name of the variable is checked, and needs no model for that."""

    env: str


@dataclass(frozen=True, slots=True)
class PlainFile(FileSource):
    """One of a profile of plain values: the path is absolute already, counted from the file that names it."""

    file: str


Source = Union[SecretText, KeyringSource, EnvSource, FileSource, CommandSource]


@dataclass(frozen=True, slots=True)
class Credential:
    """What has to be resolved before a connection can authenticate.

    Attributes:
        kind: where it comes from, as ``profile list`` shows it.
        source: the reference, or the literal.
        user: the user whose password the source gives; None where it gives a whole token.
    """

    kind: Kind
    source: Source
    user: str | None


def kind_of(source: object) -> Kind:
    """The kind of a reference, or of a literal."""
    if isinstance(source, KeyringSource):
        return "keyring"
    if isinstance(source, EnvSource):
        return "env"
    if isinstance(source, FileSource):
        return "file"
    return "command" if isinstance(source, CommandSource) else "inline"


class TLSSettings:
    """TLS settings; what each is, :class:`milvus_profiles.profile.SSL` says."""

    __slots__ = ()

    if TYPE_CHECKING:
        ca: str | None
        cert: str | None
        key: str | None
        server_name: str | None


class RetryPolicy:
    """How reading calls are repeated; what each is, :class:`milvus_profiles.profile.Retry` says."""

    __slots__ = ()

    if TYPE_CHECKING:
        attempts: int
        initial: float
        max: float


class KeepaliveTimes:
    """HTTP/2 pings; what each is, :class:`milvus_profiles.profile.Keepalive` says."""

    __slots__ = ()

    if TYPE_CHECKING:
        time: float
        timeout: float


@dataclass(frozen=True, slots=True)
class PlainTLS(TLSSettings):
    """Those of a profile of plain values, files by their absolute paths; by default gRPC's own roots are trusted, there
    is no client certificate, and the certificate must name the host."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


class DefaultRetry(RetryPolicy):
    """What holds without ``retry``, and the model's defaults: 4 attempts in all, after waits from 0.1 s up to 1 s."""

    __slots__ = ()

    attempts = 4
    initial = 0.1
    max = 1.0


class DefaultKeepalive(KeepaliveTimes):
    """What holds without ``keepalive``, and the model's defaults: a ping every 330 s, since gRPC's own policy allows
    one in 300 s, and 10 s for its answer."""

    __slots__ = ()

    time = 330.0
    timeout = 10.0


_PARTS: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (TLSSettings, ("ca", "cert", "key", "server_name")),
    (RetryPolicy, ("attempts", "initial", "max")),
    (KeepaliveTimes, ("time", "timeout")),
    (KeyringSource, ()),
    (EnvSource, ("env",)),
    (FileSource, ("file",)),
)


def comparable(value: Any) -> Hashable:
    """The value of a field in a form that is equal for a model and its plain form.

    A command has no plain form, and stays what it is: it shows no arguments, which may be secrets.
    """
    for kind, names in _PARTS:
        if isinstance(value, kind):
            return (kind, *(getattr(value, name) for name in names))
    same: Hashable = value
    return same


def address_of(uri: str | None, host: str | None, port: int | None) -> Address | None:
    """The address that fields of a profile make; None where it has none.

    Raises:
        AddressError: the uri is wrong.
    """
    if uri is not None:
        return parse_address(uri)
    return None if host is None else Address("tcp", host=host, port=port or DEFAULT_PORT)


class Connectable:
    """A profile, as far as connecting asks for it; what each field is, :class:`milvus_profiles.Profile` says."""

    __slots__ = ()

    if TYPE_CHECKING:
        alias: str
        description: str | None
        uri: str | None
        host: str | None
        port: int | None
        user: str | None
        password: Source | None
        token: Source | None
        db_name: str | None
        ssl: TLSSettings | bool | None
        timeout: float
        call_timeout: float | None
        retry: RetryPolicy | Literal[False]
        keepalive: KeepaliveTimes
        proxy: str | None
        management_port: int
        allow_insecure: bool
        protected: bool
        extends: str | None
        _address: ClassVar[Address | None]
        _untrusted: Untrusted | None
        _standing: ClassVar[Standing | None]

        # The model, which stands above.
        def validated(self) -> Any: ...

    @property
    def is_template(self) -> bool:
        """Whether it has no address, so that it can only be extended."""
        return self._address is None

    @property
    def address(self) -> Address:
        """The parsed address.

        Raises:
            ConfigError: the profile is a template.
        """
        if self._address is None:
            raise ConfigError(
                f"the profile {self.alias!r} has no address",
                hint="give it uri or host, or use a profile that extends it",
            )
        return self._address

    @property
    def untrusted(self) -> Untrusted | None:
        """Where its Milvus Lite database is named, if that is an untrusted project file; None elsewhere.

        It goes along with the profile, whoever opens it: what such a file names is not opened as the user's own.
        """
        return self._untrusted

    @property
    def standing(self) -> Standing:
        """Where it is declared, for whoever says how it is changed."""
        return self._standing or Standing()

    @property
    def endpoint(self) -> Endpoint:
        """Where the profile leads, with the effective TLS.

        Raises:
            ConfigError: the profile is a template.
        """
        return self.address.endpoint(None if self.ssl is None else self.ssl is not False)

    @property
    def tls(self) -> TLSSettings | None:
        """The TLS settings in force: an empty table where TLS is on without one, None where it is off.

        Raises:
            ConfigError: the profile is a template.
        """
        if not self.endpoint.tls:
            return None
        return self.ssl if isinstance(self.ssl, TLSSettings) else PlainTLS()

    @property
    def credential(self) -> Credential | None:
        """What authenticates, or None: then it connects without credentials.

        A user without a password means the keyring; Milvus Lite has no authentication, so it never asks for a secret.
        """
        if self._address is not None and self._address.kind == "lite":
            return None
        if self.token is not None:
            # Under a user the keyring keeps that user's password, so there the value is not a whole token.
            user = self.user if isinstance(self.token, KeyringSource) else None
            return Credential(kind_of(self.token), self.token, user)
        if self.password is not None:
            return Credential(kind_of(self.password), self.password, self.user)
        if self.user is not None:
            return Credential("keyring", KeyringSource(), self.user)
        return None

    @property
    def auth(self) -> Kind | Literal["none"]:
        """Where the secret comes from, in one word."""
        return "none" if (credential := self.credential) is None else credential.kind


@even_half_made
class PlainProfile(Connectable):
    """A profile of plain values: every validation would let them through as they are.

    Args:
        values: the fields that were set, tables and references in their plain form.
        address: what they make; None for a template.
        standing: where it was read.
        validate: makes the model of what this was made of.
    """

    # The defaults of every profile.
    description = None
    uri = None
    host = None
    port = None
    user = None
    password = None
    token = None
    db_name = None
    ssl = None
    timeout = 10.0
    call_timeout = None
    retry = DefaultRetry()
    keepalive = DefaultKeepalive()
    proxy = None
    management_port = 9091
    allow_insecure = False
    protected = False
    extends = None
    _untrusted = None

    def __init__(
        self, values: Mapping[str, Any], address: Address | None, standing: Standing, validate: Callable[[], Any]
    ) -> None:
        vars(self).update(values, _address=address, _standing=standing, _validate=validate)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a profile cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a profile cannot be changed")

    def __repr__(self) -> str:
        return f"<PlainProfile {self.alias}>"

    def validated(self) -> Any:
        """The model, which is made when it is first asked for."""
        kept = vars(self)
        return kept.get("_validated") or kept.setdefault("_validated", kept["_validate"]())
