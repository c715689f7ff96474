"""Put the weights of a checkpoint into the model of a run, by the rule of what the run wants them for."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from bus_toolkit.models.momentum import copied_parts
from bus_toolkit.weights.load_rule import LoadRule, Purpose
from bus_toolkit.weights.reading import source_of
from bus_toolkit.weights.settings import Pretrained, load_model
from bus_toolkit.weights.table_files import IDENTITY
from bus_toolkit.weights.words import words_of

_log = logging.getLogger(__name__)


def load_weights(
    model: nn.Module,
    checkpoint: Mapping[str, Any],
    filename: str,
    purpose: Purpose,
    setting: Any,
    revise_keys: Sequence[tuple[str, str]] = (),
) -> None:
    """Load the weights and report how many there were.

    A resumed or tested model must get all of them, one that only starts from them all but its ``new_parts``. Position
    embeddings of another image size are interpolated, except when resuming: optimizer state is not.

    Args:
        model: The unwrapped model.
        checkpoint: What was read from the file.
        filename: The file, for messages.
        purpose: What the weights are for.
        setting: ``load_from`` of the config, which a start follows.
        revise_keys: Pattern and replacement for names in the checkpoint, as MMEngine takes them.

    Raises:
        CheckpointError: The checkpoint belongs to another model, or was trained with other words.
    """
    source = source_of(checkpoint, filename)
    for pattern, replacement in revise_keys:
        renamed = {re.sub(pattern, replacement, name): tensor for name, tensor in source.tensors.items()}
        source = replace(source, tensors=renamed)
    is_start = purpose == "start"
    wanted = Pretrained.parse(setting) if is_start and setting else Pretrained(filename, layout=IDENTITY)
    rule = LoadRule(purpose, words=words_of(getattr(model, "tokenizer", None)), copies=copied_parts(model))
    report = load_model(model, source, wanted, rule, "load_from" if is_start else "")
    first = f"Loaded {len(report.loaded)} of the model's {len(model.state_dict())} tensors from {filename}."
    _log.info("\n".join([first, *report.details()]))
