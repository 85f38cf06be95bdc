"""pymilvus's clients and handlers on a channel of ours.

Making one costs pymilvus milliseconds (a stub of 150 methods, a handshake) and an entry in a registry that is keyed by
address and token, or by alias.  Here pymilvus itself makes one for each database that is asked for in this process,
which is taken out of its registries again.  A channel makes a stub of its own for a copy of that, and whoever asks gets
a copy of the copy, which costs microseconds, shares the stub and no more, and ends with what it belongs to.

Source: pymilvus 2.5.18, 2.6.17 and 3.0.2: ``milvus_client/``, ``client/connection_manager.py``, ``orm/connections.py``.
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from .grpc_process import grpc
from .pymilvus_channel import AsyncPymilvusChannel, PymilvusChannel
from .pymilvus_client import NOWHERE, client_class, private_alias
from .pymilvus_import import import_with_pymilvus

_COUNT = itertools.count(1)

_MODELS: dict[tuple[type[Any], str], tuple[dict[str, Any], Any]] = {}
"""What clients of a class and a database have in common, on whatever channel."""
_MOST_MODELS = 64


class Tie(Protocol):
    """What a client belongs to."""

    def check(self) -> None:
        """Raise where the client may call no more."""
        ...

    def give_back(self) -> None:
        """The client was closed by its user."""
        ...


@dataclass(slots=True)
class _Place:
    """Where a channel leads, as pymilvus is told.

    pymilvus caches schemas under it, for all clients of the process: no two channels may have the same, nor one before
    and after it moved.
    """

    address: str

    @classmethod
    def of(cls, authority: str) -> _Place:
        return cls(f"{authority}#{next(_COUNT)}")


@dataclass(frozen=True, slots=True)
class _Template:
    """What is copied for a client: its class, its attributes, its handler."""

    kind: type[Any]
    attributes: dict[str, Any]
    handler: Any


class ClientSource:
    """Makes what pymilvus has of clients and handlers on one channel.

    Args:
        channel: one of ours; held until :meth:`close`.
        authority: where it leads.
    """

    def __init__(self, channel: Any, authority: str) -> None:
        self._is_async = isinstance(channel, grpc.aio.Channel)
        # The deadline, the token and the retries are the channel's; what it is not told of is the end of this handle.
        self._view = (AsyncPymilvusChannel if self._is_async else PymilvusChannel)(channel)
        self._place = _Place.of(authority)
        self._templates: dict[str, _Template | None] = {}
        self._making = threading.Lock()

    def moved(self, authority: str) -> None:
        """The channel leads elsewhere now."""
        self._place.address = _Place.of(authority).address

    def close(self) -> None:
        """Let go of the channel, whoever still holds a client."""
        self._view.let_go()
        self._templates = {}

    def client(self, db_name: str, tie: Callable[[], Tie]) -> Any:
        """A client on the channel; None if the installed pymilvus takes no channel.

        Args:
            db_name: the database; empty for the server's default.
            tie: makes what the client belongs to.

        Raises:
            ConfigError: pymilvus is not installed or too old.
        """
        template = self._template(db_name)
        if template is None:
            return None
        client = object.__new__(template.kind)
        attributes = vars(client)
        attributes.update(template.attributes)
        if (config := attributes.get("_config")) is not None:
            attributes["_config"] = copy.copy(config)  # it says which database is used
        attributes["_handler"] = _copied(template.handler)
        attributes["_milvus_profiles"] = tie()
        attributes["_milvus_profiles_closed"] = False
        return client

    def handler(self, db_name: str) -> Any:
        """A handler on the channel, as pymilvus's ORM has one for each alias; None and errors as for a client."""
        template = self._template(db_name)
        return None if template is None else _copied(template.handler)

    def _template(self, db_name: str) -> _Template | None:
        templates = self._templates
        if db_name not in templates:
            with self._making:
                if db_name not in templates:
                    make = self._async_template if self._is_async else self._blocking_template
                    templates[db_name] = make(db_name)
        return templates[db_name]

    def _blocking_template(self, db_name: str) -> _Template | None:
        base = client_class("MilvusClient")
        if (model := _MODELS.get((base, db_name))) is None:
            model = self._model(base, db_name)
            if model is None:
                return None
            if len(_MODELS) >= _MOST_MODELS:
                _MODELS.clear()
            _MODELS[base, db_name] = model
        attributes, handler = model[0], _copied(model[1])
        handler._channel = self._view
        handler._setup_grpc_channel()
        return self._of(base, attributes, handler)

    def _model(self, base: type[Any], db_name: str) -> tuple[dict[str, Any], Any] | None:
        """A client's attributes and a handler without a channel; None where the installed pymilvus takes no channel."""
        with self._view.introducing():
            client = base(uri=NOWHERE, db_name=db_name, channel=self._view, dedicated=True, **private_alias())
        original = client._get_connection()
        handler = _copied(original)
        client.close()  # out of pymilvus's registry; the copy keeps the channel
        vars(original).pop("_on_rpc_error", None)  # a circle
        if getattr(handler, "_channel", None) is not self._view:
            return None
        # With pymilvus's interceptor for the identifier, which our channel sends.
        for held in ("_channel", "_final_channel", "_stub"):
            setattr(handler, held, None)
        attributes = dict(vars(client))
        if (config := attributes.get("_config")) is not None:
            config.handler_kwargs = ()  # the channel
        attributes.pop("_handler", None)
        return attributes, handler

    def _async_template(self, db_name: str) -> _Template | None:
        base = client_class("AsyncMilvusClient")
        client = base(uri=NOWHERE, db_name=db_name, channel=self._view, dedicated=True, **private_alias())
        if "_handler" in vars(client):
            # From 2.6 on its first call would make one, in the registry.
            module = import_with_pymilvus("pymilvus.client.async_grpc_handler")
            handler = module.AsyncGrpcHandler(address=self._place.address, db_name=db_name, channel=self._view)
        else:
            handler = _copied(client._get_connection())
            registry = import_with_pymilvus("pymilvus.orm.connections").connections
            registry._alias_handlers.pop(client._using, None)
            registry._alias_config.pop(client._using, None)
        if getattr(handler, "_async_channel", None) is not self._view:
            return None
        handler._is_channel_ready = True
        return self._of(base, vars(client), handler)

    def _of(self, base: type[Any], attributes: dict[str, Any], handler: Any) -> _Template:
        attributes = dict(attributes)
        if (config := attributes.get("_config")) is not None:
            config = attributes["_config"] = copy.copy(config)
            config.address = self._place.address
            config.handler_kwargs = ()
        handler._milvus_profiles_place = self._place
        handler.__class__ = _handler_class(type(handler))  # type: ignore[arg-type]
        attributes["is_self_hosted"] = handler.get_server_type() == "milvus"
        return _Template(_client_class(base), attributes, handler)  # type: ignore[arg-type]


