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


@pytest.mark.parametrize("written, shown", [("lr:0.1", "{lr: 0.1}"), ("type:SGD", "{type: SGD}")])
def test_a_colon_without_a_space_is_named(written, shown):
    assert did_you_mean(written, ["lr", "betas"]) == f" A space follows the colon in YAML: {shown}."


def test_another_word_with_a_colon_is_only_a_name():
    assert did_you_mean("mmpretrain:Swin", ["mmpretrain.Swin"]) == " Did you mean 'mmpretrain.Swin'?"
