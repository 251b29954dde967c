"""The one shape of all messages."""

from __future__ import annotations

import pytest

from fatebias import errors
from fatebias.errors import FatebiasError, explain, some


def test_a_message_has_its_parts_in_one_order_a_line_each():
    assert explain("it fails", fix="try this", allowed=["a", "b"], found=0, where="here") == (
        "it fails\n  where: here\n  found: 0\n  allowed: a, b\n  fix: try this"
    )


def test_parts_that_are_not_given_are_left_out():
    assert explain("it fails") == "it fails"


@pytest.mark.parametrize(
    ("part", "text"), [([], "none"), ((1, "b"), "1, b"), ({"only"}, "only"), (False, "False")]
)
def test_parts_are_written_out(part, text):
    assert explain("it fails", found=part) == f"it fails\n  found: {text}"


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "'a'"),
        (["a", "b"], "'a', 'b'"),
        (["a", "b", "c"], "'a', 'b' and 1 more"),
        (range(9), "0, 1 and 7 more"),
    ],
)
def test_long_lists_are_cut_and_counted(items, text):
    assert some(items, most=2) == text


def test_every_error_raised_on_purpose_has_one_base():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) >= 7
    assert all(issubclass(kind, FatebiasError) for kind in kinds)
