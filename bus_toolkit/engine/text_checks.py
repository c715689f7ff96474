"""What the tokenizer of a model leaves out of its data, said before the first step."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.dist import is_main_process
from torch import nn

from bus_toolkit.data.text_survey import TextLimits, survey_dataset
from bus_toolkit.errors import DataError
from bus_toolkit.heads import VQAHead
from bus_toolkit.tokenizers import TextTokenizer

_log = logging.getLogger(__name__)
SAMPLES = 1000
"""So many samples of a data set are looked at: a share is then known to about 3 %, at a cost that stays the same."""
# A smaller share is no warning: rare words and long captions are in all data.
_WORTH_A_WARNING = 0.01


def check_texts(dataset: Any, path: str, model: nn.Module, limits: TextLimits, *, training: bool) -> None:
    """Log how many texts are cut and which words are unknown; refuse a training on texts that mostly are.

    Evaluations of such texts are legitimate, and get a warning.

    Args:
        dataset: Of a data loader.
        path: The YAML path of the data loader.
        model: One without a ``TextTokenizer`` is not checked.
        limits: The shares from which it is refused.
        training: Whether the model is trained on these data.

    Raises:
        DataError: A share is above its limit, in a training.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(tokenizer, TextTokenizer):
        return
    survey = survey_dataset(dataset, tokenizer, SAMPLES)
    faults = survey.faults(limits)
    if faults and training:
        raise DataError(f"{path}.dataset: {' And '.join(faults)}")
    tokenizer.warns = False
    summary = " ".join(faults) or survey.summary()
    if summary and is_main_process():
        level = logging.WARNING if survey.largest_share >= _WORTH_A_WARNING else logging.INFO
        _log.log(level, "%s: %s.", path, summary.removesuffix("."))


def check_answer_lists(model: nn.Module) -> None:
    """Warn of answers to choose from that the tokenizer cannot distinguish: which of them is chosen is arbitrary."""
    tokenizer = getattr(model, "tokenizer", None)
    if not isinstance(tokenizer, TextTokenizer):
        return
    for name, head in getattr(model, "heads", {}).items():
        pairs = tokenizer.same_ids(head.answers) if isinstance(head, VQAHead) and head.answers else []
        if pairs and is_main_process():
            _log.warning(
                "model.heads.%s.answer_list: %d of %d answers have the same token ids as another one, such as %s; the "
                "model always chooses the first. Leave them out, or take a vocabulary with their words.",
                name,
                len(pairs),
                len(head.answers),
                ", ".join(f"{first!r} and {second!r}" for first, second in pairs[:3]),
            )
