"""Which profile is meant where none is named, and the settings of the root."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_profiles.config.loading import load
from milvus_profiles.errors import UnknownProfileError
from tests.support.errors import refused
from tests.support.files import written
from tests.support.world import World, aliases

# --- the settings of the root --------------------------------------------------------------------------------------


def test_root_settings_come_from_the_nearest_file_and_limits_add_up(world: World) -> None:
    world.user('default_profile = "u"\nmax_connections = 5\nkeyring_backends = ["a.B"]\n')
    world.found('default_profile = "p"\nmax_connections = 9\n')
    made = world.load().settings
    assert (made.default_profile, made.max_connections, made.keyring_backends) == ("p", 5, ["a.B"])
    world.found("max_connections = 3\n")
    assert world.load().settings.max_connections == 3
    assert load(env={"HOME": "/nowhere"}, cwd="/").settings.max_connections == 65_536


WRONG_SETTINGS = {
    "default_profile must be the alias": ["5", "['x']"],
    "max_connections must be a whole number from 1 to 65536": ["'5'", "true", "0", "65537", "5.0", "0x" + "f" * 5000],
    "keyring_backends must be an array": ["'x'", "['x', 5]"],
}


@pytest.mark.parametrize(
    ("said", "value"), [(said, value) for said, values in WRONG_SETTINGS.items() for value in values]
)
def test_wrong_root_settings_are_refused_even_in_a_hidden_file(world: World, said: str, value: str) -> None:
    name = said.split()[0]
    world.user(f"{name} = {value}")
    world.found('default_profile = "x"\nmax_connections = 7\n')
    with refused(f"{said}…", at=f"{world.user_file}:1:{len(name) + 4}") as caught:
        world.load()
    assert len(str(caught.value)) < 600


# --- which one is meant --------------------------------------------------------------------------------------------


def test_each_step_of_the_selection_beats_the_next(world: World) -> None:
    everything = aliases("one", "two", "three", "four", "default")
    world.user(f'default_profile = "two"\n{everything}')
    world.found(f'default_profile = "three"\n{everything}')
    env = {"MILVUS_PROFILE": "four", "MILVUS_URI": "http://env", "MILVUS_CONN_ALIAS": "env"}

    chosen = world.load(**env).select("one", name="--profile")
    assert (chosen.alias, str(chosen.origin)) == ("one", "--profile")
    # An explicit name beats everything around it, and what it hides is said.
    assert chosen.hidden[:2] == ("MILVUS_PROFILE names it (four)", "MILVUS_URI declares it (env)")

    def select(**variables: str) -> tuple[str, str, str]:
        chosen = world.load(**variables).select()
        return chosen.alias, str(chosen.origin), chosen.reason

    assert select(**env) == ("four", "MILVUS_PROFILE", "MILVUS_PROFILE names it")
    del env["MILVUS_PROFILE"]
    assert select(**env)[:2] == ("env", "MILVUS_URI")
    assert f"default_profile of {world.project_file} names it (three)" in world.load(**env).select().hidden
    assert select()[:2] == ("three", f"{world.project_file}:1:1")
    world.found(everything)
    assert select()[:2] == ("two", f"{world.user_file}:1:1")
    world.user(everything)
    assert select() == ("default", "None", "its alias is `default`")
    world.found(aliases("single"))
    world.user("")
    assert select() == ("single", "None", "it is the only one there is")
    assert select(MILVUS_PROFILE="", MILVUS_PROFILES_FILE="") == select()
    world.user(aliases("another"))
    with refused("…none is the default…", hint="…name one of single, another…", kind=UnknownProfileError):
        world.load().select()


def test_a_named_files_default_is_the_only_one(world: World, tmp_path: Path) -> None:
    world.user(f'default_profile = "two"\n{aliases("two")}')
    file = written(tmp_path / "m.toml", f'default_profile = "B"\n{aliases("a", "b")}')
    assert world.load(file).select().alias == "b"
    assert world.load(file, MILVUS_PROFILE="A").select().alias == "a"


def test_what_names_the_same_profile_is_not_hidden(world: World) -> None:
    world.user(f'default_profile = "prod"\n{aliases("prod")}')
    assert world.load(MILVUS_PROFILE="Prod").select("PROD").hidden == ()
    assert world.load(MILVUS_PROFILE="Prod").select("PROD").alias == "prod"


def test_a_selected_name_that_nobody_declares_is_refused_where_it_stands(world: World) -> None:
    world.user(f'default_profile = "prd"\n{aliases("prod", "dev")}')
    for variables, place in (({"MILVUS_PROFILE": "pord"}, "MILVUS_PROFILE"), ({}, f"{world.user_file}:1:19")):
        with refused(at=place, hint="did you mean 'prod'?", kind=UnknownProfileError):
            world.load(**variables).select()
    with refused(at="None", kind=UnknownProfileError):
        world.load().select("nobody")


def test_templates_and_typing_errors_are_not_the_only_one_there_is(world: World) -> None:
    world.user('[profiles.base]\ntimeout = 3\n[profiles.real]\nextends = "base"\nuri = "http://h"\n')
    assert world.load(MILVUS_PROFILES__RAEL__TIMEOUT="3").select().alias == "real"
    world.user("[profiles.base]\ntimeout = 3\n")
    with pytest.raises(UnknownProfileError, match="none is the default"):
        world.load().select()
    # A broken one counts: it wants to be one, and says what is wrong when it is taken.
    world.user("[profiles.broken]\nextends = 'x'\n")
    assert world.load().select().alias == "broken"
