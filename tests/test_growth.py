"""No file and no environment makes a command take time that grows faster than what it reads.

Each shape is doubled, and each command must take at most 2.5 times as long for twice as much.  It is processor time in
a process that has imported everything, so that neither imports nor other processes are measured.
"""

from __future__ import annotations

import pstats
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.meter import Cost, Meter

pytestmark = pytest.mark.security

GROWTH = 2.5
JUDGED = 0.3
"""Seconds above those of the smallest file from which on a doubling is judged: below, it is noise."""
ENOUGH = 0.3
"""Seconds after which a ladder ends: what grows with the square has failed long before."""

A_MEGABYTE = 2.0
"""Seconds for a megabyte, whatever the command, on a core that nobody else uses; more where the machine is slower."""

P = '[profiles.p]\nuri = "h"\n'
Shape = Callable[[int], str]


def fill(size: int, piece: Callable[[int], str], separator: str = "") -> str:
    """Pieces by number, as many as make a size."""
    pieces: list[str] = []
    length = 0
    while length < size:
        pieces.append(piece(len(pieces)))
        length += len(pieces[-1]) + len(separator)
    return separator.join(pieces)


def in_p(start: str, piece: Callable[[int], str], separator: str, end: str) -> Shape:
    return lambda size: f"{P}{start}{fill(size, piece, separator)}{end}\n"


def profiles(body: str, first: str = P) -> Shape:
    """Profiles on lines; `#` in the body is their number."""
    return lambda size: first + fill(size, lambda number: f"[profiles.p{number}]\n{body}\n".replace("#", str(number)))


def one_line(body: str) -> Shape:
    return lambda size: f'profiles = {{{fill(size, lambda number: f"p{number}={body}", ", ")}, p={{uri="h"}}}}\n'


def circle(size: int) -> str:
    count = size // 32 + 2
    members = (f'[profiles.p{number}]\nextends = "p{(number + 1) % count}"\n' for number in range(count))
    return "".join(members) + '[profiles.p]\nextends = "p0"\n'


def chain(field: str) -> Shape:
    def text(size: int) -> str:
        count = size // (32 + len(field)) + 2
        links = (
            f'[profiles.p{number}]\nextends = "p{number + 1}"\n{field}'.replace("#", str(number))
            for number in range(count)
        )
        return "".join(links) + f'[profiles.p{count}]\nuri = "h"\n[profiles.p]\nextends = "p0"\n'

    return text


