"""Texts to token ids, on the compiled ``tokenizers`` library; nothing is ever downloaded."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.structures import TokenBatch

_log = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SHIPPED = Path(__file__).parent / "vocab"


class TextTokenizer:
    """What all tokenizers share: ``[CLS] words [SEP]``, padded to the longest text of a batch.

    Args:
        backend: A tokenizer whose vocabulary has the special tokens of BERT.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included; longer texts are cut.

    Attributes:
        num_truncated: Texts cut so far.

    Raises:
        ConfigError: ``max_length`` below 3.
        DataError: A special token is missing from the vocabulary.
    """

    def __init__(self, backend: Tokenizer, *, max_length: int) -> None:
        name = type(self).__name__
        if max_length < 3:
            raise ConfigError(f"{name}.max_length: must be at least 3 ([CLS], a word, [SEP]), got {max_length}.")
        ids = [backend.token_to_id(token) for token in SPECIAL_TOKENS]
        missing = [token for token, number in zip(SPECIAL_TOKENS, ids, strict=True) if number is None]
        if missing:
            raise DataError(
                f"{name}: the vocabulary lacks {', '.join(missing)}. Put all of {', '.join(SPECIAL_TOKENS)} in it."
            )
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = ids
        self.max_length = max_length
        self.num_truncated = 0
        self._backend = backend
        backend.enable_truncation(max_length)
        backend.enable_padding(pad_id=self.pad_token_id, pad_token="[PAD]")

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self._backend.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """Return token ids int64 (B, L) and which of them are text, bool (B, L).

        Raises:
            DataError: No text at all, or one without a single word.
        """
        if not texts:
            raise DataError(f"{type(self).__name__}: needs at least one text, got none.")
        encoded = self._backend.encode_batch(list(texts))
        for text, encoding in zip(texts, encoded, strict=True):
            if sum(encoding.attention_mask) <= 2:
                raise DataError(f"{type(self).__name__}: a caption is empty, got {text!r}. Remove it from the data.")
        self._count_truncated(sum(bool(encoding.overflowing) for encoding in encoded))
        ids = torch.tensor([encoding.ids for encoding in encoded])
        mask = torch.tensor([encoding.attention_mask for encoding in encoded], dtype=torch.bool)
        return TokenBatch(ids, mask)

    def _count_truncated(self, count: int) -> None:
        if count and not self.num_truncated:
            _log.warning(
                "%s: a caption is longer than max_length=%d tokens and was cut; further ones are only counted",
                type(self).__name__,
                self.max_length,
            )
        self.num_truncated += count

    def convert_ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the vocabulary entry of each id."""
        return [self._backend.id_to_token(int(number)) for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids without special tokens."""
        return self._backend.decode([int(number) for number in ids])


class WordPieceTokenizer(TextTokenizer):
    """Split lower-cased text into BERT's WordPieces (arXiv 1810.04805). Slot: ``model.tokenizer``.

    Args:
        vocab_file: One entry a line; ``None`` for the vocabulary of BERT-base uncased (30,522 entries) that ships with the toolkit.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        lowercase: Lower-case the text and strip accents.

    Raises:
        DataError: The file is missing or lacks a special token.
    """

    def __init__(self, *, vocab_file: str | None = None, max_length: int = 64, lowercase: bool = True) -> None:
        path = _SHIPPED / "bert_base_uncased.txt" if vocab_file is None else Path(vocab_file).expanduser()
        vocabulary = _read_vocabulary(path)
        try:
            backend = BertWordPieceTokenizer(vocabulary, lowercase=lowercase)._tokenizer
        except TypeError as error:
            raise DataError(
                f"WordPieceTokenizer: {path}: {error}. Use a vocabulary of BERT, one entry a line."
            ) from error
        super().__init__(backend, max_length=max_length)


class CorpusTokenizer(TextTokenizer):
    """Split lower-cased text into whole words; words outside the vocabulary become ``[UNK]``.

    Words keep inner hyphens and apostrophes (``left-of`` is one token), other marks stand alone. Ids are the special tokens, then
    the words by falling frequency, ties by alphabet. Slot: ``model.tokenizer``.

    Args:
        vocab_file: One word a line, special tokens included; ``None`` for the vocabulary that ships with the toolkit: all words of
            the generated scenes and some 280 plain words about shapes, numbers and places.
        corpus_file: Instead of ``vocab_file``: captions to count words in. COCO captions JSON, a JSON list of records, JSON lines
            (keys ``caption``, ``text`` or ``sentence``), or plain text.
        max_length: Most tokens of a text, ``[CLS]`` and ``[SEP]`` included.
        min_frequency: Rarer words of ``corpus_file`` are left out.

    Raises:
        ConfigError: Both files, or ``min_frequency`` without ``corpus_file``.
        DataError: The file is missing, has no words, or lacks a special token.
    """

    def __init__(
        self,
        *,
        vocab_file: str | None = None,
        corpus_file: str | None = None,
        max_length: int = 64,
        min_frequency: int = 1,
    ) -> None:
        if vocab_file is not None and corpus_file is not None:
            raise ConfigError("CorpusTokenizer: takes vocab_file or corpus_file, got both. Leave one out.")
        if corpus_file is None and min_frequency != 1:
            raise ConfigError(
                f"CorpusTokenizer.min_frequency: has no effect without corpus_file, got {min_frequency}. Leave it out."
            )
        if corpus_file is not None:
            vocabulary = _count_vocabulary(Path(corpus_file).expanduser(), min_frequency)
        else:
            path = _SHIPPED / "scenes.txt" if vocab_file is None else Path(vocab_file).expanduser()
            vocabulary = _read_vocabulary(path)
        super().__init__(_word_backend(vocabulary), max_length=max_length)

    def save_vocabulary(self, path: str | Path) -> None:
        """Write the vocabulary, one word a line, to be read as ``vocab_file``."""
        words = self.convert_ids_to_tokens(range(self.vocab_size))
        Path(path).write_text("\n".join(words) + "\n", encoding="utf-8")


def _splitting_backend(model: models.Model) -> Tokenizer:
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    word = Regex(r"[\p{L}\p{N}]+(?:[-'’][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]")
    backend.pre_tokenizer = pre_tokenizers.Split(word, behavior="removed", invert=True)
    return backend


def _word_backend(vocabulary: dict[str, int]) -> Tokenizer:
    backend = _splitting_backend(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    if "[CLS]" in vocabulary and "[SEP]" in vocabulary:
        ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
        backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return backend


def _count_vocabulary(path: Path, min_frequency: int) -> dict[str, int]:
    splitter = _splitting_backend(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    counts: Counter[str] = Counter()
    for text in _captions(path):
        normal = splitter.normalizer.normalize_str(text)
        counts.update(word for word, _ in splitter.pre_tokenizer.pre_tokenize_str(normal))
    words = sorted((w for w, n in counts.items() if n >= min_frequency), key=lambda w: (-counts[w], w))
    if not words:
        raise DataError(
            f"CorpusTokenizer: {path} has no word that occurs {min_frequency} times. Lower min_frequency, or check the file."
        )
    return {word: number for number, word in enumerate([*SPECIAL_TOKENS, *words])}


def _captions(path: Path) -> list[str]:
    """Return the texts of a captions file in one of the known forms."""
    content = _read_text(path)
    if path.suffix not in (".json", ".jsonl"):
        return content.splitlines()
    try:
        data: Any = json.loads(content)
    except ValueError:
        data = [_json_line(path, line) for line in content.splitlines() if line.strip()]
    records = data["annotations"] if isinstance(data, dict) and "annotations" in data else data
    texts = [_caption(record) for record in records] if isinstance(records, list) else []
    if not texts or any(text is None for text in texts):
        raise DataError(
            f"CorpusTokenizer: {path} has records without a caption, text or sentence. Use COCO captions or plain text."
        )
    return [str(text) for text in texts]


def _caption(record: object) -> str | None:
    if isinstance(record, str):
        return record
    if not isinstance(record, dict):
        return None
    return next((record[key] for key in ("caption", "text", "sentence") if key in record), None)


def _json_line(path: Path, line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"CorpusTokenizer: {path} is neither JSON nor JSON lines: {error}. Check the file.") from error


def _read_vocabulary(path: Path) -> dict[str, int]:
    words = _read_text(path).splitlines()
    vocabulary = {word: number for number, word in enumerate(words)}
    if len(vocabulary) < len(words):
        twice = next(word for word, n in Counter(words).items() if n > 1)
        raise DataError(f"{path}: the vocabulary has {twice!r} twice. Each line must be another word.")
    return vocabulary


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}. Set the path to an existing file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: {error}. Convert it.") from error
