"""Whole words, counted in captions or read from a list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from bus_toolkit.errors import ConfigError
from bus_toolkit.home import expand_home
from bus_toolkit.tokenizers.base import SPECIAL_TOKENS, TextTokenizer
from bus_toolkit.tokenizers.vocabularies import SHIPPED, count_words, read_vocabulary

_VOCABULARIES = ("scenes", "needles")


class CorpusTokenizer(TextTokenizer):
    """Split lower-cased text into whole words; words outside the vocabulary become ``[UNK]``.

    Words keep inner hyphens and apostrophes (``left-of`` is one token), each other mark is a token of its own. Ids are
    the special tokens, then the words by falling frequency, ties by alphabet. Slot: ``model.tokenizer``.

    Args:
        vocab_file: One word a line, special tokens included; ``None`` for one that ships with the toolkit.
        vocabulary: Which of those: ``scenes`` has all words of the generated scenes and some 280 plain words about
            shapes, numbers and places, ``needles`` all words of the needle scenes. ``None`` is ``scenes``.
        corpus_file: Instead of ``vocab_file``: captions to count words in. A CSV or TSV with a header, COCO captions
            JSON, a JSON list of records, JSON lines, or plain text. A training keeps the words in its checkpoints (and
            in its work dir as ``vocabulary.txt``); whatever starts from a checkpoint has them.
        text_key: Column or key of the caption in ``corpus_file``; ``None`` for ``caption``, ``text``, ``title`` or
            ``sentence``.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        lengths: Pad to one of these, ascending, that holds all texts of a batch, or to ``max_length``: few shapes for a
            compiled model. ``[]`` pads to the longest text.
        min_frequency: Rarer words of ``corpus_file`` are left out.
        quoting: What quotes mean in a table as ``corpus_file``, as in ``ImageTextPairs``.

    Raises:
        ConfigError: Both files, an unknown ``vocabulary`` or one beside a file, or ``min_frequency``, ``text_key`` or
            ``quoting`` without ``corpus_file``.
        DataError: The file is missing, has no words, or has no special token.
    """

    def __init__(
        self,
        *,
        vocab_file: str | None = None,
        vocabulary: Literal["scenes", "needles"] | None = None,
        corpus_file: str | None = None,
        text_key: str | None = None,
        max_length: int = 64,
        lengths: Sequence[int] = (),
        min_frequency: int = 1,
        quoting: Literal["csv", "none"] | None = None,
    ) -> None:
        if vocab_file is not None and corpus_file is not None:
            raise ConfigError("CorpusTokenizer: takes vocab_file or corpus_file, got both. Leave one out.")
        if vocabulary is not None and not (vocab_file is None and corpus_file is None):
            raise ConfigError(
                f"CorpusTokenizer.vocabulary: has no effect beside vocab_file or corpus_file, got {vocabulary!r}. "
                "Leave one of them out."
            )
        if vocabulary not in (None, *_VOCABULARIES):
            raise ConfigError(
                f"CorpusTokenizer.vocabulary: must be {' or '.join(_VOCABULARIES)}, got {vocabulary!r}. Words of your "
                "own are counted in corpus_file."
            )
        if corpus_file is None and min_frequency != 1:
            raise ConfigError(
                f"CorpusTokenizer.min_frequency: has no effect without corpus_file, got {min_frequency}. Leave it out."
            )
        if corpus_file is None and text_key is not None:
            raise ConfigError(
                f"CorpusTokenizer.text_key: has no effect without corpus_file, got {text_key!r}. Leave it out."
            )
        if corpus_file is None and quoting is not None:
            raise ConfigError(
                f"CorpusTokenizer.quoting: has no effect without corpus_file, got {quoting!r}. Leave it out."
            )
        if corpus_file is not None:
            words = count_words(expand_home(corpus_file), split_words, min_frequency, text_key, quoting)
            words_of_file = {word: number for number, word in enumerate([*SPECIAL_TOKENS, *words])}
        else:
            shipped = SHIPPED / f"{vocabulary or _VOCABULARIES[0]}.txt"
            words_of_file = read_vocabulary(shipped if vocab_file is None else expand_home(vocab_file))
        super().__init__(_word_backend(words_of_file), max_length=max_length, lengths=lengths)

    def save_vocabulary(self, path: str | Path) -> None:
        """Write the vocabulary, one word a line, to be read as ``vocab_file``."""
        words = self.convert_ids_to_tokens(range(self.vocab_size))
        Path(path).write_text("\n".join(words) + "\n", encoding="utf-8")


# Control and format characters, such as zero-width spaces and soft hyphens, are no words and part none; as in BERT.
_UNSEEN = normalizers.Replace(Regex(r"[[\p{Cc}\p{Cf}]&&[^\s]]"), "")
_NORMALIZER = normalizers.Sequence([_UNSEEN, normalizers.NFKC(), normalizers.Lowercase()])
_SPLITTER = pre_tokenizers.Split(
    Regex(r"[\p{L}\p{N}]+(?:[-'’][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]"), behavior="removed", invert=True
)


def split_words(text: str) -> list[str]:
    """Return the words of a text as ``CorpusTokenizer`` sees them."""
    return [word for word, _ in _SPLITTER.pre_tokenize_str(_NORMALIZER.normalize_str(text))]


def _word_backend(vocabulary: dict[str, int]) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = _NORMALIZER
    backend.pre_tokenizer = _SPLITTER
    backend.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    if "[CLS]" in vocabulary and "[SEP]" in vocabulary:
        ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
        backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return backend