def heirs(body: Callable[[int], str]) -> Shape:
    """One half is a profile that all of the other half extend."""
    return lambda size: (
        f"[profiles.p]\n{body(size // 2)}\n" + fill(size // 2, lambda number: f'[profiles.p{number}]\nextends = "p"\n')
    )


def text(start: str, repeated: str, end: str = "") -> Shape:
    return lambda size: f"{start}{repeated * (size // len(repeated))}{end}\n"


URI = "[profiles.p]\nuri = "
SHAPES: dict[str, tuple[Shape, str]] = {
    # name: the text of a size, and the commands that are measured with it
    "keys of ssl in one line": (in_p("ssl = {", lambda n: f"k{n}=1", ", ", "}"), "show list validate set add remove"),
    "keys of retry in one line": (in_p("retry = {", lambda n: f"attempt{n}=1", ", ", "}"), "show"),
    "keys of pool on lines": (in_p("[profiles.p.pool]\n", lambda n: f"max_total{n}=1", "\n", ""), "explain force"),
    "keys of ssl, dotted": (in_p("", lambda n: f"ssl.k{n}=1", "\n", ""), "list unset"),
    "near misses of fields": (in_p("", lambda n: f"timeout{n}=1", "\n", ""), "load validate force doctor"),
    "fields that are tables": (in_p("", lambda n: f"timeout{n}={{a=1}}", "\n", ""), "list trust"),
    "wrong profiles in one line": (one_line("{x=1}"), "list validate doctor set rename test"),
    "scalar profiles in one line": (one_line("1"), "list validate remove"),
    "wrong profiles on lines": (profiles("x = 1"), "list validate doctor add"),
    "profiles with two mistakes": (profiles("uri = 1\ntimout = 2"), "list validate"),
    "a long command": (in_p("token = {command = [", lambda _: "1", ",", "]}"), "list show set trust"),
    "an array on lines": (in_p("description = [\n", lambda _: "1,\n", "", "]"), "show"),
    "many arrays on lines": (profiles("description = [" + "\n" * 25 + "]"), "validate list"),
    "keyring backends": (lambda n: "keyring_backends = [" + fill(n, lambda _: "1", ",") + "]\n" + P, "list set"),
    "a chain": (chain(""), "show list load rename doctor"),
    "a chain, each with a key of its own": (chain("k# = 1\n"), "list"),
    "heirs of heirs": (
        lambda n: P + fill(n, lambda k: f'[profiles.p{k}]\nextends = "p{k - 1 if k else ""}"\n'),
        "set",
    ),
    "a circle": (circle, "show list validate doctor load test set"),
    "parents that are not there": (profiles('extends = "q#"'), "list validate"),
    "heirs of a thousand keys": (heirs(lambda n: "ssl = {" + fill(n, lambda k: f"k{k}=1", ", ") + "}"), "list"),
    "heirs of a long user": (heirs(lambda n: f'uri = "h"\nuser = "{"u" * n}"'), "list rename"),
    "heirs of a long token": (heirs(lambda n: f'uri = "h"\ntoken = "{"t" * n}"'), "list"),
    "heirs of a long command": (heirs(lambda n: "token = {command = [" + fill(n, lambda _: "'a'", ",") + "]}"), "list"),
    "heirs in one line": (
        lambda n: 'profiles = {p={uri="h"}, ' + fill(n, lambda k: f'p{k}={{extends="p"}}', ", ") + "}\n",
        "rename list",
    ),
    "slashes behind a host": (text(f'{URI}"http://h', "/", '"'), "set show dry"),
    "slashes": (text(f'{URI}"', "/", '"'), "set list"),
    "segments": (text(f'{URI}"http://h', "/x", '"'), "show"),
    "segments of a database": (text(f'{URI}"', "/a", '.db"'), "show trust"),
    "a socket above": (text(f'{URI}"unix:', "../", 'x"'), "show trust"),
    "colons of a host": (text('[profiles.p]\nhost = "', "1:", '"'), "show"),
    "slashes of a proxy": (text(f'{P}proxy = "http://h:1', "/", '"'), "show set trust"),
    "a path to certificates": (text(f'{P}ssl = {{ca = "', "../", '"}'), "show trust"),
    "keys of sixty parts": (in_p("", lambda n: ".".join(["a"] * 60) + f".k{n}=1", "\n", ""), "list complete set"),
    "keys of sixteen parts": (in_p("", lambda n: ".".join(["a"] * 15) + f".k{n}=1", "\n", ""), "show set"),
    "headers of sixteen parts": (in_p("", lambda n: f"[profiles.p{'.a' * 13}.k{n}]", "\n", ""), "show list"),
    "arrays of tables": (in_p("", lambda _: "[[profiles.p.a]]\nb = 1", "\n", ""), "list set rename"),
    "nested arrays": (in_p("description = [", lambda _: "[" * 20 + "]" * 20, ",", "]"), "list set"),
    "arrays nested too deeply": (in_p("description = [", lambda _: "[" * 60 + "]" * 60, ",", "]"), "list add"),
    "nested tables": (in_p("description = [", lambda _: "{a=" * 20 + "1" + "}" * 20, ",", "]"), "show set"),
    "one long string": (text(f'{P}description = "', "x", '"'), "show list set dry"),
    "a string of quotes": (text(f'{P}description = """', '""x', '"""'), "show set"),
    "a string of backslashes": (text(f'{P}description = """', "\\\\", '"""'), "show"),
    "comments": (text("", "#\n", P), "show list set"),
    "a comment of secrets": (text("", "# token", f"\n{P}"), "set dry remove"),
    "a comment of addresses": (text(f"{P}timeout = 1 #", "//x"), "set dry"),
    "spaces": (text(f"{P}timeout =", " ", "1"), "show set"),
    "aliases that fold together": (profiles("", f"{P}[profiles.a-b]\n[profiles.a_b]\n"), "list"),
    "aliases that are none": (lambda n: fill(n, lambda k: f"[profiles.'p {k}']\n"), "list complete"),
    "a long alias": (text(f"{P}[profiles.", "a", "]"), "list set"),
    "a long key": (text(f"{P}ssl = {{", "a", " = 1}"), "show set"),
    "an error at the end of a line": (in_p("ssl = {", lambda n: f"k{n}=1", ", ", "}}"), "list add"),
    "a word that is no value": (text(f"{P}description = ", "a"), "list"),
    "quotes": (text(f"{P}description = ", '"'), "list"),
    "a number": (text(f"{P}timeout = ", "1"), "list"),
    "many long numbers": (in_p("description = [", lambda _: "1" * 3900, ",", f", {'1' * 5000}]"), "list"),
    "dots without a key": (text(f"{P}description = '", "{a.", "'"), "show complete"),
    "literal secrets": (profiles('uri = "h"\ntoken = "s"'), "list doctor set"),
    "proxies": (profiles('uri = "h"\nproxy = "http://h:1"'), "trust list"),
    "valid profiles": (profiles('uri = "h"'), "list complete load missing"),
    "variables": (lambda _: P, "list show"),
    "variables without a profile": (lambda _: P, "doctor"),
}
COMMANDS = {
    "list": ["profile", "list"],
    "show": ["profile", "show", "p"],
    "explain": ["profile", "show", "p", "--explain"],
    "test": ["profile", "test", "p1", "--timeout", "0.05"],
    "validate": ["config", "validate"],
    "set": ["profile", "set", "p", "timeout=5"],
    "dry": ["profile", "set", "p", "uri=h2", "--dry-run"],
    "unset": ["profile", "unset", "p", "ssl"],
    "add": ["profile", "add", "new", "--uri", "h", "--no-test"],
    "force": ["profile", "add", "p", "--uri", "h", "--no-test", "--force"],
    "remove": ["profile", "remove", "p"],
    "rename": ["profile", "rename", "p", "q"],
    "trust": ["trust"],
    "doctor": ["doctor"],
    "complete": ["complete"],
    "load": ["load", "p"],
    "missing": ["load", "nobody"],
}


def environment(shape: str, command: str, size: int) -> dict[str, str]:
    if command == "complete":
        return {
            "_MILVUS_PROFILES_COMPLETE": "complete_bash",
            "COMP_WORDS": "milvus-profiles profile show p",
            "COMP_CWORD": "3",
        }
    if shape == "variables":
        return {f"MILVUS_PROFILES__P{number}__URI": "h" for number in range(size // 40)}
    if shape == "variables without a profile":
        return {f"MILVUS_PROFILES__P{number}__TIMEOUT": "1" for number in range(size // 40)}
    return {}


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    measuring = Meter(tmp_path_factory.mktemp("meter"))
    yield measuring
    measuring.close()


def cost_of(meter: Meter, shape: str, command: str, size: int) -> Cost:
    return meter(COMMANDS[command], SHAPES[shape][0](size), environment(shape, command, size), 60)


def climb(meter: Meter, shape: str, command: str, sizes: list[int], enough: float) -> tuple[int, float]:
    """Double a shape, judging every step; the last size, and the seconds that it took beyond the smallest."""

    def measured(size: int, times: int = 1) -> Cost:
        return min((cost_of(meter, shape, command, size) for _ in range(times)), key=lambda cost: cost.seconds)

    def is_steep(size: int) -> bool:
        # With the next doubling: the garbage collector goes through everything at some sizes and not at others.
        half, whole, double = (measured(s, 3).seconds - floor.seconds for s in (size // 2, size, size * 2))
        return whole > GROWTH * max(half, JUDGED / GROWTH) and double > GROWTH * whole

    floor = measured(500, 2)
    size, before, spent = 500, 0.0, 0.0
    for size in sizes:
        cost = measured(size)
        spent = cost.seconds - floor.seconds
        if spent > JUDGED and spent > GROWTH * max(before, JUDGED / GROWTH):
            # What is to fail is looked at again, twice: others use this machine too.
            assert not (is_steep(size) and is_steep(size)), (size, before, spent)
        assert cost.status in (0, 3, 5, 6), cost  # refused or not, but never interrupted nor unexpected
        # No line of the file as long as it is; a value that is valid is shown as it is, though.
        assert cost.longest < (70_000 if command == "show" and cost.status == 0 else 2500), cost
        assert cost.mebibytes < floor.mebibytes + 64 + 400 * size // (1 << 20), cost
        before = spent
        if spent > enough:
            break
    return size, spent


@pytest.mark.parametrize(("shape", "command"), [(s, c) for s, (_, cs) in SHAPES.items() for c in cs.split()])
def test_twice_as_much_takes_twice_as_long(meter: Meter, shape: str, command: str) -> None:
    size, spent = climb(meter, shape, command, [40_000 << step for step in range(6)], ENOUGH)
    if spent * 1_000_000 / size > A_MEGABYTE / 2:
        judge(meter, shape, command)


def judge(meter: Meter, shape: str, command: str) -> None:
    """Measure a megabyte, and beside it how slow the machine is just then; three times, since others use it too."""
    seen = []
    for _ in range(3):
        slow = meter.slowness()
        taken = cost_of(meter, shape, command, 1_000_000).seconds
        seen.append((taken, slow))
        if taken < A_MEGABYTE * min(slow, meter.slowness()):
            return
    pytest.fail(f"seconds, and how slow the machine was: {seen}")


@pytest.mark.campaign
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_megabytes_end_too(meter: Meter, shape: str) -> None:
    command = SHAPES[shape][1].split()[0]
    climb(meter, shape, command, [20_000 << step for step in range(10)], 4.0)


# --- what is said of it ----------------------------------------------------------------------------------------------


def said_by(meter: Meter, words: list[str], text: str, status: int = 3, seconds: int = 20) -> str:
    assert meter(words, text, {}, seconds).status == status
    return (meter.project / "output").read_text()


def test_findings_stop_at_a_hundred_and_say_how_many_more(meter: Meter) -> None:
    text = f"{P}ssl = {{{', '.join(f'k{number} = 1' for number in range(1000))}}}\n"
    said = said_by(meter, ["config", "validate"], text)
    assert said.count("error: unknown key") == 100
    assert "error: 900 more findings" in said
    said = said_by(meter, ["profile", "show", "p"], text)
    assert "unknown key 'ssl.k0'" in said
    assert "999 more" in said


def test_looking_at_profiles_stops_at_the_hundredth_wrong_one_and_says_how_many_are_left(meter: Meter) -> None:
    text = P + "".join(f"[profiles.p{number}]\nx = 1\n" for number in range(250))
    said = said_by(meter, ["config", "validate"], text)
    assert said.count("error: unknown key 'x'") == 100
    assert "error: 150 more profiles not looked at\nhint: correct those above first" in said
    said = said_by(meter, ["profile", "list"], text, status=0)
    assert said.count("invalid: unknown key 'x'") == 100
    assert "150 more profiles not looked at and not listed: correct the 100 that are invalid" in said
    meter(["doctor"], text, {}, 20)
    assert "95 more are invalid, and 150 not looked at" in (meter.project / "output").read_text()


def test_the_excerpt_of_a_long_line_is_cut_around_the_caret_and_hides_secrets(meter: Meter) -> None:
    text = f"""{P}ssl = {{{", ".join(f'k{number} = "canary{number}"' for number in range(100_000))}}}\n"""
    text = text.replace("k50 =", "ca = 1, k50 =")
    said = said_by(meter, ["config", "validate"], text, seconds=60)
    assert "canary" not in said
    place, excerpt, caret = said.split("error: unknown key 'ssl.k60'\n")[1].splitlines()[:3]
    assert place.endswith(":3:" + str(text.split("\n")[2].index("k60 =") + 1))
    assert len(excerpt) < 180
    assert excerpt[caret.index("^") :].startswith("k60 = ********")


def test_all_of_a_circle_are_told_the_same(meter: Meter, tmp_path: Path) -> None:
    import milvus_profiles as mp

    path = tmp_path / "milvus.toml"
    path.write_text(circle(32_000))
    loaded = mp.load(path, env={})
    told = set()
    for alias in loaded:
        with pytest.raises(mp.ConfigError, match="extends runs in a circle: ") as caught:
            loaded[alias]
        told.add(str(caught.value))
    assert len(told) == 1


PROFILED = """
import cProfile, sys
from milvus_profiles.cli.entry import main
profile = cProfile.Profile()
profile.enable()
status = main(sys.argv[2:])
profile.disable()
profile.dump_stats(sys.argv[1])
raise SystemExit(status)
"""


def calls(home: Path, project: Path, *words: str) -> dict[str, int]:
    """How often a command calls each function, by its module and name."""
    (stats := home / "stats").unlink(missing_ok=True)
    Command([sys.executable, "-c", PROFILED, stats], home, project)(*words, status=0)
    return {f"{Path(file).stem}.{name}": found[0] for (file, _, name), found in pstats.Stats(str(stats)).stats.items()}  # type: ignore[attr-defined]


def test_an_edit_parses_the_text_before_it_and_the_text_after_it_once_each(home: Path, project: Path) -> None:
    (project / "milvus.toml").write_text(P + "".join(f'[profiles.p{n}]\nuri = "h"\n' for n in range(3000)))
    for words in (["set", "p", "timeout=5"], ["rename", "p", "q"], ["copy", "q", "r"], ["remove", "r"]):
        assert calls(home, project, "profile", *words)["parser._parsed"] == 2, words


def test_what_is_the_same_for_all_profiles_is_not_copied_for_each(home: Path, project: Path) -> None:
    (project / "milvus.toml").write_text(P + "".join(f'[profiles.p{n}]\nuri = "h"\n' for n in range(1000)))
    assert calls(home, project, "profile", "list").get("copy.deepcopy", 0) < 500
