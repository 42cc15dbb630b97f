"""Elements and numbers, the smallest parts of the page."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dale.errors import InputError
from dale.report.html_numbers import decimal, finite, number, percent, score, whole
from dale.report.html_tags import Html, boxed, escape, join, json_script, tag

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=40)
@given(JSON)
def test_json_comes_back_and_nothing_in_it_closes_the_block(value):
    block = json_script("x", value)
    start, end = '<script type="application/json" id="x">', "</script>"
    assert block.startswith(start)
    assert block.endswith(end)
    inside = block[len(start) : -len(end)]
    assert not set(inside) & set("<>&\u2028\u2029")
    assert json.loads(inside) == value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_refuses_what_json_has_no_word_for(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_script("x", [value])


@given(st.text())
def test_text_is_escaped_once(text):
    once = escape(text)
    assert not set(once) & set("<>\"'")
    assert escape(once) == once
    assert join(text, Html("<i></i>"), None) == once + "<i></i>"


def test_attributes_are_quoted_bare_or_left_out():
    made = tag("p", aria_label='a "b"', hidden=True, id=None, open=False)
    assert made == '<p aria-label="a &quot;b&quot;" hidden></p>'


def test_a_boxed_table_can_be_scrolled_with_the_keyboard():
    box = boxed("A & B", tag("tbody"))
    assert 'tabindex="0"' in box
    assert 'aria-label="A &amp; B"' in box
    assert "<caption><span>A &amp; B</span></caption>" in box


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (decimal, 0.12345, "0.1235"),
        (decimal, 12345.6, "12,345.6000"),
        (decimal, -0.5, "−0.5000"),
        (decimal, -0.00001, "0.0000"),
        (decimal, math.inf, "∞"),
        (decimal, -math.inf, "−∞"),
        (decimal, np.float32(0.5), "0.5000"),
        (percent, 0.5, "50.00\u202f%"),
        (percent, math.inf, "∞\u202f%"),
        (whole, 2000, "2,000"),
        (whole, np.int64(3), "3"),
    ],
)
def test_numbers_as_text(show, value, text):
    assert show(value) == text


@pytest.mark.parametrize("show", [decimal, percent, whole])
@pytest.mark.parametrize("hole", [None, math.nan, np.float64("nan")])
def test_holes_are_dashes(show, hole):
    assert show(hole) == "–"


@pytest.mark.parametrize("key", ["val_error", "accuracy", "test_ece"])
def test_shares_are_shown_in_percent(key):
    assert score(key, 0.25) == "25.00\u202f%"


def test_other_scores_are_shown_as_they_are():
    assert score("terrors", 0.25) == score("nll", 0.25) == "0.2500"


@pytest.mark.parametrize("value", ["1", True, [1], 1j])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(InputError, match="expected a number or null"):
        number(value)


def test_only_finite_numbers_are_drawn():
    assert [finite(v) for v in (1, math.inf, math.nan, None)] == [1.0, None, None, None]
    assert number(math.inf) == math.inf
