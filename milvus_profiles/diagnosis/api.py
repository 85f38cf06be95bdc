"""``diagnose`` of the public API."""

from __future__ import annotations

from collections.abc import Callable

from ..config.loading import load_with_warning
from ..config.profiles import Profiles, profiles_of
from ..errors import MilvusProfilesError, ParamError
from ..live.api import connect
from ..live.opening import secret_context
from ..names import alias_of
from ..profile import Profile
from .report import Report, Stage
from .stages import ProfileTest, diagnose_declared


def diagnose(
    alias: str | Profile | None = None,
    *,
    profiles: Profiles | None = None,
    timeout: float | None = None,
    wait_ready: float | None = None,
    on_stage: Callable[[Stage], None] | None = None,
) -> Report:
    """Test a profile step by step: configuration, secret, network, TLS, gRPC, authentication, database.

    It takes the steps of :func:`milvus_profiles.connect`, and fails where that would raise, with the same code and exit
    status; what is wrong with the profile, its secret or its server stands in the report.  Nothing stays open.

    Args:
        alias: the profile; None takes the selected one, as ``connect`` does.
        profiles: where profiles come from; None reads the files and the environment.
        timeout: seconds for reaching the server, and again for the handshake; None takes the profile's (10).
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        on_stage: called with each :class:`~milvus_profiles.Stage` as it ends.

    Raises:
        UnknownProfileError: there is no such profile.
        ConfigError: a file cannot be read or is invalid as a whole, or a variable is wrong.
        UntrustedError: an untrusted project file selects a profile of someone else.
    """
    try:
        known, name = selected(alias, profiles)
        return diagnose_declared(known, name, ProfileTest(secret_context(known, name), timeout, wait_ready, on_stage))
    except MilvusProfilesError as error:
        error.__traceback__ = None
        raise error


def selected(alias: str | Profile | None, profiles: Profiles | None) -> tuple[Profiles, str]:
    """The profiles, and the alias of the one that is meant; errors are those of :func:`diagnose`."""
    profiles = profiles_of(profiles)
    if alias is not None and not isinstance(alias, Profile):
        alias = alias_of(alias)
    elif alias is not None:
        if not isinstance(alias.source, Profiles):
            raise ParamError(
                "a profile that a program made is in no file to be tested",
                hint="connect to it, or name one that is declared",
            )
        profiles, alias = alias.source if profiles is None else profiles, alias.alias
    known = load_with_warning(alias, connector=connect, stacklevel=3) if profiles is None else profiles
    return known, known.select(alias).alias
