"""The official clean-up of answers, by hand."""

import pytest

from bus_toolkit.data.annotations.answer_forms import normalise_answer


@pytest.mark.parametrize(
    ("answer", "cleaned"),
    [
        ("The two Dogs!", "2 dogs"),
        ("none", "0"),
        ("A red, old car.", "red old car"),
        ("dont know", "don't know"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("left-of", "left of"),
        ("  yes\n", "yes"),
        ("An", "an"),
        ("the", "the"),
        ("Café", "cafe"),
        (" ? ", "?"),
        (" \n", ""),
    ],
)
def test_the_clean_up_by_hand(answer, cleaned):
    assert normalise_answer(answer) == cleaned
