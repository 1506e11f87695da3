"""Texts that look like formulas survive a result file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.csv_format import guard, unguard

_TEXTS = st.text() | st.text(alphabet="'=+-@\t\r\n＝＋－＠a")


@given(_TEXTS)
def test_what_is_guarded_comes_back_as_it_was(text: str) -> None:
    assert unguard(guard(text)) == text


@given(_TEXTS)
def test_nothing_guarded_begins_like_a_formula(text: str) -> None:
    assert guard(text)[:1] not in set("=+-@\t\r\n＝＋－＠")


@pytest.mark.parametrize("text", ["'tis", "", "'", "a=b", "12"])
def test_what_is_no_formula_is_left_alone(text: str) -> None:
    assert guard(text) == unguard(text) == text
