"""What a connect tries, as far as whoever explains its failure needs to know it, and the remedies that it makes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..connectable import Connectable, Credential, EnvSource, FileSource, PlainProfile, TLSSettings
from ..endpoint import Endpoint
from ..masked import SecretText
from ..text import ANSWERS, CALL, OPTIONS, Standing, is_quoted, printable
from .sockets import Route, route_to

__all__ = ["ConnectContext"]

_NOWHERE_YET = (CALL, OPTIONS, ANSWERS)


@dataclass(frozen=True, slots=True)
class ConnectContext:
    """What was tried.

    Attributes:
        endpoint: where it led.
        alias: the profile's name, for the remedies; None for a connection without one.
        tls: the TLS settings in force; None for plaintext.
        token: what authenticated; None for nothing.
        db_name: the database that was named; None for none.
        timeout: seconds that the connect was given.
        route: the way below gRPC.
        credential: where the token came from; None where that is not known.
        ssl: the ``ssl`` that the profile declares, which its address alone does not tell.
        by_host: the profile declares its address as ``host`` and ``port``, and has no uri.
        uri_database: the database that stands in the uri itself.
        standing: where the profile stands, for the remedies.
        name: what a profile will be called that stands nowhere yet.
    """

    endpoint: Endpoint
    alias: str | None = None
    tls: TLSSettings | None = None
    token: SecretText | None = None
    db_name: str | None = None
    timeout: float = PlainProfile.timeout
    route: Route = field(default_factory=lambda: Route("", 0))
    credential: Credential | None = None
    ssl: TLSSettings | bool | None = None
    by_host: bool = False
    uri_database: str | None = None
    standing: Standing = field(default_factory=Standing)
    name: str = "ALIAS"

    @classmethod
    def of(
        cls,
        profile: Connectable,
        token: SecretText | None = None,
        *,
        alias: str | None = None,
        timeout: float | None = None,
        lite_port: int | None = None,
    ) -> ConnectContext:
        """To connect as a profile says; seconds of None are the profile's, ``lite_port`` is that of its Milvus Lite."""
        return cls(
            endpoint=profile.endpoint,
            alias=None if profile.standing.prefix in _NOWHERE_YET else alias,
            tls=profile.tls,
            token=token,
            db_name=profile.db_name,
            timeout=profile.timeout if timeout is None else timeout,
            route=route_to(profile.endpoint, lite_port=lite_port, proxy=profile.proxy),
            credential=profile.credential,
            ssl=profile.ssl,
            by_host=profile.uri is None,
            uri_database=profile.address.database,
            standing=profile.standing,
            name=profile.alias,
        )

    @property
    def host(self) -> str:
        """The name that the server's certificate must have."""
        if self.tls is not None and self.tls.server_name is not None:
            return self.tls.server_name
        return self.endpoint.host or "localhost"

    @staticmethod
    def _uri(endpoint: Endpoint, database: str | None) -> str:
        return f"{endpoint.uri}/{database}" if database else endpoint.uri

    def remedy(self, *assignments: str) -> str:
        """How fields of the profile are changed (``FIELD=VALUE`` each): a command where the profile has a name."""
        if self.alias is None:
            return self._made.change(self.name, *assignments)
        return self.standing.change(self.alias, *assignments)

    @property
    def _made(self) -> Standing:
        """Where a profile without a name, or one that stands nowhere yet, is from."""
        return self.standing if self.standing.prefix in _NOWHERE_YET else Standing(prefix=CALL)

    def again(self) -> str:
        """How it is tried for longer."""
        if self.alias is not None:
            return (
                f": {self.standing.command('profile', 'test', self.alias, '--wait', '60')}, or connect(wait_ready=60)"
            )
        if self._made.prefix == ANSWERS:
            return ", and try again"
        return ", and run it again" if self._made.prefix == OPTIONS else ": connect(wait_ready=60)"

    def pinning(self) -> str:
        """How the server's certificate is trusted as it is, after somebody looked at it."""
        shows = "shows the certificate, and trusts it if you say so"
        if self.alias is not None:
            return f"to add the profile anew with --pin-certificate {shows}"
        if self._made.prefix == ANSWERS:
            return "or look at the certificate, and trust it: correct what is trusted"
        if self._made.prefix == OPTIONS:
            return f"--pin-certificate {shows}"
        return f"{self._made.adding('ALIAS', self._uri(self.endpoint, self.uri_database), '--pin-certificate')} {shows}"

    def first_secret(self) -> str:
        """How a profile without a secret gets one."""
        if self.alias is not None:
            keep = self.standing.command("secret", "set", self.alias)
            return f"name a user and store the password: {self.remedy('user=root')}, then {keep}"
        if self._made.prefix == ANSWERS:
            return "correct how you sign in"
        if self._made.prefix == OPTIONS:
            return "give --user and --password-stdin, or --token-stdin"
        return "connect with token=…, or user=… and password=…"

    def tls_remedy(self) -> str:
        """How TLS is turned on where the profile has none, and off where it has."""
        steps = []
        # An ssl of the profile's own decides whatever the uri says, or contradicts it.
        if self.ssl is not None and (self.endpoint.tls or not self.by_host) and self.alias is not None:
            steps.append(self.standing.unset(self.alias, "ssl"))
        if not self.by_host:
            other = replace(self.endpoint, tls=not self.endpoint.tls)
            steps.append(self.remedy(f"uri={self._uri(other, self.uri_database)}"))
        elif not self.endpoint.tls:
            steps.append(self.remedy("ssl=true"))
        return ", then ".join(steps)

    def database_remedy(self, name: str) -> str:
        """How another database is named."""
        if self.uri_database is None:
            return self.remedy(f"db_name={name}")
        return self.remedy(f"uri={self._uri(self.endpoint, name)}")

    def secret_remedy(self) -> str:
        """How another secret takes the place of the one that was sent."""
        return f"{self._in_quotes()}{self._other_secret()}"

    def _in_quotes(self) -> str:
        if self.token is None or not any(map(is_quoted, (self.token.reveal(), self.token.reveal().partition(":")[2]))):
            return ""
        return "the secret stands in quotes, which were sent with it (`docker run --env-file` keeps them): "

    def _other_secret(self) -> str:
        if self.alias is None and self._made.prefix == ANSWERS:
            return "correct how you sign in"
        if self.alias is None:
            return "give the right one" if self._made.prefix == OPTIONS else "connect with other ones"
        source = self.credential and self.credential.source
        if isinstance(source, EnvSource):
            return f"set the variable {source.env} to the right one"
        if isinstance(source, FileSource):
            return f"put the right one into the file {printable(source.file)}"
        kind = "keyring" if self.credential is None else self.credential.kind
        if kind == "command":
            return "see what the profile's command prints: one line, the secret and nothing else"
        if kind == "inline":
            variables = self.standing.variables
            if (name := variables.get("token") or variables.get("password")) is not None:
                return (
                    f"connect with another {name[:-1]}"
                    if name.endswith("=")
                    else f"set the variable {name} to the right one"
                )
            explain = self.standing.command("profile", "show", self.alias, "--explain")
            return f"correct it where it stands, which {explain} tells"
        return f"store the right one: {self.standing.command('secret', 'set', self.alias)}"
