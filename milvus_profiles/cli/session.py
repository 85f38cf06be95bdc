"""One run of the command line: what its global options said, its environment, and where it prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..files.regular_file import is_given
from ..masked import MaskedMapping
from ..names import fold_alias
from ..text import Standing

if TYPE_CHECKING:
    from ..config.layers import Selection
    from ..config.profiles import Profiles
    from ..config.resolved import Resolved
    from ..secrets.os_keyring import OSKeyring


NAME = "milvus-profiles"
"""The program, whatever name it was called by."""


@dataclass
class Session:
    """The state of one run.

    Attributes:
        config, profile: what ``--config`` and ``--profile`` name.
        color: whether colours are allowed where the output is a terminal.
        verbose: how much more to say: 1 what is for experts, 2 what happens meanwhile too.
        explained: codes of errors whose page was named already.
        keyring: that of this run, once it was needed.
        creates: whether the command writes the named file where there is none, so that it need not be there before.
        picked: whether the profile was picked from a list, so that nobody has typed its name.
    """

    env: MaskedMapping = field(default_factory=lambda: MaskedMapping(os.environ))
    config: str | None = None
    profile: str | None = None
    json: bool = False
    color: bool = True
    verbose: int = 0
    quiet: bool = False
    explained: set[str] = field(default_factory=set)
    keyring: OSKeyring | None = None
    warn: Callable[[str], object] = lambda _: None
    creates: bool = False
    picked: bool = False
    _profiles: Profiles | None = field(default=None, repr=False)
    _told: bool = False

    def profiles(self, *, fresh: bool = False) -> Profiles:
        """The profiles in force, loaded when first asked for, or read again (``fresh``) after an edit."""
        if self._profiles is None or fresh:
            from ..config.loading import load

            self._profiles = load(self.config, env=self.env, file_name="--config", new=self.creates)
        return self._profiles

    @property
    def named(self) -> str | None:
        """The profile that ``--profile`` names, else MILVUS_PROFILE; None where neither does."""
        return self.profile or self.env.get("MILVUS_PROFILE") or None

    def agreed(self, alias: str | None) -> str | None:
        """The profile that an argument or ``--profile`` names; UsageError where they name two."""
        if alias is None or self.profile is None:
            return self.profile if alias is None else alias
        if fold_alias(alias) != fold_alias(self.profile):
            raise UsageError("ALIAS and --profile name two profiles", hint="leave one of them out")
        return alias

    def select(self, alias: str | None = None, *, tells: bool = True) -> Selection:
        """The profile that a command works on: its argument, else ``--profile``, else what the layers select.

        A MILVUS_PROFILE that is passed over, and names nothing, is warned of (``tells``).
        """
        wanted = self.agreed(alias)
        if self._profiles is None:
            from ..config.loading import load_for

            self._profiles, left_out = load_for(wanted, self.config, env=self.env, file_name="--config")
            if left_out is not None:
                self.warn(left_out)
                self._told = True  # what it names may stand there
        selection = self._profiles.select(wanted, name="ALIAS" if alias is not None else "--profile")
        if wanted is not None and tells:
            self.tell_of_variable()
        return selection

    def tell_of_variable(self) -> None:
        """Warn of a MILVUS_PROFILE that a name goes before, or all profiles do, and that names nothing."""
        name, profiles = self.env.get("MILVUS_PROFILE"), self.profiles()
        if not name or name in profiles or self._told:
            return
        self._told = True
        error = profiles.unknown(name)
        self.warn(f"MILVUS_PROFILE is passed over: {error.message}" + (f" ({error.hint})" if error.hint else ""))

    def use(self, alias: str | None = None) -> Resolved:
        """The profile that a command connects with, or tells others how to; alias as for :meth:`select`."""
        selected = self.select(alias).alias
        return self.profiles().use(selected)

    @property
    def standing(self) -> Standing:
        """Where profiles stand in this run, for remedies: in the file that it was told, if it was."""
        return Standing(None if self.config is None or is_given(self.config) else self.config)

    def remedy(self, *words: str) -> str:
        """A command of this program, between backticks, for the same file as this run."""
        return self.standing.command(*words)

    def colors(self, stream: Any) -> bool:
        """Whether a stream gets colours: a terminal does, unless NO_COLOR (https://no-color.org) or an option."""
        return self.color and not self.env.get("NO_COLOR") and self.env.get("TERM") != "dumb" and stream.isatty()

    @property
    def interactive(self) -> bool:
        """Whether questions can be asked: both the answer and the question have a terminal, and somebody is there."""
        unattended = self.env.get("CI", "").lower() not in ("", "0", "false")
        return not unattended and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def asks(self) -> bool:
        """Whether what is missing is asked for, instead of being an error: not for programs, which want JSON."""
        return self.interactive and not self.json


_session = Session()


def start() -> Session:
    global _session
    _session = Session()
    return _session


def current() -> Session:
    return _session


def tell_log() -> None:
    import logging

    from ..log import LOG

    if not any(isinstance(handler, logging.StreamHandler) for handler in LOG.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
