"""How well the texts of a data set fit a tokenizer: what is cut, and which words it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bus_toolkit.data.datasets.bad_samples import BadSample
from bus_toolkit.data.leaves import chosen_rows, leaves
from bus_toolkit.errors import ConfigError
from bus_toolkit.tokenizers import TextTokenizer
from bus_toolkit.tokenizers.survey import TextCounts

# Fields of a sample that a model reads through its tokenizer, and what they are called.
FIELDS = {"text": "captions", "gt_answer": "answers"}


@dataclass(frozen=True)
class TextLimits:
    """The shares from which a training is refused.

    Attributes:
        unknown_words: Of words that are not in the vocabulary; the top-level ``max_unknown_words`` of a config.
        cut_texts: Of texts that are cut; ``max_cut_texts``.

    Raises:
        ConfigError: A share outside [0, 1].
    """

    unknown_words: float = 0.2
    cut_texts: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("max_unknown_words", self.unknown_words), ("max_cut_texts", self.cut_texts)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name}: must be a share from 0 to 1, got {value}. 1 allows all.")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TextLimits:
        """Return those of a config."""
        given = {"unknown_words": config.get("max_unknown_words"), "cut_texts": config.get("max_cut_texts")}
        return cls(**{name: float(value) for name, value in given.items() if value is not None})


@dataclass
class TextSurvey:
    """The counts of a data set by field.

    Attributes:
        tokenizer: What reads the texts.
        samples: Samples that were looked at.
        size: Samples that there are.
        counts: Of ``text`` and ``gt_answer``.
    """

    tokenizer: TextTokenizer
    samples: int = 0
    size: int = 0
    counts: dict[str, TextCounts] = field(default_factory=dict)

    def add(self, sample: Mapping[str, Any]) -> None:
        """Count the texts of a sample as it enters the pipeline."""
        self.samples += 1
        for name in FIELDS:
            counts = self.tokenizer.survey(_texts(sample.get(name)))
            if counts.texts:
                self.counts.setdefault(name, TextCounts()).add(counts)

    def faults(self, limits: TextLimits) -> list[str]:
        """Return what is above the limits, with what to do."""
        kind = type(self.tokenizer).__name__
        lines = []
        for name, counts in self.counts.items():
            what = FIELDS[name]
            if counts.unknown_share > limits.unknown_words:
                lines.append(
                    f"{counts.unknown_share:.1%} of the words of {what} ({counts.unknown.total():,} of "
                    f"{counts.words:,}) are not in the vocabulary of model.tokenizer ({kind}), such as "
                    f"{counts.examples()}, and would all be read as [UNK]; max_unknown_words is "
                    f"{limits.unknown_words}. Count the words of these data (CorpusTokenizer.corpus_file), take a "
                    "WordPieceTokenizer, or raise max_unknown_words."
                )
            if counts.cut_share > limits.cut_texts:
                lines.append(
                    f"{counts.cut_share:.1%} of the {what} ({counts.cut:,} of {counts.texts:,}) have more than the "
                    f"{self.tokenizer.max_length} tokens of model.tokenizer.max_length, start and end included, and "
                    f"would be cut; max_cut_texts is {limits.cut_texts}. Raise max_length, or max_cut_texts."
                )
        return lines

    def summary(self) -> str:
        """Return what is cut and unknown, on one line; empty if nothing is."""
        parts = []
        for name, counts in self.counts.items():
            if counts.unknown:
                share = f"{counts.unknown_share:.1%} of the words of {FIELDS[name]}"
                parts.append(f"{share} are not in the vocabulary and are read as [UNK], such as {counts.examples()}")
            if counts.cut:
                share = f"{counts.cut_share:.1%} of the {FIELDS[name]}"
                parts.append(f"{share} are cut at {self.tokenizer.max_length} tokens")
        looked_at = f"{self.samples:,} samples" if self.samples >= self.size else f"{self.samples:,} of {self.size:,}"
        return f"{'; '.join(parts)} ({looked_at} looked at)" if parts else ""

    @property
    def largest_share(self) -> float:
        """The largest share of a field that is cut or unknown."""
        return max((max(c.unknown_share, c.cut_share) for c in self.counts.values()), default=0.0)


def survey_dataset(dataset: Any, tokenizer: TextTokenizer, samples: int | None) -> TextSurvey:
    """Return the counts of at most so many samples of each data set inside of a wrapper, drawn at random, always alike.

    Args:
        dataset: A data set with ``get_data_info``, or a wrapper of such; of others nothing is counted.
        tokenizer: Reads the texts.
        samples: ``None`` for all.
    """
    survey = TextSurvey(tokenizer)
    for leaf in leaves(dataset):
        if not hasattr(leaf, "get_data_info"):
            continue
        survey.size += len(leaf)
        for row in chosen_rows(len(leaf), samples, seed=0):
            try:
                survey.add(leaf.get_data_info(row))
            except BadSample:
                continue  # counted where the training meets it
    return survey


def _texts(value: Any) -> list[str]:
    listed: Iterable[Any] = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return [text for text in listed if isinstance(text, str) and _is_valid(text)]


def _is_valid(text: str) -> bool:
    """Return whether it holds no half characters, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
