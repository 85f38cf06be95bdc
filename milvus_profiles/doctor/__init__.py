"""The examination of an installation: what is wrong on this machine before any server is asked.

A check that cannot be made does not keep the others from being made.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ConfigError
from .environment import (
    check_clock,
    check_dotenv,
    check_files,
    check_home,
    check_profiles,
    check_proxies,
    check_tracked,
    check_trust,
    check_variables,
)
from .finding import DoctorContext, Finding
from .software import check_keyring, check_libraries, check_lite, check_python


def examine(context: DoctorContext) -> Iterator[Finding]:
    yield from check_python()
    yield from check_libraries()
    yield from check_home(context)
    try:
        profiles = context.load()
    except ConfigError as error:
        yield Finding.of("files", error, "correct it, then run doctor again")
        profiles = None
    examined = {} if profiles is None else {alias: result for alias, _, result in profiles.examined()}
    if profiles is not None:
        yield from check_files(profiles)
        yield from check_profiles(profiles, examined)
        yield from check_trust(profiles)
        yield from check_tracked(profiles, context)
    yield from check_lite(examined)
    yield from check_keyring(profiles, examined, context)
    yield from check_variables(profiles, examined, context)
    yield from check_dotenv(context)
    yield from check_proxies(context)
    yield from check_clock(profiles, context)
