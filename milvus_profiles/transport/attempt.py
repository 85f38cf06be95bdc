"""What a connect tries, as far as whoever explains its failure needs to know it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..endpoint import Endpoint
from ..masked import SecretText
from ..profile import SSL, Profile
from .probes import Route, route_to

__all__ = ["Attempt"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, as far as an explanation needs it.

    Attributes:
        endpoint: where it led.
        alias: the profile's name, for the remedies; None for a connection without one.
        tls: the TLS settings in force; None for plaintext.
        token: what authenticated; None for nothing.
        db_name: the database that was named; None for none.
        timeout: seconds that the connect was given.
        route: the way below gRPC.
    """

    endpoint: Endpoint
    alias: str | None = None
    tls: SSL | None = None
    token: SecretText | None = None
    db_name: str | None = None
    timeout: float = 10.0
    route: Route = field(default_factory=lambda: Route("", 0))

    @classmethod
    def of(
        cls,
        profile: Profile,
        token: SecretText | None = None,
        *,
        alias: str | None = None,
        timeout: float | None = None,
        lite_port: int | None = None,
    ) -> Attempt:
        """To connect as a profile says.

        Args:
            profile: not a template.
            token: what authenticates.
            alias: the name to speak of; None for an anonymous connection.
            timeout: seconds; None for the profile's.
            lite_port: the port of its Milvus Lite, for a ``lite`` endpoint.
        """
        return cls(
            endpoint=profile.endpoint,
            alias=alias,
            tls=profile.tls,
            token=token,
            db_name=profile.db_name,
            timeout=profile.timeout if timeout is None else timeout,
            route=route_to(profile.endpoint, lite_port=lite_port, proxy=profile.proxy),
        )

    @property
    def host(self) -> str:
        """The name that the server's certificate must have."""
        if self.tls is not None and self.tls.server_name is not None:
            return self.tls.server_name
        return self.endpoint.host or "localhost"

    @property
    def other_uri(self) -> str:
        """The same address with TLS where it has none, and without where it has."""
        return replace(self.endpoint, tls=not self.endpoint.tls).uri

    def remedy(self, assignment: str) -> str:
        """How a field of the profile is changed: a command where the profile has a name.

        Args:
            assignment: ``FIELD=VALUE``.
        """
        if self.alias is None:
            return f"connect with {assignment}"
        return f"`milvus-profiles profile set {self.alias} {assignment}`"
