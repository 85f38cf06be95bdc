"""``watch`` and ``test --watch``: a table that stays on a terminal, else a line of JSON for each round; a clean end.

That a second Ctrl+C ends ``ping`` and ``watch`` without a traceback is held here too.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from milvus_profiles.cli.progress import sparkline
from tests.support import faults, scripted_grpc
from tests.support.command import Command

pytestmark = pytest.mark.programs


@pytest.fixture
def two(project: Path) -> Iterator[None]:
    """A profile that is good, and one that nobody answers."""
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server, faults.refused_port() as nobody:
        (project / "milvus.toml").write_text(
            f'default_profile = "good"\n[profiles.good]\nuri = "http://127.0.0.1:{server.port}"\n'
            f'[profiles.bad]\nuri = "http://127.0.0.1:{nobody}"\n'
        )
        yield


def test_each_round_is_a_line_of_json(cli: Command, two: None) -> None:
    outcome = cli("watch", "--every", "0.1", "-c", "2", status=6)
    first, second = map(json.loads, outcome.stdout.splitlines())
    assert (first["round"], second["round"]) == (1, 2)
    assert [report["alias"] for report in first["reports"]] == ["good", "bad"]
    good, bad = second["reports"]
    assert good["ok"] is True
    assert good["round_trip_ms"] > 0
    assert bad["round_trip_ms"] is None
    assert bad["exit_code"] == 6
    assert outcome.stderr == ""


def test_those_that_are_named_and_the_status_of_the_last_round(cli: Command, two: None) -> None:
    env = {"MILVUS_PROFILE": "good"}
    for words in (["watch", "good"], ["profile", "watch", "--profile", "good"], ["--profile", "good", "watch"]):
        [line] = cli(*words, "--json", "-c", "1", status=0).stdout.splitlines()
        assert [report["alias"] for report in json.loads(line)["reports"]] == ["good"]
    assert [report["alias"] for report in cli("watch", "-c", "1", env=env, status=0).json["reports"]] == ["good"]
    assert "nobody" in cli("watch", "good", "nobody", "-c", "1", status=3).stderr
    assert "there is no profile 'gone'" in cli("watch", "-c", "1", env={"MILVUS_PROFILE": "gone"}, status=3).stderr
    for report in ("--junit", "--html"):
        assert "--watch has no end" in cli("test", "--watch", "1", report, "report", status=2).stderr


def started(cli: Command, *words: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A command that has printed two lines."""
    process = cli.popen(*words)
    assert process.stdout is not None
    return process, [process.stdout.readline() for _ in range(2)]


def test_ctrl_c_ends_it_after_whole_lines(cli: Command, two: None) -> None:
    process, lines = started(cli, "test", "--all", "--watch", "0.1", "--json")
    process.send_signal(signal.SIGINT)
    rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert [set(json.loads(line)) for line in [*lines, *rest.splitlines()]]
    assert stderr.strip() == ""


def test_it_ends_when_nobody_reads_any_more(cli: Command, two: None) -> None:
    process, _ = started(cli, "watch", "--every", "0.1")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    "words",
    [["watch", "--every", "0.1", "--json"], ["ping", "-c", "999", "-i", "0.01", "--json"]],
    ids=["watch", "ping"],
)
@pytest.mark.parametrize("pause", [0.0, 0.003, 0.03])
def test_whoever_presses_ctrl_c_again_and_again_sees_no_traceback(
    cli: Command, two: None, words: list[str], pause: float
) -> None:
    process, _ = started(cli, *words)
    for _ in range(200):
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)  # the same to a shell
    assert stderr.strip() == ""


@pytest.mark.parametrize("keys", [b"\x03", b"\x03\x03\x03"], ids=["once", "again"])
def test_the_table_shows_round_trips_and_the_last_failure(cli: Command, two: None, keys: bytes) -> None:
    screen = cli.tty("watch", "--every", "0.1", answers=[("3 rounds", keys)])
    assert screen.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in screen.text
    last = screen.text[screen.text.rindex("of 2 good") :].splitlines()
    assert "every 0.1 s; Ctrl+C ends it" in last[0]
    good = next(line for line in last if " good " in line)
    assert good.startswith("ok ")
    assert set("▁▂▃▄▅▆▇█") & set(good)
    assert " ms" in good
    bad = next(line for line in last if " bad " in line)
    assert bad.startswith("FAILED ")
    assert "xx" in bad
    assert "tcp: http://127.0.0.1" in bad
    assert max(map(len, last)) <= 80
    assert screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")  # the cursor is back


def test_a_terminal_without_unicode_gets_bars_of_ascii(cli: Command, two: None) -> None:
    env = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    screen = cli.tty("watch", "--every", "0.1", "-c", "2", env=env, status=6)
    assert screen.text.isascii()
    assert " good " in screen.text


def test_a_sparkline_is_as_high_as_its_values() -> None:
    assert sparkline([1, 8, 4.5]) == "▁█▅"
    assert sparkline([1, None, 8]) == "▁x█"
    assert sparkline([None, None]) == "xx"
    assert sparkline([]) == ""
    assert sparkline([100, 101, 100]) == "▁▂▁"
    assert sparkline([0, 0]) == "▁▁"


@pytest.mark.parametrize("words", [["test", "prod"], ["test", "prod", "other"], ["watch", "--every", "0.1", "-c", "2"]])
def test_what_a_narrow_terminal_cannot_show_is_spelled_out(cli: Command, project: Path, words: list[str]) -> None:
    def script(call: scripted_grpc.Call) -> bytes:
        raise scripted_grpc.Refusal(grpc.StatusCode.UNAVAILABLE, "größer")

    env = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    with scripted_grpc.scripted_server(script) as server:
        lines = [f'[profiles.{name}]\nuri = "127.0.0.1:{server.port}"\n' for name in ("prod", "other")]
        (project / "milvus.toml").write_text("".join(lines))
        screen = cli.tty(*words, env=env, columns=300, status=8)
    assert screen.text.isascii()
    assert "gr\\xf6\\xdfer" in screen.text