def is_client_closed(client: Any) -> bool:
    """Whether its user closed a client of a source."""
    return bool(client._milvus_profiles_closed)


def _copied(handler: Any) -> Any:
    made = object.__new__(type(handler))
    attributes = vars(made)
    attributes.update(vars(handler))
    # What has pymilvus connect by itself after a failure.
    attributes.pop("_on_rpc_error", None)
    if "schema_cache" in attributes:  # 2.5: of the database that is used
        attributes["schema_cache"] = {}
    return made


def _closed() -> NoReturn:
    exceptions = import_with_pymilvus("pymilvus.exceptions")
    raise exceptions.ConnectionNotExistException(message=exceptions.ExceptionsMessage.ConnectFirst)


def _check(client: Any) -> Any:
    if client._milvus_profiles_closed:
        _closed()
    client._milvus_profiles.check()
    return client._handler


def _end(client: Any) -> None:
    if not client._milvus_profiles_closed:
        client._milvus_profiles_closed = True
        client._milvus_profiles.give_back()


def _not_pickled(client: Any, protocol: object) -> NoReturn:  # noqa: ARG001
    raise TypeError(f"a {type(client).__name__} of a connection is not pickled: let the other process connect by name")


@functools.cache
def _client_class(base: type[Any]) -> type[Any]:
    """pymilvus's class of clients, of which one belongs to a connection: it closes nothing that others use."""

    async def check(self: Any) -> Any:
        return _check(self)

    async def end(self: Any) -> None:
        _end(self)

    awaits = inspect.iscoroutinefunction
    return type(
        base.__name__,
        (base,),
        {
            "__module__": base.__module__,
            "__doc__": base.__doc__,
            "__reduce_ex__": _not_pickled,
            "_get_connection": check if awaits(base._get_connection) else _check,
            "close": end if awaits(base.close) else _end,
        },
    )


@functools.cache
def _handler_class(base: type[Any]) -> type[Any]:
    """pymilvus's class of handlers, of which one has its channel from elsewhere."""

    def nothing(self: Any, *arguments: Any, **named: Any) -> None:
        pass

    async def nothing_awaited(self: Any, *arguments: Any, **named: Any) -> None:
        pass

    idle = nothing_awaited if inspect.iscoroutinefunction(base.close) else nothing
    return type(
        base.__name__,
        (base,),
        {
            "__module__": base.__module__,
            "__doc__": base.__doc__,
            "server_address": property(lambda self: self._milvus_profiles_place.address),
            "close": idle,
            "reconnect": idle,
        },
    )
