"""What the code promises about itself: imports run down the stair, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import milvus_profiles
from tests.support.command import Command, packages_of
from tests.support.environment import run_python

PACKAGE = Path(milvus_profiles.__file__).parent
SCRIPT = PACKAGE.parent / "scripts/files_entered.py"

# Lower steps first; a module may import its own step and those before it (design: the stair).
STAIR = [
    ["display", "errors", "files", "log", "masked", "names", "pool_stats", "text", "version"],
    ["thread_limits"],
    ["background"],
    ["endpoint"],
    ["connectable"],
    ["fieldtypes"],
    ["pool_settings", "references"],
    ["profile"],
    ["tomltext"],
    ["config"],
    ["secrets"],
    ["channel"],
    ["probe"],
    ["live"],
    ["interop"],
    ["diagnosis", "doctor", "pool"],
    ["aio", "connections", "testing"],
    ["__init__"],
    ["cli"],
    ["cli.commands"],
    ["__main__"],
]  # fmt: skip
STEP = {name: index for index, names in enumerate(STAIR) for name in names}


def modules() -> list[Path]:
    return list(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """The modules of the package that one imports, within functions and for type checkers too."""
    known = {name_of(other) for other in PACKAGE.rglob("*.py")}
    parts = name_of(path).split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        above = package[: len(package) + 1 - node.level] if node.level else []
        source = ".".join((*above, *filter(None, [node.module])))
        for alias in node.names:
            found.add(name if (name := f"{source}.{alias.name}") in known else source)
    return found & known


def room_of(name: str) -> str:
    """The part of the stair to which a module belongs."""
    inner = name.partition(".")[2] or "__init__"
    return "cli.commands" if inner.startswith("cli.commands") else inner.partition(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_down_the_stair(path: Path) -> None:
    room = room_of(name_of(path))
    for other in map(room_of, imported(path)):
        assert STEP[other] <= STEP[room], f"{room} imports {other}"


def test_no_import_runs_in_a_circle() -> None:
    graph = {name_of(path): imported(path) for path in modules()}
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    # What is left imports something that is left.
    assert not graph, {name: others & graph.keys() for name, others in graph.items()}


def test_every_room_has_its_step() -> None:
    assert {room_of(name_of(path)) for path in modules()} == set(STEP)


def test_the_architecture_names_every_room_and_nothing_that_is_not_there() -> None:
    text = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([\w/]+(?:/|\.py))`", text))
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    rooms = {f"{Path(file).parent.as_posix()}/" for file in files if "/" in file}
    elsewhere = {name for name in named if name.startswith(("tests/", "scripts/", "docs/"))}
    assert all((PACKAGE.parent / name).exists() for name in elsewhere)
    assert named - elsewhere <= files | rooms | {"explanations/"}
    assert rooms | {file for file in files if "/" not in file} <= named


def test_how_many_files_connect_enters_is_one_line() -> None:
    done = run_python("import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')", SCRIPT)
    assert re.fullmatch(
        r"connect, profiles loaded: enters functions of \d+ files, \d+ of them in live/\n", done.stdout
    ), done.stderr


def of_others(tree: ast.AST) -> set[str]:
    """The modules of other packages that one imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module or "")
    return found


def test_nothing_imports_click() -> None:
    for path in modules():
        names = of_others(ast.parse(path.read_text()))
        assert not [name for name in names if name.split(".")[0] == "click" or name.startswith("typer._click")]


def loaded(program: str, directory: Path) -> set[str]:
    """The packages that a program imports, in a fresh interpreter."""
    return packages_of(Command([], directory, directory), "-c", program)


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    found = loaded("import milvus_profiles", tmp_path)
    assert "milvus_profiles" in found
    assert not found & {"pydantic", "pydantic_core", "pydantic_settings", "grpc", "keyring", "tomlkit", "pymilvus"}
    assert not found & {"cryptography", "typer", "rich", "google", "tomllib", "tomli"}


def test_profile_list_loads_no_client_and_no_keyring(tmp_path: Path) -> None:
    (tmp_path / "milvus.toml").write_text('[profiles.a]\nuri = "https://h"\nuser = "root"\n')
    program = "import sys; from milvus_profiles.cli.entry import main; sys.exit(main(['profile', 'list']))"
    found = loaded(program, tmp_path)
    assert {"milvus_profiles", "typer", "pydantic"} <= found
    assert not found & {"grpc", "keyring", "tomlkit", "pymilvus", "google", "milvus_lite", "cryptography"}
    assert not found & {"questionary", "prompt_toolkit"}


@pytest.mark.parametrize("words", ["show", "use b", "set a timeout=5", "add c localhost", "rm a", "current", "--help"])
def test_nothing_that_asks_is_loaded_where_nothing_is_asked(words: str, tmp_path: Path) -> None:
    (tmp_path / "milvus.toml").write_text(
        'default_profile = "a"\n[profiles]\na.uri = "https://h"\nb.uri = "https://h"\n'
    )
    program = f"import sys; from milvus_profiles.cli.entry import main; sys.exit(main({words.split()}))"
    assert not loaded(program, tmp_path) & {"questionary", "prompt_toolkit"}


def test_one_module_asks() -> None:
    for path in modules():
        text = path.read_text()
        asks = "typer.confirm" in text or "typer.prompt" in text or "questionary import" in text
        assert not asks or path.relative_to(PACKAGE).as_posix() == "cli/asking.py", path


# Whoever opens what somebody else may have put there does it through `regular_file`; those below write, or read what
# is the system's own.
OPENING = {
    "files/regular_file",
    "files/paths",
    "config/atomic",
    "files/held_directory",
    "cli/entry",
    "cli/internal",
    "secrets/terminal",
}
EXPANDING = {"files/paths"}


def test_files_are_opened_and_tildes_expanded_in_one_place() -> None:
    for path in modules():
        name = str(path.relative_to(PACKAGE).with_suffix(""))
        called = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        opened = {
            call for call in called if call in ("open", "os.open") or call.endswith((".read_text", ".read_bytes"))
        }
        assert not opened or name in OPENING, (name, opened)
        assert "os.path.expanduser" not in called or name in EXPANDING, name


def test_only_one_module_imports_grpc() -> None:
    # What is imported before it lets gRPC write to a program's standard error what a server says.
    for path in modules():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                node.body = []
        if any(name.split(".")[0] == "grpc" for name in of_others(tree)):
            assert path.name == "grpc_process.py"


def test_the_face_has_what_it_names() -> None:
    for name in milvus_profiles.__all__:
        assert getattr(milvus_profiles, name) is not None
    assert set(milvus_profiles.__all__) == set(dir(milvus_profiles))


def test_type_checkers_find_a_public_name_where_it_is_loaded_from() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module]
    typed = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    [rooms] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ROOMS"
    ]
    assert {name: room for room, names in rooms.items() for name in names} == typed


def test_profiles_show_what_is_promised_of_them(tmp_path: Path) -> None:
    profiles = milvus_profiles.load(env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert {"connect", "get", "items", "keys", "values"} <= set(dir(profiles))
    assert all(hasattr(profiles, name) and not name.startswith("_") for name in dir(profiles))


def test_one_place_decides_what_is_printable() -> None:
    # What is refused for not being printable is another rule; and an excerpt keeps the columns of its line.
    for path in modules():
        if path.relative_to(PACKAGE).as_posix() in ("text.py", "config/excerpts.py"):
            continue
        text = path.read_text()
        assert "isprintable() else" not in text.replace("special.get(c) or (c if c.isprintable() else _bytes", ""), path
        assert "unicode_escape" not in text, path
