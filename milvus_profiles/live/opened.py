"""A channel from when it is opened until somebody has a handle on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from typing_extensions import Self

from ..channel.metadata import TokenHolder
from ..masked import SecretText
from ..probe.context import ConnectContext
from .handshake import ServerInfo
from .limit import Slot
from .spec import ChannelSpec, SpecKey, context_of

if TYPE_CHECKING:
    from ..channel.core_base import CoreBase
    from ..channel.lite import LiteLease

__all__ = ["OpenedBase", "Possessions", "ReadyChannel"]

C = TypeVar("C", bound="CoreBase[Any]")


@dataclass(frozen=True, slots=True)
class OpenedBase(Generic[C]):
    """A channel on which nothing has been called yet, its Milvus Lite where it is one, and what is tried with it."""

    core: C
    lite: LiteLease | None
    context: ConnectContext

    def given(self, token: SecretText | None, spec: ChannelSpec) -> Self:
        """The same with a token, for one that was opened without."""
        self.core.equip(TokenHolder(token, db_name=spec.profile.db_name), spec.refresh)
        return replace(self, context=context_of(spec.profile, token, self.lite))


@dataclass(frozen=True, slots=True)
class ReadyChannel(Generic[C]):
    """A channel on which the handshake has succeeded.

    Attributes:
        fingerprint: the key of the spec's profile, from before its files were read.
    """

    spec: ChannelSpec
    opened: OpenedBase[C]
    server: ServerInfo
    fingerprint: SpecKey


@dataclass(slots=True)
class Possessions:
    """What an open channel has to give back besides itself."""

    slot: Slot
    lite: LiteLease | None
