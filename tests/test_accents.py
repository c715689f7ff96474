import pytest

from bus_toolkit.accents import without_accents


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Caf\u00e9 cafe\u0301 \u00f1", "Cafe cafe n"),
        ("\ud55c\u56fd \u0939\u093f \u00df", "\ud55c\u56fd \u0939\u093f \u00df"),
    ],
)
def test_accents_go_and_other_letters_stay(text, plain):
    assert without_accents(text) == plain
