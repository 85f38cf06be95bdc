"""The pictures of the documentation, as SVG text: two diagrams, and a pool's growth as it was in a real run.

python scripts/pictures.py DIRECTORY
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from xml.sax.saxutils import escape

import milvus_profiles as mp

STYLE = """\
<style>
text { font: 14px system-ui, sans-serif; fill: #222 } .small { font-size: 12px; fill: #555 }
.box { fill: #eef3fb; stroke: #4a6fa5; rx: 6px } .strong { fill: #dff2e3; stroke: #3c8d54; rx: 6px }
.line { stroke: #777; fill: none; stroke-width: 1.5 } .leases { stroke: #4a6fa5; fill: none; stroke-width: 2 }
.channels { stroke: #3c8d54; fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #eee } .small { fill: #bbb } .box { fill: #26334a } .strong { fill: #23402b } .line { stroke: #999 }
}
</style>
<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>
"""


def write(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, text in {"layers": layers(), "connection": connection(), "pool": curve(grown())}.items():
        (target / f"{name}.svg").write_text(text, encoding="utf-8")


def layers() -> str:
    rows = [
        ("the call", "connect(…, db_name=…), options"),
        ("the environment", "MILVUS_PROFILES__…, MILVUS_URI"),
        ("one named file", "--config, MILVUS_PROFILES_FILE"),
        ("the project", "the nearest milvus.toml: inert until trusted"),
        ("the user", "~/.config/milvus/milvus.toml"),
    ]
    parts = [
        box(20, 20 + 52 * index, 430, 42, title, detail, kind="box" if "project" in title else "strong")
        for index, (title, detail) in enumerate(rows)
    ]
    parts.append(box(540, 124, 210, 42, "the profile", "each value with its origin"))
    parts += [arrow(450, 41 + 52 * index, 536, 145) for index in range(len(rows))]
    parts.append(
        text(20, 300, "strongest above; a profile comes whole from the first file that declares it", small=True)
    )
    return svg(760, 315, "Where a profile comes from", parts)


def connection() -> str:
    steps = [
        ("profile", "found and checked"),
        ("secret", "looked up when needed"),
        ("channel", "TCP and TLS by gRPC"),
        ("handshake", "login, database"),
        ("live", "shared by all handles"),
    ]
    parts = [
        box(20 + 176 * index, 20, 160, 46, *step, kind="strong" if index == 4 else "box")
        for index, step in enumerate(steps)
    ]
    parts += [arrow(180 + 176 * index, 43, 194 + 176 * index, 43) for index in range(len(steps) - 1)]
    parts += [
        box(372, 130, 330, 46, "a new channel", "a secret, certificate, address or setting changed"),
        box(724, 130, 160, 46, "drained", "ends with its last call"),
        arrow(640, 130, 760, 68), arrow(804, 66, 804, 128),
        box(20, 130, 330, 46, "an error of its own class", "any step: what was seen, what it means, what to do"),
        arrow(260, 66, 200, 128),
    ]  # fmt: skip
    return svg(905, 195, "The life of a connection", parts)


def grown() -> list[tuple[int, int]]:
    """Leases and channels of a pool while leases are taken and given back, on Milvus Lite."""
    seen: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ends:
        (Path(directory) / "milvus.toml").write_text('[profiles.local]\nuri = "./milvus.db"\n')
        profiles = mp.load(file=Path(directory) / "milvus.toml", env={})
        settings = mp.PoolSettings(eviction_interval=0.2, min_evictable_idle=0.1, max_idle_per_key=1, max_block_wait=60)
        pool = ends.enter_context(mp.ConnectionPool(settings, profiles=profiles))
        held = contextlib.ExitStack()
        leases = [*range(0, 241, 8)]
        for wanted in leases:
            while pool.active_count("local") < wanted:
                held.enter_context(pool.lease("local"))
            time.sleep(0.05)
            seen.append(look(pool))
        held.close()
        for _ in range(20):
            time.sleep(0.1)
            seen.append(look(pool))
    mp.disconnect_all()
    return seen


def look(pool: mp.ConnectionPool) -> tuple[int, int]:
    numbers = pool.stats()
    return numbers.pool_active, numbers.pool_size


def curve(seen: list[tuple[int, int]]) -> str:
    wide, high = 700, 200
    most = max(leases for leases, _ in seen)
    step = wide / (len(seen) - 1)
    lines = {
        "leases": [(50 + index * step, 230 - leases / most * high) for index, (leases, _) in enumerate(seen)],
        "channels": [(50 + index * step, 230 - channels / 5 * high) for index, (_, channels) in enumerate(seen)],
    }
    parts = ['<path class="line" d="M50 30V230H750"/>']
    for name, points in lines.items():
        parts.append(f'<polyline class="{name}" points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}"/>')
    parts += [text(10, 230 - channels / 5 * high + 5, str(channels), small=True) for channels in range(1, 5)]
    parts += [
        text(
            60, 24, f"blue: leases, 0 to {most}; green: channels; soft_limit 50, as recorded on Milvus Lite", small=True
        ),
        text(50, 252, "time", small=True),
    ]
    return svg(770, 260, "A pool grows and shrinks with its leases", parts)


def box(x: float, y: float, width: float, height: float, title: str, detail: str, *, kind: str = "box") -> str:
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        + text(x + 10, y + 18, title)
        + text(x + 10, y + 35, detail, small=True)
    )


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path class="line" d="M{x} {y}L{to_x} {to_y}" marker-end="url(#end)"/>'


def text(x: float, y: float, words: str, *, small: bool = False) -> str:
    return f'<text x="{x}" y="{y:.0f}"{" class=" + chr(34) + "small" + chr(34) if small else ""}>{escape(words)}</text>'


def svg(width: int, height: int, title: str, parts: list[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" style="max-width: {width}px"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE + "\n".join(parts), "</svg>\n"])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
