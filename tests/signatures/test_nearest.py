"""Which name is suggested for one that does not exist."""

import pytest

from bus_toolkit.signatures import did_you_mean


@pytest.mark.parametrize(
    "written, known, meant",
    [
        ("dropot", ["dropout", "depth"], "dropout"),
        ("VQAACCURACY", ["VQAAccuracy", "ITMAccuracy"], "VQAAccuracy"),
        ("Recall", ["RetrievalRecall", "Loss"], "RetrievalRecall"),
        ("Cosine", ["CosineAnnealingLR", "CosineRestartLR"], "CosineRestartLR"),
    ],
)
def test_the_nearest_name_is_suggested(written, known, meant):
    assert did_you_mean(written, known) == f" Did you mean '{meant}'?"


@pytest.mark.parametrize("written", ["lr", "qqq", ""])
def test_nothing_is_suggested_by_chance(written):
    assert did_you_mean(written, ["max_learning", "colrow"]) == ""
