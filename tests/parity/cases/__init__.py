"""All comparisons, one file for each kind."""

from tests.parity.cases import (
    answers,
    augmentation,
    boxes_and_ranks,
    captions,
    decoding,
    losses,
    positions,
    tokenizing,
    towers,
    whole_models,
)

ALL = (
    *answers.COMPARISONS,
    *captions.COMPARISONS,
    *boxes_and_ranks.COMPARISONS,
    *losses.COMPARISONS,
    *tokenizing.COMPARISONS,
    *positions.COMPARISONS,
    *decoding.COMPARISONS,
    *towers.COMPARISONS,
    *whole_models.COMPARISONS,
    *augmentation.COMPARISONS,
)
