"""How much of some texts a tokenizer leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class TextCounts:
    """Counts of texts that a tokenizer read.

    Attributes:
        texts: How many there were.
        cut: Those with more tokens than ``max_length``.
        words: Words and marks of all of them, up to the cut.
        unknown: How often each of them that is not in the vocabulary occurred.
    """

    texts: int = 0
    cut: int = 0
    words: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, other: TextCounts) -> None:
        """Add the counts of further texts."""
        self.texts += other.texts
        self.cut += other.cut
        self.words += other.words
        self.unknown.update(other.unknown)

    @property
    def cut_share(self) -> float:
        """Share of the texts that are cut, from 0 to 1."""
        return self.cut / max(self.texts, 1)

    @property
    def unknown_share(self) -> float:
        """Share of the words that are unknown, from 0 to 1."""
        return self.unknown.total() / max(self.words, 1)

    def examples(self, most: int = 5) -> str:
        """Return the most frequent unknown words, in quotes."""
        shown = [repr(word) for word, _ in self.unknown.most_common(most)]
        return ", ".join(shown + (["..."] if len(self.unknown) > most else []))
