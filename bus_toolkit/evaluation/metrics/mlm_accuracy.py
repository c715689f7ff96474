"""Accuracy of masked language modelling, apart for each kind of word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import override

from bus_toolkit.errors import ConfigError
from bus_toolkit.evaluation.metrics.base import SampleMetric, has
from bus_toolkit.registry import METRICS

_OTHER = "other"


@METRICS.register_module()
class MLMAccuracy(SampleMetric):
    """Measure how often a hidden word is guessed, and compare with chance where the words of a kind are known.

    Keys under ``mlm/``: ``accuracy`` over all hidden words; for each kind ``accuracy_<kind>`` and ``chance_<kind>`` = 1
    / words of the kind, which is what a guesser reaches that knows the kind and nothing more; ``accuracy_other`` for
    words of no kind; and ``chance``, the mean chance over the hidden words that have a kind. Goes into
    ``val_evaluator``.

    Args:
        word_kinds: For each kind its words, as the tokenizer writes tokens; each word in one kind at most.
        prefix: The start of the keys.

    Raises:
        ConfigError: A kind without words, or a word in two kinds.
    """

    default_prefix = "mlm"
    needs = "mlm_targets, mlm_predictions and mlm_words (a model with an MLM head)"
    reads = ("mlm_targets", "mlm_predictions", "mlm_words")

    def __init__(self, word_kinds: Mapping[str, Sequence[str]] | None = None, *, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.kind_of: dict[str, str] = {}
        self.chance: dict[str, float] = {}
        for kind, words in (word_kinds or {}).items():
            if not words or isinstance(words, str):
                raise ConfigError(
                    f"MLMAccuracy.word_kinds.{kind}: must be a list of words, got {words!r}. "
                    "Leave the kind out or name its words."
                )
            self.chance[kind] = 1.0 / len(words)
            self._add(kind, words)

    def _add(self, kind: str, words: Sequence[str]) -> None:
        for word in words:
            if word in self.kind_of:
                raise ConfigError(
                    f"MLMAccuracy.word_kinds: a word has one kind, got {word!r} in {self.kind_of[word]!r} and {kind!r}."
                    " Remove one of them."
                )
            self.kind_of[word] = kind

    def row(self, sample: dict) -> dict:
        """Return the hidden words, and which entries of the vocabulary they are and were guessed to be."""
        if not has(sample, "mlm_targets", "mlm_predictions", "mlm_words") or not len(sample["mlm_targets"]):
            return {}
        targets, guesses = ([int(entry) for entry in sample[f"mlm_{name}"]] for name in ("targets", "predictions"))
        return {"targets": targets, "guesses": guesses, "words": list(sample["mlm_words"])}

    @override
    def verdicts(self, row: dict) -> Iterator[dict[str, Any]]:
        right = sum(target == guess for target, guess in zip(row["targets"], row["guesses"], strict=True))
        entries = {"prediction": row["guesses"], "answer": row["targets"], "words": row["words"]}
        yield {**entries, "correct": right / len(row["targets"])}

    def summarise(self, rows: list[dict]) -> dict[str, float]:
        """Return the accuracy and the chance of all words and of each kind that occurs."""
        hidden: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for row in rows:
            for target, guess, word in zip(row["targets"], row["guesses"], row["words"], strict=True):
                kind = self.kind_of.get(word, _OTHER)
                hidden[kind] += 1
                right[kind] += target == guess
        metrics = {"accuracy": right.total() / hidden.total()}
        known = {kind: hidden[kind] for kind in self.chance if hidden[kind]}
        if known:
            metrics["chance"] = sum(self.chance[kind] * count for kind, count in known.items()) / sum(known.values())
        for kind, count in known.items():
            metrics |= {f"accuracy_{kind}": right[kind] / count, f"chance_{kind}": self.chance[kind]}
        if known and hidden[_OTHER] and _OTHER not in known:
            metrics[f"accuracy_{_OTHER}"] = right[_OTHER] / hidden[_OTHER]
        return metrics
