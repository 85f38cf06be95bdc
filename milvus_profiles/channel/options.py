"""From a profile to what gRPC needs to open a channel: target, TLS credentials, channel options.

Certificate files are read here, once for each channel, as :mod:`tls_files` wants them.  This module knows no token and
opens no socket.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..connectable import Connectable, RetryPolicy, TLSSettings
from ..endpoint import Endpoint, is_numeric
from ..masked import SecretText
from .grpc_process import enter_at_once, grpc, need_threads, opened, quietly
from .tls_files import check_tls_files, read_pem
from .wire import LIMITS, READ_METHODS, SERVICE

_LOOPBACK: Final = "127.0.0.1"
_MILLISECONDS: Final = 1000
_SHORTEST_ATTEMPT: Final = 1.0
_ALLOWED_ANYWHERE: Final = 300.0


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """The contents of the TLS files of a profile, PEM; without a CA gRPC's own are trusted."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: SecretText | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """gRPC's form of them."""
        key = None if self.key is None else self.key.reveal().encode("latin-1")
        try:
            return grpc.ssl_channel_credentials(self.ca, key, self.cert)
        finally:
            del key


class _Retry(NamedTuple):
    """A profile's policy, equal for equal ones, whatever class they are of."""

    attempts: int
    initial: float
    max: float

    @classmethod
    def of(cls, policy: RetryPolicy) -> _Retry:
        return cls(policy.attempts, policy.initial, policy.max)


def target_of(
    endpoint: Endpoint, *, lite_port: int | None = None, addresses: Sequence[str] = (), proxied: bool = False
) -> str:
    """The target string of a channel; an endpoint that is a Milvus Lite needs the port where that listens.

    Numeric addresses of one family take the place of the endpoint's name, which gRPC then does not resolve.  Nor does
    it resolve an endpoint that is a numeric address of version 4, unless a proxy is to get it.
    """
    if endpoint.kind == "unix":
        return f"unix:{endpoint.path}"
    if endpoint.kind == "lite":
        if lite_port is None:
            raise ValueError("the port of Milvus Lite is missing")
        return f"ipv4:{_LOOPBACK}:{lite_port}"
    if addresses:
        version, form = ("ipv6", "[{}]:{}") if ":" in addresses[0] else ("ipv4", "{}:{}")
        return f"{version}:" + ",".join(form.format(address, endpoint.port) for address in addresses)
    if not proxied and ":" not in endpoint.host and is_numeric(endpoint.host):
        # The authority and the words of errors are the same, and a resolver for names takes 0.3 KiB and 0.05 ms more.
        return f"ipv4:{endpoint.authority}"
    # With the scheme spelled, a host that is called "unix" or "ipv4" is still a host; literals pass through unresolved.
    return f"dns:///{endpoint.authority}"


