"""A profile as pymilvus wants it.

pymilvus takes one-way TLS as ``server_pem_path`` and mutual TLS as three paths, ignores incomplete sets in silence,
shares connections by address and token alone (2.5 and 2.6: by address, user and database), obeys proxy variables, reads
IPv6 addresses wrongly, and runs ``load_dotenv()`` when it is imported.  A client that is opened here gets a channel of
ours; its arguments say the same, for what else looks at them.

Source: pymilvus 2.5.0, 2.5.18, 2.6.0, 2.6.17 and 3.0.2: ``milvus_client/``, ``client/connection_manager.py``,
``client/grpc_handler.py``, ``client/async_grpc_handler.py``, ``orm/connections.py``, ``settings.py``.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from ..endpoint import Endpoint
from ..errors import ConfigError, MissingExtraError
from ..masked import MASK, MaskedFields, SecretText
from ..profile import Profile
from .options import channel_options, open_async_channel, open_channel
from .pymilvus_channel import AsyncPymilvusChannel, PymilvusChannel
from .pymilvus_import import import_with_pymilvus

NOWHERE = "http://localhost:19530"
"""What a client is made with that has a channel: no version misreads it, and nothing connects to it."""

_OF_THE_CHANNEL = frozenset(
    {
        "uri", "address", "host", "port", "secure", "server_pem_path", "ca_pem_path", "client_pem_path",
        "client_key_path", "server_name", "grpc_options", "channel",
    }
)  # fmt: skip


class ClientArguments(dict[str, Any]):
    """Keyword arguments of ``MilvusClient``; a plain dictionary but for its repr, which hides the token.

    For the caller alone: within the package it would show the token to whoever walks through a traceback's locals.
    """

    def __repr__(self) -> str:
        return repr({name: MASK if name in ("token", "password") else value for name, value in self.items()})


def authentication(token: SecretText | None) -> dict[str, str]:
    """The argument that authenticates, in the clear: keep it in no variable."""
    return {} if token is None else {"token": token.reveal()}


def client_arguments(profile: Profile, endpoint: Endpoint) -> dict[str, Any]:
    """Map a profile to keyword arguments of ``MilvusClient``, all but what authenticates.

    ``grpc_options`` make pymilvus's channel what ours is: no proxy of the environment, a connection of its own.  For
    Milvus Lite the endpoint is its server in this process.

    Raises:
        ConfigError: pymilvus cannot express the profile.
    """
    if ":" in endpoint.host:
        raise ConfigError(
            f"pymilvus cannot connect to the IPv6 address {endpoint.authority}",
            hint="give the profile a host name; the package's own connections take the address as it is",
        )
    # pymilvus 2.5 and early 2.6 ignore grpc_options and `dedicated`.
    options = dict(channel_options(profile))
    options.pop("grpc.ssl_target_name_override", None)  # it comes as server_name
    arguments = {"uri": endpoint.uri, "timeout": profile.timeout, "dedicated": True, "grpc_options": options}
    if profile.db_name is not None:
        arguments["db_name"] = profile.db_name
    if (tls := profile.tls) is not None:
        arguments["secure"] = True
        if tls.cert is not None and tls.ca is not None:
            arguments |= {"ca_pem_path": tls.ca, "client_pem_path": tls.cert, "client_key_path": tls.key}
        elif tls.cert is not None:
            raise ConfigError(
                f"pymilvus takes a client certificate only together with a CA, and {profile.alias!r} names none",
                hint="set ssl.ca to the file with the certificates to trust",
            )
        elif tls.ca is not None:
            arguments["server_pem_path"] = tls.ca
        if tls.server_name is not None:
            arguments["server_name"] = tls.server_name
    return arguments


def shared_arguments(profile: Profile, endpoint: Endpoint, channel: Any) -> dict[str, Any]:
    """Keyword arguments of ``MilvusClient`` that give it a channel of ours; the address is for who looks at it."""
    is_read_rightly = endpoint.kind == "tcp" and ":" not in endpoint.host
    arguments = {"uri": endpoint.uri if is_read_rightly else NOWHERE, "dedicated": True}
    if profile.db_name is not None:
        arguments["db_name"] = profile.db_name
    return {**arguments, "channel": PymilvusChannel(channel)}


def open_client(profile: Profile, endpoint: Endpoint, token: SecretText | None, arguments: MaskedFields) -> Any:
    """A ``pymilvus.MilvusClient`` of a profile, connected, with a TCP connection of its own.

    It is for another login than that of the profile, and for a pymilvus that takes no channel of ours.  For Milvus Lite
    the endpoint is its server in this process.  The arguments win over those of the profile; one that says how to
    connect (``uri``, ``secure``, ``grpc_options`` ...) leaves the connection to pymilvus.

    Raises:
        MissingExtraError: pymilvus is not installed or too old.
        ConfigError: it cannot express the profile.
        pymilvus.MilvusException: it cannot connect.
    """
    return _client("MilvusClient", open_channel, PymilvusChannel, profile, endpoint, token, arguments)


def open_async_client(profile: Profile, endpoint: Endpoint, token: SecretText | None, arguments: MaskedFields) -> Any:
    """A ``pymilvus.AsyncMilvusClient`` of a profile, for the running event loop; it connects with its first call."""
    return _client("AsyncMilvusClient", open_async_channel, AsyncPymilvusChannel, profile, endpoint, token, arguments)


def _client(
    name: str,
    open_raw: Callable[..., Any],
    view: Callable[..., Any],
    profile: Profile,
    endpoint: Endpoint,
    token: SecretText | None,
    arguments: MaskedFields,
) -> Any:
    make = client_class(name)
    given = MaskedFields(
        {**client_arguments(profile, endpoint), **authentication(token), **private_alias(), **arguments}
    )
    channel = None
    if not arguments.keys() & _OF_THE_CHANNEL:
        raw = open_raw(profile, lite_port=endpoint.port if profile.endpoint.kind == "lite" else None)
        channel = view(raw, closes=True)
        given = MaskedFields({**given, "channel": channel})
    failure: BaseException | None = None
    try:
        client = make(**given)
        if channel is not None:
            # pymilvus keeps what a client has, whoever drops it without closing it.
            weakref.finalize(client, channel.let_go).atexit = False
        return client
    except BaseException as error:
        failure = _bare(error)
    try:
        if channel is not None and name == "MilvusClient":
            channel.close()
        raise failure
    finally:
        del failure


def private_alias() -> dict[str, str]:
    """What keeps pymilvus 2.5 and 2.6 from giving the client a connection that another one has."""
    # Without this module (2.5.0) every client is on its own, and `alias` is an error; pymilvus 3 ignores it.
    return {"alias": f"milvus-profiles-{uuid.uuid4().hex}"} if find_spec("pymilvus.milvus_client._utils") else {}


def client_class(name: str) -> Any:
    """The class of pymilvus's clients of that name.

    Raises:
        ConfigError: pymilvus is not installed, or too old.
    """
    try:
        pymilvus = import_with_pymilvus("pymilvus")
    except ImportError:
        raise MissingExtraError(
            "pymilvus is not installed", hint='install it: pip install "milvus-profiles[pymilvus]"'
        ) from None
    found = getattr(pymilvus, name, None)
    if found is None:
        raise MissingExtraError(
            f"the installed pymilvus has no {name}", hint="install a newer one: pip install --upgrade pymilvus"
        )
    return found


def _bare(error: BaseException) -> BaseException:
    """An exception without the frames it came through: pymilvus and grpc keep the token in theirs."""
    seen: set[int] = set()  # pymilvus raises exceptions from themselves
    left: list[BaseException | None] = [error]
    while left:
        link = left.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            left += [link.__cause__, link.__context__]
    return error
