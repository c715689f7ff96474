"""The words of a training lie in its checkpoints: ids in a checkpoint mean the words that it was trained with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bus_toolkit.home import expand_home
from bus_toolkit.weights.run_state import read_section
from bus_toolkit.writing import write_whole

VOCABULARY_FILE = "vocabulary.txt"
# Arguments of a tokenizer that count words, and mean nothing beside a vocab_file.
COUNTING = ("corpus_file", "text_key", "min_frequency", "quoting")


def is_counted(tokenizer: Any) -> bool:
    """Return whether a node ``model.tokenizer`` takes its words from captions, or from a file of words so counted."""
    if not isinstance(tokenizer, Mapping):
        return False
    return bool(tokenizer.get("corpus_file")) or Path(str(tokenizer.get("vocab_file"))).name == VOCABULARY_FILE


def reading(tokenizer: Mapping[str, Any], file: str | Path) -> dict[str, Any]:
    """Return the node of the same tokenizer that reads its words from ``file``."""
    return {**{key: value for key, value in tokenizer.items() if key not in COUNTING}, "vocab_file": str(file)}


@contextmanager
def words_of_checkpoint(
    tokenizer: Mapping[str, Any], path: str | Path | None, checkpoint: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Yield the node of a counted tokenizer that has the words of a checkpoint, to build from within the block.

    Args:
        tokenizer: The node ``model.tokenizer``. One that counts no words stays as it is.
        path: The checkpoint's file. Beside one of an earlier version its words may lie in ``vocabulary.txt``.
        checkpoint: Its contents; ``None`` for no checkpoint.
    """
    node = dict(tokenizer)
    if not is_counted(node) or path is None or "://" in str(path):
        yield node
        return
    words = read_section(checkpoint or {}, "vocabulary")
    beside = expand_home(path).parent / VOCABULARY_FILE
    if words is None:
        yield reading(node, beside) if beside.is_file() else node
        return
    with tempfile.TemporaryDirectory(prefix="bus_toolkit_words_") as folder:
        file = Path(folder) / VOCABULARY_FILE
        write_words(words, file)
        yield reading(node, file)


def write_words(words: Sequence[str], file: str | Path) -> None:
    """Write a vocabulary, one word a line, to be read as ``vocab_file``."""
    write_whole(file, "\n".join(words) + "\n")
