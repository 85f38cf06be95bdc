"""What the channels for threads and for asyncio share: one handle's view of a core, and the multi-callables on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from ..half_made import even_half_made

if TYPE_CHECKING:
    from .core_base import CoreBase

__all__ = ["ChannelBase", "MultiCallableBase", "OfThisProcess"]

C = TypeVar("C", bound="CoreBase[Any]")


class OfThisProcess:
    """What hangs on a connection, which no other process can use, and has one owner here."""

    __slots__ = ()

    _elsewhere: ClassVar[str] = "milvus_profiles.connect(ALIAS)"
    """What another process is to call."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        name = type(self).__name__.lstrip("_")
        raise TypeError(
            f"{name} objects are neither pickled nor copied: give the other process the alias, and let it connect by "
            f"that name: {self._elsewhere}"
        )


class MultiCallableBase(OfThisProcess, Generic[C]):
    """What the wrappers of all four arities share; ``make`` makes the multi-callable of a raw channel."""

    def __init__(self, core: C, gate: Callable[[], None], make: Callable[[Any], Any]) -> None:
        self._core = core
        self._gate = gate
        self._make = make
        # One tuple, so that a swap of the raw channel in another thread cannot mix the two.
        self._bound: tuple[Any, Any] = (None, None)

    def _deadline(self, timeout: float | None) -> float | None:
        """Let the call pass the gate, and say how many seconds it has."""
        self._gate()
        return self._core.call_timeout if timeout is None else timeout


@even_half_made
class ChannelBase(OfThisProcess, Generic[C]):
    """One handle's view of a core.

    Args:
        core: what carries the calls, shared with other handles.
        gate: called before each call; raises where the handle is closed.
        on_close: called by ``close``, which itself closes nothing: the channel belongs to the core.
    """

    _unary_unary: ClassVar[Callable[..., Any]]
    _unary_stream: ClassVar[Callable[..., Any]]
    _stream_unary: ClassVar[Callable[..., Any]]
    _stream_stream: ClassVar[Callable[..., Any]]

    def __init__(
        self, core: C, *, gate: Callable[[], None] = lambda: None, on_close: Callable[[], Any] | None = None
    ) -> None:
        self._core = core
        self._gate = gate
        self._on_close = on_close

    # What a stub passes to these four (path, serializers, how to register the method) goes to the raw channel as it is.

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        return self._unary_unary(self._core, self._gate, lambda raw: raw.unary_unary(*arguments, **named))

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        return self._unary_stream(self._core, self._gate, lambda raw: raw.unary_stream(*arguments, **named))

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        return self._stream_unary(self._core, self._gate, lambda raw: raw.stream_unary(*arguments, **named))

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        return self._stream_stream(self._core, self._gate, lambda raw: raw.stream_stream(*arguments, **named))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'closed' if self._core.is_closed else 'open'}>"
