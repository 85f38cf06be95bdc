"""From a resolved profile to a shared channel: secret, Milvus Lite, channel, handshake, in that order.

This is the only way by which the package connects; the test of a profile takes the same steps, so the two cannot
disagree.  Whether plaintext is acceptable and whether the file is trusted was decided before.

What is done, in which order, and what a failure leads to is one plan for threads and event loops: a generator that has
a shell take its steps, yields what the shell gives, and is sent what came of it.  A shell closes what it has opened
where the plan does not come to its end.
"""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..background import Deadline, RetryUntilReady
from ..channel.core import ChannelCore
from ..channel.metadata import TokenHolder
from ..channel.options import begin_connecting, open_channel
from ..connectable import Connectable
from ..errors import MilvusProfilesError, ServerNotReadyError, UnreachableError
from ..log import log
from ..masked import SecretText
from ..probe.causes import ResolversDifferError
from ..probe.context import ConnectContext
from ..secrets.os_keyring import OSKeyring, keyring_timeout
from ..secrets.resolution import SecretContext, resolve, takes_time
from .driving import calls_deadline, drive
from .handshake import Plan, ServerInfo, handshake_plan
from .registry import OpenedChannel, SharedChannel
from .request import told
from .shared_base import SharedChannelBase
from .spec import OPEN_CONNECTIONS, ChannelSpec, OpenedBase, ReadyChannel, SpecKey, context_of

if TYPE_CHECKING:
    from ..channel.lite import LiteLease
    from ..config.profiles import Profiles
    from ..config.resolved import Resolved

_LONGEST_COMMAND = 30.0
_SHORTEST = 0.05
CONFIRMING = 0.25
"""Seconds after which gRPC has tried the addresses of a name once more."""

T = TypeVar("T")
C = TypeVar("C", bound=OpenedBase[Any])


# --- what opening takes -----------------------------------------------------------------------------------------------


def secret_context(profiles: Profiles, alias: str, within: float = _LONGEST_COMMAND) -> SecretContext:
    """What resolving the secret of an alias needs to know, for a program without a terminal, within some seconds."""
    extra = profiles.settings.keyring_backends
    keyring = OSKeyring(extra_backends=extra, timeout=min(keyring_timeout(profiles.env), within))
    return SecretContext(profiles.env, keyring, alias, time_limit=within, standing=profiles.standing)


def spec_of(resolved: Resolved, profiles: Profiles, within: float = _LONGEST_COMMAND) -> ChannelSpec:
    """What opening a channel of a profile takes, whose secret is to be had within some seconds."""
    profile = resolved.connectable
    credential = profile.credential

    def find(refresh: bool) -> SecretText | None:
        if credential is None:
            return None
        # The context is made here: a channel that is open has no need of one.
        context = secret_context(profiles, profile.alias, within)
        return resolve(credential, profile.endpoint, context, refresh=refresh)

    # An address of a project's file is spoken to only where the keyring has a secret for it, whoever trusts the file.
    document = resolved.raw.document
    early = credential is not None and takes_time(credential) and (document is None or document.role != "project")
    return ChannelSpec(profile, find, early and profile.endpoint.kind != "lite")


def lite_of(profile: Connectable) -> LiteLease | None:
    """The Milvus Lite of a profile, started if need be; None where it is none.

    Raises:
        DatabaseInUseError: another process has the database open.
        UntrustedError: an untrusted project file names it, and this user did not have it made.
        ConfigError: Milvus Lite cannot be started.
    """
    if profile.endpoint.kind != "lite":
        return None
    from ..channel.lite import acquire_lite

    return acquire_lite(profile.endpoint.path, profile.untrusted)


# --- the plan ---------------------------------------------------------------------------------------------------------

# What is sent in depends on what was yielded, which no type can say.
OpeningPlan = Generator[Any, Any, T]


