"""Interactive shells on a pseudo-terminal, with the completion that the program installs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pexpect
from typing_extensions import Self

SHELLS = ("bash", "zsh", "fish")

_CONTROL_A, _CONTROL_K = "\x01", "\x0b"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])")

# What the words of a line are, once the shell has read it; a file that was made says that it did more than read.
_SHOW = """\
#!/bin/sh
printf 'ARGV'
printf '<%s>' "$@"
printf 'END\\n'
"""
_READY = {
    "bash": "for it in 'show-all-if-ambiguous on' 'completion-query-items 0' 'page-completions off' "
    "'enable-bracketed-paste off'; do bind \"set $it\"; done; PS1='> '",
    # By itself zsh expands what was typed when tab is pressed, a command in it too: that is not ours.
    "zsh": "unsetopt beep; LISTMAX=100000; bindkey '^I' complete-word; PROMPT='> '",
    "fish": "function fish_prompt; echo -n '> '; end; set fish_greeting; function fish_right_prompt; end",
}


class InteractiveShell:
    """A shell with the program's completion; `press` types a line and the tab key.

    Args:
        name: bash, zsh or fish.
        program: the installed `milvus-profiles`.
        env: the whole environment; its HOME gets the completion script.
        cwd: where the shell stands.
    """

    def __init__(self, name: str, program: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        bin_directory = Path(env["HOME"]) / "bin"
        bin_directory.mkdir(exist_ok=True)
        (bin_directory / "showargs").write_text(_SHOW)
        (bin_directory / "showargs").chmod(0o755)
        # Without it the first fish of a user begins to read all manual pages.
        (Path(env["HOME"]) / ".local/share/fish/generated_completions").mkdir(parents=True, exist_ok=True)
        terminal = "dumb" if name == "bash" else "xterm"
        self._env = {**env, "PATH": f"{bin_directory}:{env['PATH']}", "TERM": terminal, "SHELL": name}
        path = shutil.which(name)
        assert path is not None
        # From that shell, which the program finds out, and not as its last command, in whose place it would run.
        subprocess.run(
            [path, "-c", f"'{program}' --install-completion || exit 1; true"],
            env=self._env, cwd=env["HOME"], check=True, capture_output=True,
        )  # fmt: skip
        self._child = pexpect.spawn(
            path, ["-i"], env=self._env, cwd=os.fspath(cwd), encoding="utf-8", codec_errors="replace", timeout=30,
            dimensions=(200, 240),
        )  # fmt: skip
        self._number = 0

    def __enter__(self) -> Self:
        self._child.send(f"{_READY[self.name]}\r")
        self._synchronise()
        # The first time zsh only loads the script.
        self.press_only("milvus-profiles exec ")
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def press(self, line: str, more: str = "") -> tuple[list[str], str]:
        """Type a line, press tab, type more, and have the shell read the line.

        Returns:
            The words that a program would get, and what was shown before.
        """
        shown = self._complete(line, f"{more}{_CONTROL_A}showargs \r", "ARGV(.*?)END\r?\n")
        assert isinstance(self._child.match, re.Match)
        words = re.findall(r"<(.*?)>", self._child.match.group(1))
        self._synchronise()
        return words, shown

    def press_only(self, line: str) -> str:
        """Type a line, press tab, and leave the line; what was shown."""
        self._number += 1
        return self._complete(line, f"{_CONTROL_A}{_CONTROL_K}showargs {self._number}\r", f"ARGV<{self._number}>END")

    def run(self, line: str) -> None:
        """Run a command."""
        self._child.send(f"{line}\r")
        self._synchronise()

    def _complete(self, line: str, after: str, expected: str) -> str:
        self._child.send(line)
        self._child.send("\t")
        # zsh throws away what is typed while it completes: wait until the program has answered.
        self._settle()
        self._child.send(after)
        self._child.expect(expected)
        return _ESCAPES.sub("", self._child.before or "")

    def _settle(self) -> None:
        """Until the shell waits for the keyboard: no child of it runs any more."""
        quiet = 0
        while quiet < 4:
            with contextlib.suppress(pexpect.TIMEOUT):
                self._child.expect(r"(?!)", timeout=0.05)
            busy = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split()
            state = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()[0]
            quiet = 0 if busy or state != "S" else quiet + 1

    def _synchronise(self) -> None:
        self._number += 1
        self._child.send(f"showargs {self._number}\r")
        self._child.expect(f"ARGV<{self._number}>END")
