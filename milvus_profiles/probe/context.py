"""What a connect tries, as far as whoever explains its failure needs to know it, and the remedies that it makes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..connectable import Connectable, EnvSource, FileSource, TLSSettings
from ..endpoint import Endpoint
from ..masked import SecretText
from ..text import ANSWERS, CALL, OPTIONS, Standing, is_quoted, printable
from .sockets import Route, route_to

ANONYMOUS = "anonymous"
"""The alias of a connection that was opened by an address alone."""
_NOWHERE_YET = (CALL, OPTIONS, ANSWERS)


@dataclass(frozen=True, slots=True)
class ConnectContext:
    """What was tried.

    Attributes:
        tls: the TLS settings in force; None for plaintext.
        token: what authenticated; None for nothing.
        lite_port: where Milvus Lite listens on 127.0.0.1; None for a server.
    """

    profile: Connectable
    tls: TLSSettings | None
    token: SecretText | None = None
    lite_port: int | None = None

    @property
    def alias(self) -> str | None:
        """What the remedies call the profile; None for one that stands nowhere, or nowhere yet."""
        nameless = self.profile.standing.prefix in _NOWHERE_YET or self.profile.alias == ANONYMOUS
        return None if nameless else self.profile.alias

    @property
    def endpoint(self) -> Endpoint:
        """The address."""
        return self.profile.endpoint

    @property
    def route(self) -> Route:
        """The way below gRPC."""
        return route_to(self.endpoint, lite_port=self.lite_port, proxy=self.profile.proxy)

    @property
    def host(self) -> str:
        """The name that the server's certificate must have."""
        if self.tls is not None and self.tls.server_name is not None:
            return self.tls.server_name
        return self.endpoint.host or "localhost"

    @property
    def uri_database(self) -> str | None:
        """The database that stands in the uri itself."""
        return self.profile.address.database

    @property
    def by_host(self) -> bool:
        """Whether the profile declares its address as ``host`` and ``port``, and has no uri."""
        return self.profile.uri is None

    # --- remedies ------------------------------------------------------------------------------------------------

    @property
    def _standing(self) -> Standing:
        standing = self.profile.standing
        return standing if self.alias is not None or standing.prefix in _NOWHERE_YET else Standing(prefix=CALL)

    def _unnamed(self, answers: str, options: str, call: str) -> str:
        """The words for a profile that no command can name: who answers, types options or calls."""
        return {ANSWERS: answers, OPTIONS: options}.get(self._standing.prefix or CALL, call)

    def _uri(self, endpoint: Endpoint) -> str:
        return f"{endpoint.uri}/{self.uri_database}" if self.uri_database else endpoint.uri

    def remedy(self, *assignments: str) -> str:
        """How fields of the profile are changed (``FIELD=VALUE`` each): a command where the profile has a name."""
        return self._standing.change(self.alias or self.profile.alias, *assignments)

    def again(self) -> str:
        if self.alias is not None:
            longer = self._standing.command("profile", "test", self.alias, "--wait", "60")
            return f": {longer}, or connect(wait_ready=60)"
        return self._unnamed(", and try again", ", and run it again", ": connect(wait_ready=60)")

    def pinning(self) -> str:
        """How the server's certificate is trusted as it is, after somebody looked at it."""
        shows = "shows the certificate, and trusts it if you say so"
        if self.alias is not None:
            return f"to add the profile anew with --pin-certificate {shows}"
        return self._unnamed(
            "or look at the certificate, and trust it: correct what is trusted",
            f"--pin-certificate {shows}",
            f"{self._standing.adding('ALIAS', self._uri(self.endpoint), '--pin-certificate')} {shows}",
        )

    def first_secret(self) -> str:
        """How a profile without a secret gets one."""
        if self.alias is not None:
            keep = self._standing.command("secret", "set", self.alias)
            return f"name a user and store the password: {self.remedy('user=root')}, then {keep}"
        return self._unnamed(
            "correct how you sign in",
            "give --user and --password-stdin, or --token-stdin",
            "connect with token=…, or user=… and password=…",
        )

    def tls_remedy(self) -> str:
        """How TLS is turned on where the profile has none, and off where it has."""
        steps = []
        # An ssl of the profile's own decides whatever the uri says, or contradicts it.
        if self.profile.ssl is not None and (self.endpoint.tls or not self.by_host) and self.alias is not None:
            steps.append(self._standing.unset(self.alias, "ssl"))
        if not self.by_host:
            steps.append(self.remedy(f"uri={self._uri(replace(self.endpoint, tls=not self.endpoint.tls))}"))
        elif not self.endpoint.tls:
            steps.append(self.remedy("ssl=true"))
        return ", then ".join(steps)

    def database_remedy(self, name: str) -> str:
        return self.remedy(f"db_name={name}" if self.uri_database is None else f"uri={self.endpoint.uri}/{name}")

    def secret_remedy(self) -> str:
        """How another secret takes the place of the one that was sent."""
        said = "the secret stands in quotes, which were sent with it (`docker run --env-file` keeps them): "
        token = self.token
        if token is None or not any(map(is_quoted, (token.reveal(), token.reveal().partition(":")[2]))):
            return self._other_secret()
        return said + self._other_secret()

    def _other_secret(self) -> str:
        if self.alias is None:
            return self._unnamed("correct how you sign in", "give the right one", "connect with other ones")
        credential = self.profile.credential
        source = credential and credential.source
        if isinstance(source, EnvSource):
            return f"set the variable {source.env} to the right one"
        if isinstance(source, FileSource):
            return f"put the right one into the file {printable(source.file)}"
        kind = "keyring" if credential is None else credential.kind
        if kind == "command":
            return "see what the profile's command prints: one line, the secret and nothing else"
        if kind == "inline":
            variables = self._standing.variables
            name = variables.get("token") or variables.get("password")
            if name is None:
                explain = self._standing.command("profile", "show", self.alias, "--explain")
                return f"correct it where it stands, which {explain} tells"
            if name.endswith("="):
                return f"connect with another {name[:-1]}"
            return f"set the variable {name} to the right one"
        return f"store the right one: {self._standing.command('secret', 'set', self.alias)}"
