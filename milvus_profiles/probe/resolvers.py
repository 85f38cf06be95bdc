"""Tells whether gRPC found nothing at a name that the system's resolver leads right.

gRPC reads /etc/hosts and asks name servers by itself (c-ares), and of a name with several lines it may take one where
the system takes all.  Where the system knows an address that answers, a channel can be told that.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote

from ..endpoint import is_numeric
from ..errors import ConnectTimeoutError, UnreachableError
from ..text import printable
from .context import ConnectContext
from .results import ProbeResults

__all__ = ["ResolversDifferError", "dead_address", "found_nothing", "resolvers_differ"]

# Of a connection that did not come about: no address, or none that lets anybody in.
_UNRESOLVED = re.compile("errors resolving|DNS resolution failed|name resolution|lookup failed")
_UNCONNECTED = re.compile("Connection refused|connect failed|Failed to connect to remote host|unreachable|No route")
_TRIED = re.compile(r"\bipv[46]:(\[[0-9A-Fa-f:.]{1,45}\]|%5B[0-9A-Fa-f:.]{1,45}%5D|[0-9.]{1,15}):\d+")


class ResolversDifferError(UnreachableError):
    """gRPC's resolver leads to nothing, and the system's to an address that answers.

    Attributes:
        addresses: that one first, and then those of its family that were not found dead; numeric.
    """

    addresses: tuple[str, ...] = ()


def found_nothing(details: str) -> bool:
    """Whether gRPC's words say that it connected to nothing."""
    return (_UNRESOLVED.search(details) or _UNCONNECTED.search(details)) is not None


def resolvers_differ(details: str, context: ConnectContext, results: ProbeResults) -> ResolversDifferError | None:
    """The error for a call that found nothing, where the probes found an address that answers; None elsewhere."""
    reached, route = results.address, context.route
    if reached is None or route.path or route.tunnel is not None or is_numeric(route.host):
        return None
    tried = _TRIED.search(details) if _UNCONNECTED.search(details) else None
    if tried is None and not _UNRESOLVED.search(details):
        return None
    # One address for both is no difference: its server came up between the two.
    if tried is not None and _plain(tried[1]) == _plain(reached.host):
        return None
    at = f"only {_plain(tried[1])}, which does not answer" if tried is not None else "no address"
    error = ResolversDifferError(
        f"gRPC's own resolver finds {at} for {printable(route.host)}; the system's finds {reached.host}, which does",
        hint="give the name one line in /etc/hosts, or only addresses that answer; "
        "the variable GRPC_DNS_RESOLVER=native has gRPC ask the system",
    )
    dead = {outcome.address for outcome in results.attempts if not outcome.is_connected}
    more = (one for one in results.resolution.addresses if one.family == reached.family and one not in dead)
    error.addresses = tuple(dict.fromkeys((reached.host, *(one.host for one in more))))
    return error


def dead_address(context: ConnectContext, results: ProbeResults) -> UnreachableError:
    """The error for a call that got no answer in time, where the probes connected to no more than a later address."""
    dead, alive = results.attempts[0].address.host, results.attempts[-1].address.host
    return ConnectTimeoutError(
        f"{context.endpoint} does not answer gRPC in time: of its addresses {dead} does not answer, and {alive} does",
        hint=f"have the name lead to those that answer only, or give it more time: {context.remedy('timeout=30')}",
    )


def _plain(address: str) -> str:
    address = unquote(address).strip("[]")
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