class OpeningBase(Generic[C]):
    """The plan, and what a shell does for it: at once, or as something to await.

    Args:
        spec: what opening the channel takes.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.

    Attributes:
        opened: the channel, for who has to close it where the plan does not come to its end.
    """

    def __init__(self, spec: ChannelSpec, wait_ready: float | None = None) -> None:
        self.spec = spec
        self.opened: C | None = None
        self._wait_ready = wait_ready
        self._deadline = Deadline.after(spec.profile.timeout)

    @abstractmethod
    def find(self) -> Any:
        """Find the token; it blocks for as long as a keyring does."""

    @abstractmethod
    def begin(self) -> Any:
        """Open the channel without a token and have it connect; where that cannot be, :meth:`open` says why."""

    @abstractmethod
    def open(self, token: SecretText | None, addresses: Sequence[str] = ()) -> Any:
        """Everything of connecting that comes before the first call; Milvus Lite's start blocks.

        ``addresses`` take the place of the endpoint's name; without any a channel that was begun is the one.
        """

    @abstractmethod
    def shake_hands(self, plan: Plan[ServerInfo], *rest: Any) -> Any:
        """Drive the plan of the handshake; the rest is as for :func:`.driving.drive`."""

    @abstractmethod
    def pause(self, seconds: float) -> Any:
        """Let some time pass."""

    @abstractmethod
    def close(self) -> Any:
        """Close what was opened."""

    def plan(self) -> OpeningPlan[ReadyChannel[Any]]:
        """Open a channel and shake hands."""
        began, profile = time.monotonic(), self.spec.profile
        fingerprint = SpecKey.of(profile)  # from before its files are read
        if self.spec.early:
            # The network meanwhile sees a handshake of TCP and TLS, and nothing of a call.
            yield self.begin()
        token = yield self.find()
        ready = yield from self._connecting(token, fingerprint)
        log("opened", alias=profile.alias, endpoint=str(profile.endpoint), ms=_ms_since(began))
        return ready

    def _connecting(self, token: SecretText | None, fingerprint: SpecKey) -> OpeningPlan[ReadyChannel[Any]]:
        opened: OpenedBase[Any] = yield self.open(token)
        waiting = RetryUntilReady(self._wait_ready)
        try:
            server = yield from self._until_ready(opened.core.raw, opened.core.holder, opened.context, waiting)
        except ResolversDifferError as error:
            opened, server = yield from self._by_address(opened, token, waiting, error)
        return ReadyChannel(self.spec, opened, server, fingerprint)

    def _by_address(
        self, opened: OpenedBase[Any], token: SecretText | None, waiting: RetryUntilReady, found: ResolversDifferError
    ) -> OpeningPlan[tuple[OpenedBase[Any], ServerInfo]]:
        """Connect to the addresses that the system knows: for as long as the channel lives it resolves no name."""
        if self._deadline.remaining < CONFIRMING:
            raise found
        # A server that came up between gRPC's try and the look at it is no difference, and shows now.
        yield self.pause(CONFIRMING)
        try:
            named = self._until_ready(opened.core.raw, opened.core.holder, opened.context, waiting, self._deadline)
            return opened, (yield from named)
        except ResolversDifferError as error:
            addresses = error.addresses
        yield self.close()
        opened = yield self.open(token, addresses)
        addressed = self._until_ready(opened.core.raw, opened.core.holder, opened.context, waiting, self._deadline)
        return opened, (yield from addressed)

    def _until_ready(
        self,
        channel: Any,
        holder: TokenHolder,
        context: ConnectContext,
        waiting: RetryUntilReady,
        first: Deadline | None = None,
    ) -> OpeningPlan[ServerInfo]:
        """Try again while the server is starting, or cannot be reached yet, and there is time to wait.

        ``first`` is the deadline of the first try; None gives it the profile's time.
        """
        profile = self.spec.profile
        while True:
            self._deadline, first = first or Deadline.after(profile.timeout), None
            plan, calls_end = handshake_plan(holder, context, user=profile.user), calls_deadline(self._deadline)
            try:
                server: ServerInfo = yield self.shake_hands(plan, context, channel, self._deadline, calls_end)
                return server
            except ResolversDifferError:
                raise
            except (ServerNotReadyError, UnreachableError) as error:
                if (pause := waiting.pause_after(error)) is None:
                    raise
            yield self.pause(pause)

    def moving(self, shared: SharedChannelBase[Any]) -> OpeningPlan[bool]:
        """Have an open channel serve a profile that was read anew; False where that takes another channel."""
        spec = self.spec
        before, after = shared.fingerprint, SpecKey.of(spec.profile)
        change = before.change_to(after)
        if change == "identity":
            return False
        token = yield self.find()
        if change == "way":
            return (yield from self._swapping(shared, token, before))
        holder, waiting = TokenHolder(token, db_name=spec.profile.db_name), RetryUntilReady(self._wait_ready)
        # The server has its say before the living calls get the new secret; the channel of the trial is the one in use.
        yield from self._until_ready(shared.core.raw, holder, context_of(spec.profile, token, shared.lite), waiting)
        return shared.equip(spec, holder, after)

    def renewing(self, shared: SharedChannelBase[Any]) -> OpeningPlan[bool]:
        """Move a channel whose certificate files have changed over to one that is opened with the new ones.

        Where it fails the old channel goes on, and the next look tries again: half of the files may be written, or the
        server not be ready for them.
        """
        began, before = time.monotonic(), shared.fingerprint
        renewed = yield from self._swapping(shared, shared.token(), before)
        if renewed and shared.fingerprint != before:  # else it was damaged
            log("renewed", alias=shared.profile.alias, ms=_ms_since(began))
        return renewed

    def _swapping(self, shared: SharedChannelBase[Any], token: SecretText | None, before: SpecKey) -> OpeningPlan[bool]:
        began = time.monotonic()
        ready = yield from self._connecting(token, SpecKey.of(self.spec.profile))
        moved = shared.move(ready, before)
        if moved:
            log("moved", alias=shared.profile.alias, endpoint=str(shared.profile.endpoint), ms=_ms_since(began))
        else:
            yield self.close()
        return moved


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1000


