"""What borrowers are told who get no lease, or did not return one.

Whoever calls these sees to it that nobody changes the core meanwhile.
"""

from __future__ import annotations

import copy
import traceback
from typing import NoReturn

from ..errors import (
    ConnectFailedError,
    MilvusProfilesError,
    PoolClosedError,
    PoolError,
    PoolExhaustedError,
    PoolTimeoutError,
)
from ..log import log
from ..text import counted
from .leases import Leases
from .state import KeyState, Leak, Outcome, Waiter

__all__ = ["closed", "failed", "leak_message", "not_on_lease", "refused", "tell_leak", "timed_out"]


def refused(core: Leases, key: KeyState, answer: str) -> PoolError:
    """The error for who may not even wait: by the answer of :meth:`Leases.queue_up`."""
    if answer == "closed":
        return closed(core)
    settings = key.settings
    stats = core.stats()
    leases = counted(stats.keys[key.name].pool_active, "lease")
    limit = f"{leases} on {len(key.entries)} of {counted(key.cap, 'connection')}"
    if not settings.block_when_exhausted:
        reason, hint = "and block_when_exhausted is off", "return connections sooner, or raise the limits of the pool"
    else:
        waiting = len(key.queue)
        reason = (
            f"and {counted(waiting, 'borrower')} wait{'s' if waiting == 1 else ''} (max_waiting {settings.max_waiting})"
        )
        hint = "return connections sooner, or raise the limits of the pool or max_waiting"
    return PoolExhaustedError(
        f"the pool has no connection of {key.name!r} left: {limit}, {reason}", hint=hint, stats=stats
    )


def closed(core: Leases) -> PoolClosedError:
    """The error for who uses a closed pool."""
    return PoolClosedError("the pool is closed", stats=core.stats())


def timed_out(core: Leases, key: KeyState, timeout: float) -> PoolTimeoutError:
    """The error for who has waited for too long; its cause is why the last attempt to connect failed, if it did."""
    stats = core.stats()
    of_key = stats.keys[key.name]
    seen = f"{counted(of_key.pool_active, 'lease')} on {of_key.pool_size} of {counted(of_key.pool_max, 'connection')}"
    if key.connecting:
        seen += f", {key.connecting} of which are still being opened"
    error = PoolTimeoutError(
        f"no connection of {key.name!r} within {timeout:g} s: {seen}",
        hint="return connections sooner, or raise max_block_wait or the limits of the pool",
        stats=stats,
    )
    error.__cause__ = _own(key.last_failure)
    return error


def failed(core: Leases, waiter: Waiter) -> PoolError:
    """The error for who waited in vain, though not for too long."""
    if waiter.outcome is Outcome.CLOSED:
        return closed(core)
    cause = _own(waiter.cause)
    if isinstance(cause, MilvusProfilesError):
        reason, hint, location = cause.message, cause.hint, cause.location
    else:
        reason, hint, location = type(cause).__name__, None, None
    error = ConnectFailedError(
        f"the pool could not connect to {waiter.key.name!r}: {reason}",
        hint=hint,
        location=location,
        stats=core.stats(),
    )
    error.__cause__ = cause
    return error


def _own(cause: BaseException | None) -> BaseException | None:
    # Each gets an exception of its own: a shared one would gather everybody's traceback.
    if cause is None:
        return None
    try:
        return copy.copy(cause).with_traceback(None)
    except Exception:  # not every exception of others can be copied
        return cause


def not_on_lease(reason: str = "the connection was returned before") -> NoReturn:
    """Raise because something was returned that is not on lease.

    Raises:
        PoolError: always.
    """
    raise PoolError(reason, hint="return each connection once, to the pool and with the key that it was taken with")


def tell_leak(leak: Leak) -> None:
    """Log that a lease was not returned; nobody holds a lock of the pool meanwhile."""
    log("leak", key=leak.key, message=_leaked(leak), held=leak.held)


def _leaked(leak: Leak) -> str:
    if leak.dropped:
        return f"a connection of {leak.key!r} was dropped without being returned to its pool"
    return f"a connection of {leak.key!r} has been on lease for {leak.held:.0f} s"


def leak_message(leak: Leak) -> str:
    """What a warning says about a lease that was not returned."""
    said = _leaked(leak)
    if leak.stack is None:
        return said
    return f"{said}; it was taken here:\n{''.join(traceback.format_list(leak.stack)).rstrip()}"
