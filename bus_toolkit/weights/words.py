"""Weights with a row for each word mean the words that they were trained with: compare these before loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from torch import Tensor

from bus_toolkit.errors import CheckpointError
from bus_toolkit.tokenizers import TextTokenizer
from bus_toolkit.weights.load_rule import LoadRule


def words_of(tokenizer: Any) -> list[str] | None:
    """Return the words of a tokenizer in the order of their ids; ``None`` if it is not one of ours."""
    if not isinstance(tokenizer, TextTokenizer):
        return None
    return tokenizer.convert_ids_to_tokens(range(tokenizer.vocab_size))


def check_words(place: str, own: Sequence[str] | None, theirs: Sequence[str] | None, remedy: str = "") -> None:
    """Refuse weights that were trained with other words.

    Args:
        place: The file, and the setting that names it, for messages.
        own: The words of the model's tokenizer; ``None`` if they are not known.
        theirs: Those that the file was trained with; ``None`` if it does not say.
        remedy: What else the user can do, a sentence.

    Raises:
        CheckpointError: With the first words that differ.
    """
    if own is None or theirs is None or list(own) == list(theirs):
        return
    pairs = enumerate(zip_longest(own, theirs))
    shown = [f"{number}: {here!r} here, {there!r} there" for number, (here, there) in pairs if here != there]
    raise CheckpointError(
        f"{place}: model.tokenizer has other words than this checkpoint was trained with, so that its ids mean other "
        f"words: {len(own)} here, {len(theirs)} there; {len(shown)} ids differ, the first are {'; '.join(shown[:3])}. "
        f"Use the words of that run (its config.yaml, and the vocab_file as it was).{remedy}"
    )


def check_loaded_words(
    place: str, own: Mapping[str, Tensor], theirs: Sequence[str] | None, rule: LoadRule, new_parts: str = "new_parts"
) -> None:
    """Refuse to load weights of other words, unless all that has a row a word is new.

    Args:
        place: The file, and the setting that names it, for messages.
        own: The tensors of the model, or of the part of it that is loaded.
        theirs: The words that the file was trained with; ``None`` if it does not say.
        rule: With the words of the model's tokenizer, and the parts that stay as they are.
        new_parts: The setting that names such parts, for messages.

    Raises:
        CheckpointError: With the first words that differ; to start a training, also with what would have to be new.
    """
    if rule.words is None or rule.purpose != "start":
        check_words(place, rule.words, theirs)
        return
    rows = [name for name, one in own.items() if one.dim() and len(one) == len(rule.words) and not rule.is_new(name)]
    if rows:
        remedy = f" Or let what has a row a word start as it is initialised, in {new_parts}: {', '.join(rows)}."
        check_words(place, rule.words, theirs, remedy)