# --- for threads ------------------------------------------------------------------------------------------------------


def start(
    profile: Connectable,
    token: SecretText | None,
    refresh: Callable[[], SecretText | None],
    *,
    largest: int | None = None,
    addresses: Sequence[str] = (),
) -> OpenedChannel:
    """Everything of connecting that comes before the first call.

    Args:
        profile: not a template.
        token: what authenticates.
        refresh: resolves it anew when the server refuses it.
        largest: bytes of an answer at most; None for any number to calls that connecting does not make.
        addresses: numeric ones of one family, in place of the endpoint's name.

    Raises:
        DatabaseInUseError: another process has the Milvus Lite database open.
        ConfigError, TLSError: Milvus Lite cannot be started, or a TLS file is wrong.
    """
    lite = lite_of(profile)
    try:
        raw = open_channel(profile, lite_port=lite.port if lite else None, largest=largest, addresses=addresses)
    except BaseException:
        if lite is not None:
            lite.release()
        raise
    holder = TokenHolder(token, db_name=profile.db_name)
    core = ChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=refresh)
    return OpenedChannel(core, lite, context_of(profile, token, lite))


class _Opening(OpeningBase[OpenedChannel]):
    """For threads: each step is done when it is asked for."""

    def find(self) -> SecretText | None:
        return self.spec.find(False)

    def begin(self) -> None:
        with contextlib.suppress(MilvusProfilesError):
            self.opened = start(self.spec.profile, None, self.spec.refresh)
            begin_connecting(self.opened.core.raw)

    def open(self, token: SecretText | None, addresses: Sequence[str] = ()) -> OpenedChannel:
        if self.opened is not None and not addresses:
            self.opened = self.opened.given(token, self.spec)
            return self.opened
        self.opened = start(self.spec.profile, token, self.spec.refresh, addresses=addresses)
        return self.opened

    def shake_hands(self, plan: Plan[ServerInfo], *rest: Any) -> ServerInfo:
        return drive(plan, *rest)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()

    def run(self, plan: OpeningPlan[T], moving: SharedChannel | None = None) -> T:
        answer = None
        try:
            while True:
                answer = plan.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException:
            # An interrupt may have come when it was in use already.
            if moving is None or self.opened is None or moving.core.raw is not self.opened.core.raw:
                self.close()
            raise


def open_shared(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[SharedChannel], None],
    dedicated: bool = False,
    old: SharedChannel | None = None,
) -> SharedChannel:
    """Open a channel and shake hands, or have an open one serve a profile that was read anew.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        forget: called when the channel has closed by itself.
        dedicated: close the channel with its handle.
        old: an open channel, which stands on something else than the profile says now: it is moved, if it can be.

    Raises:
        ConnectionLimitError: ``max_connections`` are open.
        MilvusProfilesError: what is wrong, classified; ``old`` then goes on as it is.
    """
    with told(resolved.connectable.alias):
        spec = spec_of(resolved, profiles)
        if old is not None:
            opening = _Opening(spec, wait_ready)
            if opening.run(opening.moving(old), old):
                return old
        slot = OPEN_CONNECTIONS.take(profiles.settings.max_connections)
        opening = _Opening(spec, wait_ready)
        try:
            ready = opening.run(opening.plan())
        except BaseException:
            slot.release()
            raise
    return SharedChannel(ready, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


def check_opens(resolved: Resolved, profiles: Profiles, deadline: Deadline) -> None:
    """Open a channel, shake hands and close it, all by a moment; arguments and errors as for :func:`open_shared`."""
    spec = spec_of(resolved, profiles, max(deadline.remaining, _SHORTEST))
    token = spec.find(False)
    hurried = resolved.profile.model_copy(update={"timeout": max(deadline.remaining, _SHORTEST)})
    opening = _Opening(ChannelSpec(hurried, lambda _: token))
    try:
        opening.run(opening.plan())
    finally:
        opening.close()


def _renew(shared: SharedChannel) -> None:
    with contextlib.suppress(MilvusProfilesError):
        opening = _Opening(shared.spec)
        opening.run(opening.renewing(shared), shared)
