"""What the probes saw of a server on which a call failed: the facts that name the cause.

Gathered in the time that a connect has left, so it goes no deeper than it must.  What the facts mean is for
``explain`` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..background import Deadline
from ..connectable import TLSSettings
from .sockets import (
    PlaintextOutcome,
    Resolution,
    Route,
    SocketAddress,
    TCPOutcome,
    connect_first,
    probe_plaintext,
    resolve,
)
from .tls import TLSOutcome, probe_tls, probe_unverified

__all__ = ["ProbeResults", "gather_results", "reach"]


@dataclass(frozen=True, slots=True)
class ProbeResults:
    """What was seen, from the name up; what was not looked at is None.

    Attributes:
        tls: what the port showed to a TLS client: always looked at where the profile has TLS, and without verification
            where it has none but the port speaks no HTTP/2 in plaintext.
        plaintext: what the port answered to plaintext, where the profile has no TLS.
    """

    resolution: Resolution
    attempts: tuple[TCPOutcome, ...] = ()
    tls: TLSOutcome | None = None
    plaintext: PlaintextOutcome | None = None

    @property
    def address(self) -> SocketAddress | None:
        """The address that connects; None if none does."""
        return self.attempts[-1].address if self.attempts and self.attempts[-1].is_connected else None


def reach(route: Route, deadline: Deadline) -> ProbeResults:
    """Resolve a route, and see which of its addresses connects."""
    resolution = resolve(route, deadline)
    return ProbeResults(resolution, connect_first(resolution.addresses, deadline))


def gather_results(route: Route, host: str, tls: TLSSettings | None, deadline: Deadline) -> ProbeResults:
    """Look at a server, one layer after the other, as far as each lets us.

    With TLS its certificate should be for ``host``; what is wrong with the profile's own TLS files is raised.
    """
    results = reach(route, deadline)
    if (address := results.address) is None:
        return results
    if tls is not None:
        return replace(results, tls=probe_tls(address, host, tls, deadline))
    plaintext = probe_plaintext(address, deadline)
    # "http1": nginx answers plaintext on a port of TLS as a web server does.
    is_tls_possible = plaintext.speaks in ("closed", "tls", "other", "http1")
    seen = probe_unverified(address, host, deadline) if is_tls_possible else None
    return replace(results, tls=seen, plaintext=plaintext)
