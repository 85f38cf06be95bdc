"""Fetches a server's certificate so that a person can look at it and, perhaps, trust it from then on.

Whether the certificate is the right one cannot be known here: this only shows what is presented.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ..background import Deadline
from ..channel.grpc_process import grpc
from ..connectable import Connectable, PlainTLS
from ..errors import TLSError
from ..text import command
from .certificate import Certificate
from .context import ConnectContext
from .explain import classify
from .sockets import route_to
from .tls import Distrust, gather_results, probe_pinned, probe_unverified, reach


@dataclass(frozen=True, slots=True)
class PresentedCertificate(Certificate):
    """A certificate as a server presents it, and what would still be wrong if it were trusted, with words for it."""

    problem: Distrust | None = None
    reason: str = ""

    @property
    def needed_name(self) -> str | None:
        """The ``ssl.server_name`` that the profile needs beside it; None if it needs none, or there is none to need."""
        return self.plain_name if self.problem == "wrong host" else None


def fetch_certificate(profile: Connectable, deadline: Deadline | None = None) -> PresentedCertificate:
    """Ask a server for its certificate, trusting nothing and sending no secret, not even a client certificate.

    The profile's ``ssl.server_name`` is asked for and checked; a deadline of None gives it the profile's ``timeout``.

    Raises:
        UnreachableError, TLSError, NotMilvusError: there is none to be had, as ``connect`` would say it.
    """
    deadline = deadline or Deadline.after(profile.timeout)
    tls = PlainTLS(server_name=None if profile.tls is None else profile.tls.server_name)
    context = ConnectContext(profile, tls)
    results = reach(context.route, deadline)
    if (address := results.address) is not None:
        seen = probe_unverified(address, context.host, deadline)
        if (shown := seen.certificate) is not None:
            again = probe_pinned(address, context.host, shown, deadline)
            # Not seen to be good is not good: what is pinned without a word has to connect.
            problem = None if again.status == "trusted" else again.distrust or "other"
            values = {field.name: getattr(shown, field.name) for field in fields(Certificate)}
            return PresentedCertificate(**values, problem=problem, reason="" if problem is None else again.detail)
        if seen.protocol is not None:
            raise TLSError(
                f"the certificate of {profile.endpoint} cannot be read",
                hint=f"look at it: {command('openssl', 's_client', '-connect', profile.endpoint.authority)}",
            )
        results = replace(results, tls=seen)
    raise classify(grpc.StatusCode.UNAVAILABLE, "", context, results=results)


def untrusted_certificate(profile: Connectable) -> PresentedCertificate | None:
    """The certificate of a server whose issuer is not known here; None where it is, and where that cannot be seen.

    As for :func:`fetch_certificate`, which says what is raised, nothing is trusted and no secret is sent.
    """
    if profile.tls is None or profile.endpoint.kind != "tcp":
        return None
    deadline = Deadline.after(profile.timeout)
    tls = PlainTLS(ca=profile.tls.ca, server_name=profile.tls.server_name)
    route = route_to(profile.endpoint, proxy=profile.proxy)
    seen = gather_results(route, profile.endpoint.host, tls, deadline).tls
    if seen is None or seen.distrust not in ("self-signed", "unknown issuer"):
        return None
    return fetch_certificate(profile, deadline)
