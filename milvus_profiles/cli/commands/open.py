"""``open``: the web console of a profile's server, printed, or opened in a browser."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typer import Option

from ...config.layers import standing_of
from ...config.trust import remedy
from ...errors import UnreachableError, UntrustedError, UsageError
from ...references import EnvRef
from ...secrets.command import absolute_entries
from ..options import OptionalAlias
from ..output import answer, note, warn_about_profiles
from ..session import current

if TYPE_CHECKING:
    from ...config.resolved import Resolved
    from ...probe.http import Console


_OURS = ("MILVUS_", "ZILLIZ_")
"""How the variables begin that may hold a secret of ours."""


class NoConsoleError(UnreachableError):
    """No web console answers; ``details`` has where it was looked for, for ``--json``."""

    def __init__(self, message: str, seen: tuple[Console, ...], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.details = {"looked_for": _listed(seen)}


def open_console(
    alias: OptionalAlias = None,
    browser: bool = Option(False, "--browser", help="Open it in a web browser too."),
) -> None:
    """Print the address of a server's web console: Attu, Milvus's own WebUI, or Zilliz Cloud's.

    Attu is looked for on ports 8000 and 3000 of the profile's host, Milvus's own WebUI (from 2.5 on) below /webui/ of
    its management port. Where none answers, the exit status is 6, and the error says what was looked for.
    """
    from ...probe.http import NAMES, find_consoles

    session = current()
    resolved = session.use(alias)
    profile = resolved.profile
    warn_about_profiles(session.profiles(), [profile.alias])
    seen = find_consoles(profile, session.env)
    found = [console for console in seen if console.found]
    if not found:
        raise _none(resolved, seen)
    first, others = found[0], found[1:]
    if browser:
        document = resolved.raw.document
        if document is not None and not resolved.trusted:
            raise UntrustedError(
                f"{document.path} is not trusted, and no browser opens an address of it",
                hint=remedy(document, session.profiles().trust),
                location=resolved.origin.location("key"),
            )
        _browse(first.url, [value.env for value in (profile.token, profile.password) if isinstance(value, EnvRef)])
    record: dict[str, Any] = {"alias": profile.alias, "console": first.name, "url": first.url, "opened": browser}
    answer({**record, "looked_for": _listed(seen)}, first.url, asked=True)
    note(f"{NAMES[first.name]} of {profile.alias}{', opened in a browser' if browser else ''}")
    for other in others:
        note(f"also {NAMES[other.name]}: {other.url}")


def _listed(seen: tuple[Console, ...]) -> list[dict[str, Any]]:
    return [{"console": one.name, "url": one.url, "found": one.found, "detail": one.detail} for one in seen]


def _none(resolved: Resolved, seen: tuple[Console, ...]) -> NoConsoleError:
    from ...probe.http import NAMES

    alias, standing = resolved.profile.alias, standing_of(resolved.raw)
    if not seen:
        return NoConsoleError(
            f"there is no web console for {alias}: its address is a file or a socket of this machine",
            seen,
            f"{standing.command('profile', 'test', alias)} shows what the server says",
        )
    looked = "; ".join(f"{NAMES[one.name]} at {one.url} ({one.detail})" for one in seen)
    return NoConsoleError(
        f"no web console for {alias} answers: looked for {looked}",
        seen,
        "start Attu on the server's host, or, where its management port is another one, say so: "
        + standing.change(alias, "management_port=PORT"),
    )


def _browse(url: str, variables: list[str]) -> None:
    """Open an address of ours in the browser of BROWSER, else of the system; UsageError where there is none."""
    import webbrowser

    # What a browser starts with is for it and its children, for days: no secret, and no program of the current
    # directory.  This process ends after this.
    for name in [name for name in os.environ if name.startswith(_OURS) or name in variables]:
        del os.environ[name]
    os.environ["PATH"] = absolute_entries(os.environ.get("PATH", os.defpath))
    with _apart_from_results():
        try:
            opened = webbrowser.open(url)
        except (webbrowser.Error, OSError, ValueError):  # ValueError: a quote in BROWSER that is not closed
            opened = False
    if not opened:
        raise UsageError(f"no web browser opened {url}", hint="set BROWSER to a browser, or open the address yourself")


@contextlib.contextmanager
def _apart_from_results() -> Iterator[None]:
    """Have what a browser says go to standard error, unless it is for somebody to use on this terminal."""
    if sys.stdout.isatty():
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
