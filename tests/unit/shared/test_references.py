"""Names of models, versions and aliases: what is one, and that an error says what to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.shared.errors import InvalidInput
from longshore.shared.references import MAX_NAME_LENGTH, ModelReference, check_alias, check_name

PART = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8}){0,2}", fullmatch=True)
NAMES = st.lists(PART, min_size=1, max_size=3).map("/".join)
REFERENCES = st.one_of(
    st.builds(ModelReference, NAMES),
    st.builds(ModelReference, NAMES, version=st.integers(1, 2**31 - 1)),
    st.builds(ModelReference, NAMES, alias=PART.filter(lambda alias: not alias.isdigit())),
)


def refused_or_read(text: str) -> InvalidInput | ModelReference:
    try:
        return ModelReference.parse(text, "requests[3].model")
    except InvalidInput as error:
        return error


@given(REFERENCES)
def test_a_reference_reads_back_as_it_was_written(reference: ModelReference) -> None:
    assert ModelReference.parse(str(reference)) == reference


def test_the_three_ways_to_name_a_model() -> None:
    assert ModelReference.parse("digits") == ModelReference("digits")
    assert ModelReference.parse("digits:3") == ModelReference("digits", version=3)
    assert ModelReference.parse("vision/digits@production") == ModelReference("vision/digits", alias="production")


@given(st.text(max_size=20))
def test_any_text_is_a_reference_or_refused_with_its_field(text: str) -> None:
    found = refused_or_read(text)
    if isinstance(found, InvalidInput):
        assert (found.field, found.exit_code) == ("requests[3].model", 2)
    else:
        assert ModelReference.parse(str(found)) == found


@pytest.mark.parametrize(
    "name",
    ["", "Digits", "digits ", "größe", "/digits", "digits/", "a//b", "..", "../etc", "a..b", "-a", "a\n", "a" * 129],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a model name: lower-case letters and digits"):
        check_name(name)


def test_the_longest_name_is_allowed() -> None:
    assert check_name("a" * MAX_NAME_LENGTH) == "a" * MAX_NAME_LENGTH


@pytest.mark.parametrize("version", ["", "0", "-1", "+1", "1.0", "x", "²", "٣", "1_0", str(2**31), "9" * 5000])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(InvalidInput, match="write a version number from 1 after the colon, as in digits:3"):
        ModelReference.parse(f"digits:{version}")


@pytest.mark.parametrize("alias", ["", "3", "Production", "a/b", "a b", "a" * 129, "best@", "best:1"])
def test_what_is_no_alias_is_refused(alias: str) -> None:
    with pytest.raises(InvalidInput, match="is not an alias") as caught:
        check_alias(alias)
    assert caught.value.field == "alias"
    with pytest.raises(InvalidInput) as caught:
        ModelReference.parse(f"digits@{alias}")
    assert caught.value.field == "model"
