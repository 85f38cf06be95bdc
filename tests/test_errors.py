"""The error tree: codes and exit statuses are a contract, texts say where and what to do."""

from __future__ import annotations

import copy
import difflib
import inspect
import pickle
import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles import errors
from milvus_profiles.endpoint import AddressError
from milvus_profiles.errors import Location, MilvusProfilesError, UnknownProfileError
from milvus_profiles.names import suggest
from milvus_profiles.text import DOCUMENTATION

CLASSES = sorted(
    (c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MilvusProfilesError)),
    key=lambda c: c.__name__,
)

# The table of the documentation: JSON code and exit status.
CONTRACT = {
    ("internal", 1): "MilvusProfilesError",
    ("usage", 2): "UsageError",
    ("usage", 1): "DeclinedError",
    ("config", 3): "ConfigError",
    ("edit_conflict", 3): "EditConflictError",
    ("edit_conflict", 1): "LockTimeoutError",
    ("unknown_profile", 3): "UnknownProfileError",
    ("untrusted", 5): "UntrustedError",
    ("insecure", 3): "InsecureTransportError",
    ("secret", 4): "SecretUnavailableError",
    ("unreachable", 6): "UnreachableError DatabaseInUseError",
    ("tls", 7): "TLSError",
    ("limit", 1): "ThreadStartError ConnectionLimitError",
    ("not_milvus", 8): "NotMilvusError",
    ("not_ready", 8): "ServerNotReadyError",
    ("auth", 9): "AuthenticationError",
    ("permission", 9): "PermissionDeniedError",
    ("database", 10): "DatabaseNotFoundError",
    ("closed", 1): "ConnectionClosedError",
    ("pool", 1): "PoolError PoolExhaustedError PoolTimeoutError PoolClosedError ConnectFailedError",
    ("fork", 1): "ForkError",
}


def test_codes_and_exit_statuses_are_those_of_the_documentation() -> None:
    said = {name: contract for contract, names in CONTRACT.items() for name in names.split()}
    assert {c.__name__: (c.code, c.exit_status) for c in CLASSES if c.__name__ in said} == said
    assert {c.code for c in CLASSES} <= {code for code, _ in CONTRACT}


@pytest.mark.parametrize("cls", [*CLASSES, AddressError], ids=lambda c: c.__name__)
def test_errors_survive_another_process_whole(cls: type[MilvusProfilesError]) -> None:
    error = cls("it failed", hint="try again", location=Location("milvus.toml", 3, 5, "key = 1", 4))
    error.stats = {"idle": 3}  # type: ignore[attr-defined]  # as a subclass may add
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(error, protocol))
        assert type(twin) is cls
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
        assert twin.args == error.args
    assert str(copy.copy(error)) == str(copy.deepcopy(error)) == str(error)


def test_the_text_says_where_what_and_what_to_do() -> None:
    error = MilvusProfilesError("is wrong", hint="mend it", location=Location("/p/milvus.toml", 3, 7, "port = x"))
    assert str(error).splitlines() == [
        "/p/milvus.toml:3:7: is wrong",
        "    port = x",
        "          ^",
        "hint: mend it",
    ]
    alone = MilvusProfilesError("it failed")
    assert (str(alone), alone.hint, alone.location, alone.args) == ("it failed", None, None, ("it failed",))
    places = (
        Location("MILVUS_URI"),
        Location("f.toml", 3),
        Location("f.toml", 3, 9),
        Location("f.toml", 3, 9, "excerpt"),
    )
    assert [*map(str, places)] == ["MILVUS_URI", "f.toml:3", "f.toml:3:9", "f.toml:3:9"]


def test_an_unknown_profile_is_a_key_error_whose_text_is_not_a_repr() -> None:
    error = UnknownProfileError("there is no profile 'x'", hint="did you mean 'y'?")
    assert isinstance(error, KeyError)
    assert str(error) == "there is no profile 'x'\nhint: did you mean 'y'?"
    nothing: dict[str, UnknownProfileError] = {}
    assert nothing.get("x", error) is error


@pytest.mark.parametrize(
    ("excerpt", "column", "caret"),
    [
        ("a = 1", 1, "^"),
        ("a = 1", 5, "    ^"),
        ("\ta =\t1", 2, "\t^"),
        ("\ta =\t1", 6, "\t   \t^"),
        ("a = 1", 6, "     ^"),
        ("a = 1", 99, "     ^"),
        ("é = 1", 3, "  ^"),
        ("e\u0301 = 1", 4, "  ^"),
        ("例 = 1", 3, "   ^"),
        ("", 1, "^"),
    ],
)
def test_the_caret_stands_under_its_character(excerpt: str, column: int, caret: str) -> None:
    assert Location("f", 1, column, excerpt).caret() == f"{excerpt}\n{caret}"


def test_without_an_excerpt_there_is_no_caret_and_without_a_column_only_the_excerpt() -> None:
    assert Location("f", 1, 1).caret() is None
    assert Location("f", 1, None, "a = 1").caret() == "a = 1"
    assert str(MilvusProfilesError("m", location=Location("f", 1, 1, ""))) == "f:1:1: m\n    \n    ^"
    # A mark moves the caret where the excerpt is not the line.
    assert Location("f", 1, 900, "…tail = 1", 1).caret() == "…tail = 1\n ^"
    assert Location("f", 1, None, "tail", 2).caret() == "tail\n  ^"


# --- suggestions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "candidates", "near"),
    [
        ("tokn", ["token", "timeout"], "token"),
        ("TOKEN", ["token"], "token"),
        ("prod_eu", ["prod-eu", "prod-us"], "prod-eu"),
        ("Prod", ["PROD"], "PROD"),
        ("zzz", ["token"], None),
        ("", ["token"], None),
        ("token", [], None),
        ("a" * 101, ["a" * 101], None),
        ("a" * 100, ["a" * 5_000_000, "a" * 99], "a" * 99),
    ],
)
def test_the_nearest_candidate_is_suggested(word: str, candidates: list[str], near: str | None) -> None:
    assert suggest(word, candidates) == near


def test_a_typing_error_is_found_among_65536_names() -> None:
    names = [f"production-eu-west-{number:05d}" for number in range(65_536)]
    for wrong in ("production-eu-west-123456", "prodction-eu-west-12345", "PRODUCTION-EU-WEST-12345x"):
        assert suggest(wrong, names) is not None
    assert suggest("prodction-eu-west-12345", names) == "production-eu-west-12345"
    assert suggest("production-eu-wst-12345", names) == "production-eu-west-12345"
    assert suggest("q", names) is None


@given(st.text("abcde-", max_size=8), st.lists(st.text("abcde-", min_size=1, max_size=8), max_size=12, unique=True))
def test_what_is_suggested_is_a_candidate_and_the_best_that_difflib_knows(word: str, candidates: list[str]) -> None:
    near = difflib.get_close_matches(word, candidates, n=1)
    assert suggest(word, candidates) == (near[0] if near else None)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 prints no notes of exceptions")
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_traceback_ends_with_the_address_of_the_page(kind: type[MilvusProfilesError]) -> None:
    error = kind("what happened", hint="what to do")
    for one in (error, pickle.loads(pickle.dumps(error))):
        lines = "".join(traceback.format_exception(one)).splitlines()
        assert lines[-2:] == ["hint: what to do", f"see: {DOCUMENTATION}/errors/{kind.code}/"]
        # Not in the text, which programs put into others.
        assert str(one).endswith("what to do")
