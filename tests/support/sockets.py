"""The TCP connections of this process, as the kernel counts them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_ESTABLISHED = "01"


def connections_to(port: int) -> int:
    """Established TCP connections that this process holds to a port of this machine."""
    mine = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            mine.add(os.readlink(link))
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            remote, state, inode = columns[2], columns[3], columns[9]
            if state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port and f"socket:[{inode}]" in mine:
                count += 1
    return count
