"""The conformance kit for tokenizers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bus_toolkit.blank_texts import is_blank
from bus_toolkit.registry import REGISTRIES
from bus_toolkit.testing.check import PartFactory, run_checks

TEXTS = ("a small red circle", "a large blue square above a small green star", "a circle")
_NUMBERS = ("vocab_size", "max_length", "pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
_METHODS = ("ids_of_words", "convert_ids_to_tokens", "decode")


class TokenizerCase:
    """A tokenizer and three texts."""

    def __init__(self, part: str | Callable[..., Any], settings: dict[str, Any]) -> None:
        self.factory = PartFactory(REGISTRIES.tokenizers, part, settings, {"max_length": 16}, {})
        self.name = self.factory.name

    def build(self, **settings: Any) -> Any:
        """Return a new tokenizer."""
        return self.factory.build_any(settings)


def check_tokenizer(part: str | Callable[..., Any], **settings: Any) -> None:
    """Check that a tokenizer keeps its contract: it is called with texts, and knows its vocabulary.

    Args:
        part: Its registered name, or its class.
        **settings: Its arguments; ``max_length`` is 16 where it takes one.

    Raises:
        ConformanceError: Promises are broken; all are named.
        ComponentError: It cannot be built.
    """
    run_checks(TokenizerCase(part, settings), _CHECKS)


def check_vocabulary(case: TokenizerCase) -> None:
    """It has the attributes and methods that the model builder and the heads use."""
    words = case.build()
    missing = [name for name in (*_NUMBERS, "special_ids", *_METHODS) if not hasattr(words, name)]
    assert not missing, f"{', '.join(missing)}: no such attribute"
    wrong = [name for name in _NUMBERS if not isinstance(getattr(words, name), int)]
    assert not wrong, f"{', '.join(wrong)}: must be whole numbers"
    marks = [words.pad_token_id, words.cls_token_id, words.sep_token_id, words.mask_token_id]
    # A vocabulary that hides no words has padding for the mask.
    given = marks[:-1] if marks[0] == marks[-1] else marks
    assert len(set(given)) == len(given), f"the ids of padding, start, end and mask must differ, got {marks}"
    outside = [number for number in words.special_ids if not 0 <= number < words.vocab_size]
    assert not outside, f"special_ids {outside} are outside the vocabulary of {words.vocab_size} entries"
    assert set(marks) <= set(words.special_ids), "special_ids must hold the ids of padding, start, end and mask"


def check_token_batch(case: TokenizerCase) -> None:
    """Texts become ids int64 (B, L) inside the vocabulary and a mask bool (B, L), padded with the padding id."""
    words = case.build()
    tokens = words(list(TEXTS))
    ids, mask = tokens.input_ids, tokens.attention_mask
    assert ids.dtype == torch.int64 and mask.dtype == torch.bool, f"ids are {ids.dtype}, the mask is {mask.dtype}"
    assert ids.dim() == 2 and len(ids) == len(TEXTS), f"{len(TEXTS)} texts give ids of shape {tuple(ids.shape)}"
    assert ids.shape == mask.shape, f"ids have shape {tuple(ids.shape)}, the mask {tuple(mask.shape)}"
    assert 0 <= int(ids.min()) and int(ids.max()) < words.vocab_size, f"ids are outside [0, {words.vocab_size})"
    assert mask.any(dim=1).all(), "a text is padding alone"
    assert bool((ids[~mask] == words.pad_token_id).all()), "padded positions hold other ids than pad_token_id"
    assert bool((ids[:, 0] == words.cls_token_id).all()), "a text does not begin with cls_token_id"


def check_batch_independent(case: TokenizerCase) -> None:
    """The ids of a text never depend on its batch mates."""
    words = case.build()
    together = _texts(words, TEXTS)
    for text, wanted in zip(TEXTS, together, strict=True):
        (alone,) = _texts(words, [text])
        assert alone == wanted, f"{text!r} alone becomes {alone}, within its batch {wanted}"


def check_long_text(case: TokenizerCase) -> None:
    """A text longer than ``max_length`` is cut to it."""
    words = case.build()
    (ids,) = _texts(words, ["a small red circle " * 40])
    assert len(ids) <= words.max_length, f"160 words become {len(ids)} ids at max_length {words.max_length}"


def check_words(case: TokenizerCase) -> None:
    """Each id has an entry of the vocabulary, and ids become a text again, without special tokens."""
    words = case.build()
    (ids,) = _texts(words, [TEXTS[0]])
    entries = words.convert_ids_to_tokens(ids)
    assert len(entries) == len(ids) and all(isinstance(entry, str) for entry in entries), f"entries are {entries!r}"
    text = words.decode(ids)
    special = words.convert_ids_to_tokens([words.cls_token_id, words.sep_token_id])
    assert isinstance(text, str) and not is_blank(text), f"decode gives {text!r}"
    assert not any(mark in text for mark in special), f"decode leaves special tokens in {text!r}"
    assert words.ids_of_words([]) == [], "ids_of_words of no word is not []"


def check_pickle(case: TokenizerCase) -> None:
    """A tokenizer survives pickling."""
    words = case.build()
    assert _texts(pickle.loads(pickle.dumps(words)), TEXTS) == _texts(words, TEXTS), "after pickling the ids differ"


_CHECKS = (check_vocabulary, check_token_batch, check_batch_independent, check_long_text, check_words, check_pickle)


def _texts(words: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of each text, without padding."""
    tokens = words(list(texts))
    return [ids[mask].tolist() for ids, mask in zip(tokens.input_ids, tokens.attention_mask, strict=True)]
