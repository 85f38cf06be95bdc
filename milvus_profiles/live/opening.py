"""From a resolved profile to a live channel: secret, Milvus Lite, channel, handshake, in that order.

This is the only way by which the package connects; the test of a profile takes the same steps, so the two cannot
disagree.  Whether plaintext is acceptable and whether the file is trusted was decided before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..channel.core import ChannelCore
from ..channel.metadata import TokenHolder
from ..channel.options import open_channel
from ..deadline import Deadline
from ..errors import DatabaseInUseError, MilvusProfilesError, ServerNotReadyError, UnreachableError
from ..masked import SecretText
from ..profile import Profile
from ..secrets import OSKeyring, SecretContext, keyring_timeout, resolve
from .handshake import ServerInfo, handshake
from .limit import OPEN_CONNECTIONS
from .shared_channel import OpenedChannel, SharedChannel
from .spec import ChannelSpec, SpecKey, context_of

if TYPE_CHECKING:
    from ..channel.lite import LiteLease
    from ..config.profiles import Profiles, Resolved

__all__ = [
    "ChannelSpec",
    "OpenedChannel",
    "RetryUntilReady",
    "SharedChannel",
    "lite_of",
    "open_live",
    "open_or_move",
    "patiently",
    "recipe_of",
    "secret_context",
    "start",
]

_PAUSE, _PAUSE_MAX = 0.1, 1.0

T = TypeVar("T")


def secret_context(profiles: Profiles, alias: str) -> SecretContext:
    """What resolving a secret needs to know, for a program without a terminal.

    Args:
        profiles: their environment and root settings.
        alias: the profile, for messages.
    """
    extra = profiles.settings.keyring_backends
    keyring = OSKeyring(extra_backends=extra, timeout=keyring_timeout(profiles.env))
    return SecretContext(env=profiles.env, keyring=keyring, alias=alias)


def recipe_of(resolved: Resolved, profiles: Profiles) -> ChannelSpec:
    """What opening a channel of a profile takes.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
    """
    profile = resolved.profile
    context = secret_context(profiles, profile.alias)
    return ChannelSpec(profile, lambda refresh: resolve(profile.credential, profile.endpoint, context, refresh=refresh))


def lite_of(profile: Profile) -> LiteLease | None:
    """The Milvus Lite of a profile, started if need be; None where it is none.

    Args:
        profile: not a template.

    Raises:
        DatabaseInUseError: another process has the database open.
        UntrustedError: an untrusted project file names it, and this user did not have it made.
        ConfigError: Milvus Lite cannot be started.
    """
    if profile.endpoint.kind != "lite":
        return None
    from ..channel.lite import acquire_lite

    return acquire_lite(profile.endpoint.path, profile.untrusted)


def start(
    profile: Profile, token: SecretText | None, refresh: Callable[[], SecretText | None], *, largest: int | None = None
) -> OpenedChannel:
    """Everything of connecting that comes before the first call.

    Args:
        profile: not a template.
        token: what authenticates.
        refresh: resolves it anew when the server refuses it.
        largest: bytes of an answer at most; None for any number to calls that connecting does not make.

    Raises:
        DatabaseInUseError: another process has the Milvus Lite database open.
        ConfigError, TLSError: Milvus Lite cannot be started, or a TLS file is wrong.
    """
    lite = lite_of(profile)
    try:
        raw = open_channel(profile, lite_port=lite.port if lite else None, largest=largest)
    except BaseException:
        if lite is not None:
            lite.release()
        raise
    holder = TokenHolder(token, db_name=profile.db_name)
    core = ChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=refresh)
    return OpenedChannel(core, lite, context_of(profile, token, lite))


def open_live(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    dedicated: bool,
    forget: Callable[[SharedChannel], None],
) -> SharedChannel:
    """Open a channel and shake hands.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        dedicated: close the channel with its handle.
        forget: called when the channel has closed by itself.

    Raises:
        ConnectionLimitError: ``max_connections`` are open.
        MilvusProfilesError: what is wrong, classified.
    """
    slot = OPEN_CONNECTIONS.take(profiles.settings.max_connections)
    try:
        spec = recipe_of(resolved, profiles)
        key, started, server = _connected(spec, spec.find(False), wait_ready)
    except BaseException:
        slot.release()
        raise
    return SharedChannel(spec, started, server, key, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


def open_or_move(
    old: SharedChannel | None,
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[SharedChannel], None],
) -> SharedChannel:
    """The channel for a profile that was read anew: the old one moved, or another.

    Args:
        old: the open channel of the same key, which stands on something else than the profile says now.
        resolved: the profile.
        profiles: as for :func:`open_live`, like the others.

    Raises:
        MilvusProfilesError: as :func:`open_live`; ``old`` then goes on as it is.
    """
    if old is not None and _move(old, recipe_of(resolved, profiles), wait_ready):
        return old
    return open_live(resolved, profiles, wait_ready=wait_ready, dedicated=False, forget=forget)


def _connected(
    spec: ChannelSpec, token: SecretText | None, wait_ready: float | None
) -> tuple[SpecKey, OpenedChannel, ServerInfo]:
    """Open a channel and shake hands; the key is from before its files were read."""
    profile = spec.profile
    key = SpecKey.of(profile)
    started = start(profile, token, spec.refresh)
    try:
        server = patiently(lambda: _shake_hands(started, profile), wait_ready)
    except BaseException:
        started.close()
        raise
    return key, started, server


def _shake_hands(started: OpenedChannel, profile: Profile) -> ServerInfo:
    return handshake(started.core, started.context, Deadline.after(profile.timeout), user=profile.user)


def _move(live: SharedChannel, spec: ChannelSpec, wait_ready: float | None) -> bool:
    """Have an open channel serve a profile that was read anew; False where that takes another channel."""
    before, after = live.fingerprint, SpecKey.of(spec.profile)
    change = before.change_to(after)
    if change == "identity":
        return False
    token = spec.find(False)
    if change == "way":
        return _swap(live, spec, token, before, wait_ready)
    holder = TokenHolder(token, db_name=spec.profile.db_name)
    # The server has its say before the living calls get the new secret; the channel of the trial is the one in use.
    trial = OpenedChannel(ChannelCore(live.core.raw, holder), None, context_of(spec.profile, token, live.lite))
    patiently(lambda: _shake_hands(trial, spec.profile), wait_ready)
    return live.equip(spec, holder, after)


def _swap(
    live: SharedChannel, spec: ChannelSpec, token: SecretText | None, before: SpecKey, wait_ready: float | None
) -> bool:
    key, started, server = _connected(spec, token, wait_ready)
    try:
        moved = live.move(spec, started, server, before, key)
    except BaseException:
        if live.core.raw is not started.core.raw:  # an interrupt may have come when it was in use already
            started.close()
        raise
    if not moved:
        started.close()
    return moved


def _renew(live: SharedChannel) -> None:
    """Move a channel whose certificate files have changed over to one that was opened with the new ones."""
    try:
        _swap(live, live.spec, live.token(), live.fingerprint, None)
    except MilvusProfilesError:
        # Half of the files may be written, or the server not be ready for them: the old channel goes on, and the
        # next look tries again.
        return


class RetryUntilReady:
    """When to try again while a server is starting, or cannot be reached yet, and there is time to wait.

    Args:
        wait_ready: seconds to wait; None or 0 tries once.
        clock: monotonic seconds.
    """

    def __init__(self, wait_ready: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_ready = wait_ready
        self._clock = clock
        self._until = clock() + (wait_ready or 0.0)
        self._pause = _PAUSE

    def pause_after(self, error: ServerNotReadyError | UnreachableError) -> float | None:
        """Seconds until the next try; None if this one was the last, and then ``error`` says how long was waited.

        Args:
            error: how it failed.
        """
        pause = self._pause
        if isinstance(error, DatabaseInUseError) or self._clock() + pause >= self._until:
            if self._wait_ready:
                error.message = f"{error.message} (waited {self._wait_ready:g} s)"
            return None
        self._pause = min(pause * 1.6, _PAUSE_MAX)
        return pause


def patiently(context: Callable[[], T], wait_ready: float | None) -> T:
    """Try again while the server is starting, or cannot be reached yet, and there is time to wait.

    Args:
        context: one try.
        wait_ready: seconds to wait; None or 0 tries once.

    Raises:
        MilvusProfilesError: that of the last try.
    """
    waiting = RetryUntilReady(wait_ready)
    while True:
        try:
            return context()
        except (ServerNotReadyError, UnreachableError) as error:
            if (pause := waiting.pause_after(error)) is None:
                raise
        time.sleep(pause)
