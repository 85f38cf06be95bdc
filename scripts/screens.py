"""Draws the terminal pictures of the documentation: each is a real run of the real program, on a terminal of its own.

    screens.py               into docs/screens
    screens.py DIRECTORY     elsewhere

A Milvus with TLS and a user is started for them, so `make screens` runs this in a network of its own. What the program
writes to its terminal is read by pyte, a terminal emulator, and drawn by rich as SVG, which asks nobody for fonts.
"""

from __future__ import annotations

import ctypes
import fcntl
import html
import itertools
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyte
from loopback import CLONE_NEWUSER, unshare
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

PROJECT = Path(__file__).absolute().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.support import certificates  # noqa: E402
from tests.support.milvus import MilvusServer  # noqa: E402
from tests.support.ports import documented_port  # noqa: E402
from tests.support.reaper import Reaper  # noqa: E402

COLUMNS, LINES = 80, 60
_PRIVATE = Path("/srv")
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
_SECONDS = 60.0
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Scene:
    """One picture: a command, its exit status, and what is typed at each prompt (bytes are keys)."""

    name: str
    command: str
    status: int = 0
    answers: Sequence[tuple[str, str | bytes]] = ()
    columns: int = COLUMNS


_DOWN = b"\x1b[B"

SCENES = (
    Scene("list", "mvp list"),
    Scene("current", "mvp current"),
    Scene("test", "mvp test prod", columns=120),
    Scene("test-failing", "mvp test staging", status=7, columns=120),
    Scene(
        "add",
        "mvp add",
        answers=(
            ("Address of the Milvus", "https://localhost:19530"),
            ("Name of the profile", b"\x15films\r"),
            ("How do you sign in?", _DOWN * 2 + b"\r"),
            ("Name of the variable", "SHOP_KEY"),
            ("Database (", b"\r"),
            ("What is to be trusted?", b"\r"),
            ("File with its CA", "ca.pem"),
            ("Make it the default profile", "n"),
        ),
        columns=120,
    ),
    Scene("ping", "mvp ping prod -c 5 -i 0.2"),
    Scene("watch", "mvp watch --every 0.5 -c 9", status=7, columns=100),
    Scene("doctor", "mvp doctor"),
)

FILE = """\
default_profile = "prod"

[profiles.prod]
description = "production, read replicas"
uri = "https://localhost:19530"
ssl.ca = "ca.pem"
token = { env = "SHOP_KEY" }

[profiles.staging]
description = "the same server, the wrong scheme"
uri = "http://localhost:19530"

[profiles.local]
description = "embedded, for trying things out"
uri = "./milvus.db"
"""


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else PROJECT / "docs/screens")
    target.mkdir(parents=True, exist_ok=True)
    _enter_home()
    with world() as (cwd, env):
        for scene in SCENES:
            screen = run(scene, cwd, env)
            (target / f"{scene.name}.svg").write_text(drawn(scene, screen))
            print(f"{scene.name}: {scene.command}", flush=True)


def _enter_home() -> None:
    """Have a place that is in memory and this process's alone, so that no path of this machine gets into a picture."""
    user, group = os.geteuid(), os.getegid()
    unshare(_CLONE_NEWNS | (0 if user == 0 else CLONE_NEWUSER))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    libc = ctypes.CDLL(None, use_errno=True)
    for source, target, kind, flags in (
        (b"none", b"/", None, _MS_REC | _MS_PRIVATE),
        (b"tmpfs", os.fsencode(_PRIVATE), b"tmpfs", 0),
    ):
        if libc.mount(source, target, kind, flags, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), _PRIVATE)


@contextmanager
def world() -> Iterator[tuple[Path, dict[str, str]]]:
    """A home with a project in it, and a Milvus at the address that the project names."""
    with ExitStack() as stack:
        reaper = Reaper()
        stack.callback(reaper.close)
        base = Path(tempfile.mkdtemp(dir=_PRIVATE))
        (base / "certificates").mkdir()
        issued = certificates.issue(base / "certificates")
        home = _PRIVATE / "ada"
        project = home / "shop"
        (project / ".git").mkdir(parents=True)
        (project / "milvus.toml").write_text(FILE)
        shutil.copy(issued.ca, project / "ca.pem")
        port = stack.enter_context(documented_port())
        server = MilvusServer(reaper, auth=True, tls="server", certificates=issued, port=port)
        stack.callback(server.remove)
        server.start()
        env = {
            "PATH": f"{_BIN}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm-256color",
            "SHOP_KEY": server.token or "",
        }  # fmt: skip
        subprocess.run(["mvp", "trust"], cwd=project, env=env, check=True, capture_output=True)
        yield project, env


def run(scene: Scene, cwd: Path, env: dict[str, str]) -> pyte.Screen:
    """What a terminal shows when the command has ended."""
    screen = pyte.Screen(scene.columns, LINES)
    stream = pyte.ByteStream(screen)
    # pyte knows no faint letters; nothing here blinks.
    pyte.graphics.TEXT[2] = "+blink"
    stream.feed(f"$ {scene.command}\r\n".encode())
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, scene.columns, 0, 0))
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *shlex.split(scene.command)],
        cwd=cwd, env=env, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    answers, seen, deadline = list(scene.answers), b"", time.monotonic() + _SECONDS
    try:
        while True:
            ended = process.poll() is not None
            if select.select([master], [], [], 0 if ended else 0.1)[0]:
                data = os.read(master, 65536)
                stream.feed(data)
                seen += data
            elif ended:
                break
            if answers and answers[0][0].encode() in seen:
                typed = answers.pop(0)[1]
                time.sleep(0.3)  # a prompt reads a moment after it is shown
                os.write(master, typed if isinstance(typed, bytes) else f"{typed}\r".encode())
                seen = b""
            if time.monotonic() > deadline:
                raise SystemExit(f"{scene.command}: still running")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
        os.close(slave)
    if process.returncode != scene.status or answers:
        raise SystemExit("\n".join([f"{scene.command}: exit status {process.returncode}", *screen.display]).rstrip())
    return screen


def drawn(scene: Scene, screen: pyte.Screen) -> str:
    """The picture of a screen."""
    with open(os.devnull, "w") as nowhere:
        console = Console(
            record=True, file=nowhere, width=scene.columns, force_terminal=True, color_system="truecolor",
            highlight=False, legacy_windows=False,
        )  # fmt: skip
        for line in _lines(screen):
            console.print(line, no_wrap=True, overflow="crop", crop=True)
        svg = console.export_svg(title=scene.command, code_format=_FORMAT, unique_id=f"screen-{scene.name}")
    label = html.escape(f"What {scene.command} shows")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


# Without the fonts that rich's own would fetch.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code, monospace", "Fira Code, ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
)


def _lines(screen: pyte.Screen) -> list[Text]:
    lines = []
    for number in range(screen.lines):
        text = Text()
        cells = [screen.buffer[number][column] for column in range(screen.columns)]
        for style, run_of in itertools.groupby(cells, _style):
            text.append("".join(cell.data for cell in run_of), style)
        text.rstrip()
        lines.append(text)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _style(cell: pyte.screens.Char) -> Style:
    return Style(
        color=_color(cell.fg), bgcolor=_color(cell.bg), bold=cell.bold or None, dim=cell.blink or None,
        italic=cell.italics or None, underline=cell.underscore or None, reverse=cell.reverse or None,
    )  # fmt: skip


def _color(name: str) -> str | None:
    if name == "default":
        return None
    return {"brown": "yellow"}.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else name)


if __name__ == "__main__":
    main()