def channel_options(
    profile: Connectable, *, largest: int | None = None, addresses: Sequence[str] = ()
) -> tuple[tuple[str, Any], ...]:
    """The options of every channel of a profile; ``largest`` bytes of any answer at most, ``addresses`` as for
    :func:`target_of`."""
    retry = _Retry.of(profile.retry) if profile.retry else None
    # Milvus Lite is in this process, and dies with it.
    keepalive = None if profile.endpoint.kind == "lite" else (profile.keepalive.time, profile.keepalive.timeout)
    options = list(_common_options(keepalive, profile.timeout, -1 if largest is None else largest, retry))
    options.append(("grpc.enable_http_proxy", 0) if profile.proxy is None else ("grpc.http_proxy", profile.proxy))
    if profile.tls is not None and (name := profile.tls.server_name) is not None:
        # Servers behind a router are told apart by the authority, as by the name in the TLS handshake.
        options += [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    elif addresses:
        # What is called, and what the certificate has to be for, is the name all the same.
        options.append(("grpc.default_authority", profile.endpoint.authority))
    return tuple(options)


@functools.lru_cache(maxsize=64)
def _common_options(
    keepalive: tuple[float, float] | None, timeout: float, largest: int, retry: _Retry | None
) -> tuple[tuple[str, Any], ...]:
    """What channels have in common, and share: gRPC keeps what it is given for as long as the channel is open.

    What is gRPC's own default is not given: each option costs a channel some 200 bytes.
    """
    return (
        # Without it all plaintext channels to one target are one TCP connection and share its back-off.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", largest),
        # Only uncompressed: a megabyte of gzip is a gigabyte of answer, and before 1.82 gRPC looks at the size of it
        # when it is all there.  No Milvus compresses unless it was sent something compressed.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        *(() if keepalive is None else _keepalive(*keepalive)),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Despite its name this is the time that ONE attempt gets, TLS and the first HTTP/2 frame included: with 100 ms,
        # which would suit the two above, a server that takes a second to accept is never reached (measured).
        ("grpc.min_reconnect_backoff_ms", _ms(max(timeout, _SHORTEST_ATTEMPT))),
        # A service config from a DNS TXT record could switch on health checks, which Milvus answers with a storm.
        ("grpc.service_config_disable_resolution", 1),
        # What gRPC remembers for its introspection service, which no program here serves: 4 KiB of 33 in each channel.
        ("grpc.enable_channelz", 0),
        # A second way through a proxy, by the address: GRPC_ADDRESS_HTTP_PROXY, for those that are named here.
        ("grpc.address_http_proxy_enabled_addresses", ""),
        ("grpc.service_config", _service_config(retry)),
    )


def _keepalive(wanted: float, timeout: float) -> list[tuple[str, Any]]:
    """The pings that find a dead peer.

    A gRPC server by default (C-core and Go alike, Milvus Lite and gateways among them) allows one in five minutes while
    a call is under way and none else; the third too many ends the connection, with the calls on it.  A Milvus allows
    one in five seconds at any time: whoever asks for pings more often than every five minutes has such a server.
    """
    return [
        ("grpc.keepalive_time_ms", _ms(wanted)),
        ("grpc.keepalive_timeout_ms", _ms(timeout)),
        *([("grpc.keepalive_permit_without_calls", 1)] if wanted < _ALLOWED_ANYWHERE else []),
        # While a ping of gRPC's own (to estimate the bandwidth) is out, no keepalive ping is sent, and that one's limit
        # is a minute: a peer that hung right after a call was found in 60 s, whatever the others say (measured).
        ("grpc.http2.ping_timeout_ms", _ms(timeout)),
    ]


def open_channel(
    profile: Connectable, *, lite_port: int | None = None, largest: int | None = None, addresses: Sequence[str] = ()
) -> grpc.Channel:
    """A raw channel for a profile; nothing connects before its first call.

    ``lite_port`` and ``addresses`` are as for :func:`target_of`, ``largest`` is as for :func:`channel_options`.

    Raises:
        ConfigError: a TLS file cannot be read.
        TLSError: a TLS file is not what it should be.
        ThreadStartError: the system does not give the threads that gRPC needs.
    """
    channel: grpc.Channel = _open(grpc, profile, lite_port, largest, addresses)
    return enter_at_once(channel)


def begin_connecting(channel: grpc.Channel) -> None:
    """Have a raw channel connect now and not at its first call; nothing of a call is sent.

    gRPC's public way, ``subscribe``, has two threads look at the channel, one of them up to 0.2 s longer than it takes,
    and that one prints a traceback where the channel is closed meanwhile (grpcio 1.85).
    """
    check = getattr(getattr(channel, "_channel", None), "check_connectivity_state", None)
    if check is not None:
        check(True)


def open_async_channel(
    profile: Connectable, *, lite_port: int | None = None, addresses: Sequence[str] = ()
) -> grpc.aio.Channel:
    """A raw channel of the running event loop; arguments and errors are those of :func:`open_channel`."""
    channel: grpc.aio.Channel = _open(grpc.aio, profile, lite_port, None, addresses)
    return channel


def _open(api: Any, profile: Connectable, lite_port: int | None, largest: int | None, addresses: Sequence[str]) -> Any:
    target = target_of(profile.endpoint, lite_port=lite_port, addresses=addresses, proxied=profile.proxy is not None)
    options = channel_options(profile, largest=largest, addresses=addresses)
    credentials = None if profile.tls is None else read_tls_files(profile.tls).credentials()
    need_threads(for_asyncio=api is grpc.aio)
    with quietly():
        if credentials is None:
            return opened(api.insecure_channel(target, options))
        return opened(api.secure_channel(target, credentials, options))


def _ms(seconds: float) -> int:
    # gRPC's options are 32-bit, and a day in milliseconds still fits.
    return int(seconds * _MILLISECONDS)


def _duration(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


@functools.lru_cache(maxsize=16)
def _service_config(retry: _Retry | None) -> str:
    policy = (
        None
        if retry is None
        else {
            "maxAttempts": retry.attempts,
            "initialBackoff": _duration(retry.initial),
            "maxBackoff": _duration(retry.max),
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
    )
    # A method stands in one entry only, so those that are both limited and repeated have one of their own kind.
    groups: dict[tuple[int | None, bool], list[str]] = {}
    for method in dict.fromkeys((*(READ_METHODS if policy else ()), *LIMITS)):
        groups.setdefault((LIMITS.get(method), policy is not None and method in READ_METHODS), []).append(method)
    entries: list[dict[str, Any]] = []
    for (limit, is_repeated), methods in groups.items():
        entry: dict[str, Any] = {"name": [{"service": SERVICE, "method": method} for method in methods]}
        if limit is not None:
            entry["maxResponseMessageBytes"] = limit
        if is_repeated:
            entry["retryPolicy"] = policy
        entries.append(entry)
    # Without blanks: every channel holds several copies.
    return json.dumps({"methodConfig": entries}, separators=(",", ":"))


# --- certificate files -----------------------------------------------------------------------------------------------


def read_tls_files(tls: TLSSettings) -> TLSFiles:
    """Read the certificates and the key, as far as they are what they should be: see :func:`check_tls_files`."""
    check_tls_files(tls)
    ca, cert = (None if path is None else read_pem(path) for path in (tls.ca, tls.cert))
    # latin-1 maps every byte to a character and back.
    key = None if tls.key is None else SecretText(read_pem(tls.key).decode("latin-1"))
    return TLSFiles(ca, cert, key)
