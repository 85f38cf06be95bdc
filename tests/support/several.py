"""Several command lines in one process, one after the other: what starts the program's imports once only."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from .command import Command, Outcome

_PROGRAM = """\
import contextlib, io, json, sys
from milvus_profiles.cli.entry import main

found = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    found.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def several(
    cli: Command,
    lines: Sequence[Sequence[str]],
    *,
    env: Mapping[str, str | None] | None = None,
    before: Sequence[str] = (),
    timeout: float = 60.0,
) -> list[Outcome]:
    """What comes of each command line.

    Args:
        cli: the command, for its home and its directory.
        lines: the words of each.
        env: as `Command` takes it.
        before: a program and arguments that start Python, such as `setpriv`.
        timeout: seconds for all of them; a command that waits for ever fails the test.
    """
    program = Command([*before, sys.executable, "-c", _PROGRAM], cli.home, cli.cwd)
    done = program(json.dumps([list(words) for words in lines]), env=env, timeout=timeout)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    return [Outcome(status, out, err, 0.0) for status, out, err in done.json]
