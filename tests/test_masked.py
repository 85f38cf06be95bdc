"""Secrets do not show: not printed, not pickled, not in the locals of a traceback."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from milvus_profiles.masked import MASK, MaskedMapping, SecretText

CANARY = "s3cr3t-c4n4ry"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        lambda s: f"{s}",
        lambda s: f"{s!r:>40}",
        lambda s: f"{s:>40}",
        lambda s: "%s %r" % (s, s),  # noqa: UP031
        lambda s: repr([s, {"k": s}, (s,)]),
        lambda s: pprint.pformat({"k": s}),
        lambda s: repr(s.__reduce__) if hasattr(s, "__reduce__") else "",
        lambda s: repr([getattr(s, name, None) for name in dir(s) if name != "reveal"]),
        lambda s: repr(s.__getstate__()) if hasattr(s, "__getstate__") else "",
        lambda s: json.dumps({"k": s}, default=str),
        lambda s: json.dumps({"k": s}, default=repr),
    ],
)
def test_no_way_of_showing_a_secret_shows_it(show: Callable[[SecretText], str]) -> None:
    assert CANARY not in show(SecretText(CANARY))


def test_the_mask_is_as_long_for_every_secret() -> None:
    assert str(SecretText("a")) == str(SecretText("a" * 500)) == MASK == "********"
    assert repr(SecretText("a")) == "SecretText('********')"


def test_reveal_gives_the_secret() -> None:
    assert SecretText(CANARY).reveal() == CANARY
    assert SecretText(SecretText(CANARY)).reveal() == CANARY


def test_a_secret_has_no_length_no_order_no_dict_and_cannot_be_iterated_or_changed() -> None:
    secret: Any = SecretText(CANARY)
    for attempt in (
        lambda: len(secret),
        lambda: secret < secret,
        lambda: vars(secret),
        lambda: iter(secret),
        lambda: secret[0],
        lambda: secret + "",
        lambda: json.dumps(secret),
    ):
        with pytest.raises(TypeError) as caught:
            attempt()
        assert CANARY not in str(caught.value)
    for name in ("_reveal", "other"):
        with pytest.raises(AttributeError):
            setattr(secret, name, str)
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    for thing in (SecretText(CANARY), {"nested": [SecretText(CANARY)]}, MaskedMapping({"A": CANARY})):
        with pytest.raises(TypeError, match="pickled") as caught:
            pickle.dumps(thing, protocol)
        assert CANARY not in str(caught.value)


def test_copies_are_the_secret_itself() -> None:
    secret = SecretText(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"k": secret})["k"] is secret


@given(st.text(), st.text())
def test_two_secrets_are_equal_if_their_texts_are(one: str, other: str) -> None:
    assert (SecretText(one) == SecretText(other)) is (one == other)
    assert SecretText(one) == SecretText(one)
    assert hash(SecretText(one)) == hash(SecretText(one))
    assert bool(SecretText(one)) is bool(one)


def test_a_secret_equals_no_plain_text_and_may_be_no_utf8() -> None:
    for other in ("a", 5, object()):
        assert SecretText("a") != other
    # What os.environ makes of a variable with a byte that is not UTF-8.
    assert SecretText("pw\udcff") == SecretText("pw\udcff")
    assert SecretText("pw\udcff") != SecretText("pw\udcfe")


def test_logging_a_secret_shows_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test_masked").error(
        "%s %r %s", SecretText(CANARY), SecretText(CANARY), {"token": SecretText(CANARY)}
    )
    assert CANARY not in caplog.text
    assert MASK in caplog.text


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)
    secret: SecretText
    number: int = 0


def test_models_take_text_and_give_the_mask() -> None:
    model = _Model(secret=CANARY)  # type: ignore[arg-type]
    assert model.secret.reveal() == CANARY
    assert _Model(secret=model.secret).secret is not None
    for shown in (repr(model), str(model), model.model_dump_json(), repr(model.model_dump()), repr(vars(model))):
        assert CANARY not in shown
    assert model.model_dump() == {"secret": MASK, "number": 0}
    assert _Model.model_validate_json('{"secret": "x"}').secret.reveal() == "x"
    assert model.model_copy(deep=True) == model


@pytest.mark.parametrize("wrong", [5, None, True, [CANARY], {"k": CANARY}, CANARY.encode()])
def test_models_take_nothing_but_text_and_do_not_show_what_they_refuse(wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        _Model(secret=wrong)
    assert CANARY not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        _Model(secret=CANARY, number=CANARY)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)


def test_the_schema_says_that_a_secret_is_only_written() -> None:
    assert TypeAdapter(SecretText).json_schema() == {"type": "string", "format": "password", "writeOnly": True}


# --- environments --------------------------------------------------------------------------------------------------


def test_a_masked_mapping_is_a_snapshot_that_reads_like_its_source() -> None:
    source = {"A": "1", "B": "2"}
    masked = MaskedMapping(source)
    source["A"] = "changed"
    assert dict(masked) == {"A": "1", "B": "2"}
    assert (masked["A"], masked.get("B"), masked.get("C"), masked.get("C", "d")) == ("1", "2", None, "d")
    assert "A" in masked
    assert "C" not in masked
    assert (list(masked), len(masked)) == (["A", "B"], 2)
    assert masked == {"A": "1", "B": "2"}
    with pytest.raises(KeyError, match="C"):
        masked["C"]


def test_a_masked_mapping_does_not_show_its_values() -> None:
    masked = MaskedMapping({"TOKEN": CANARY})
    for shown in (repr(masked), str(masked), f"{masked}", pprint.pformat(masked), repr(iter(masked))):
        assert CANARY not in shown
    assert repr(masked) == "<1 masked values>"
    with pytest.raises(TypeError):
        vars(masked)


def test_a_missing_key_leaves_no_value_among_the_locals_of_the_traceback() -> None:
    def use(masked: MaskedMapping) -> str:
        return masked["NO"]

    masked = MaskedMapping({"TOKEN": CANARY})
    with pytest.raises(KeyError) as caught:
        use(masked)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "masked = <1 masked values>" in shown
    assert CANARY not in shown
