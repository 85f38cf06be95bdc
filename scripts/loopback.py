"""Runs a command in a network namespace that has a loopback device and nothing else.

The Milvus servers of the tests listen on every interface whatever their configuration says; in here that harms
nobody, and no test can reach the network by mistake. Needs root, or user namespaces; without either the command runs
as it is, and this says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter() -> None:
    """Move this process into a namespace of its own and bring `lo` up there."""
    if os.geteuid() == 0:
        unshare(_CLONE_NEWNET)
    else:
        user, group = os.geteuid(), os.getegid()
        unshare(CLONE_NEWUSER | _CLONE_NEWNET)
        # Mapped to itself, not to root: a test that may not read a file must find that it cannot.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    with contextlib.suppress(OSError):  # ::1 should be there even where the machine has switched IPv6 off
        _write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def main() -> None:
    command = sys.argv[1:]
    if not command:
        sys.exit("usage: loopback.py COMMAND [ARGUMENT…]")
    try:
        if not sys.platform.startswith("linux"):
            raise OSError("network namespaces are a thing of Linux")
        enter()
    except OSError as error:
        print(f"No network namespace ({error}): test servers will listen on every interface.", file=sys.stderr)
    # Or output that stood in the buffer would be lost with this program.
    sys.stderr.flush()
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
