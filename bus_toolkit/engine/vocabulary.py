"""The words of a training, kept beside its checkpoints: ids in a checkpoint mean the words that it was trained with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bus_toolkit.home import expand_home
from bus_toolkit.registry import REGISTRIES

VOCABULARY_FILE = "vocabulary.txt"
# Arguments of a tokenizer that count words, and mean nothing beside a vocab_file.
_COUNTING = ("corpus_file", "text_key", "min_frequency")


def with_kept_vocabulary(tokenizer: Mapping[str, Any], checkpoint: str | Path | None) -> dict[str, Any]:
    """Return the node of a tokenizer that reads the words kept beside ``checkpoint``, if there are any.

    Args:
        tokenizer: The node ``model.tokenizer``. One that neither counted its words in captions nor reads such a file
            stays as it is.
        checkpoint: A file on this machine, or an address, beside which nothing is kept.
    """
    node = dict(tokenizer)
    if checkpoint is None or "://" in str(checkpoint) or not _is_counted(node):
        return node
    file = expand_home(checkpoint).parent / VOCABULARY_FILE
    return _reading(node, file) if file.is_file() else node


def keep_vocabulary(tokenizer: Mapping[str, Any], work_dir: str | Path) -> dict[str, Any]:
    """Write the words of a tokenizer into the work dir, and return the node that reads them there.

    A tokenizer that did not count its words in captions stays as it is. Every process writes the same file, whole or
    not at all.

    Raises:
        DataError: The captions, or the words kept beside another checkpoint, cannot be read.
    """
    node = dict(tokenizer)
    if not _is_counted(node):
        return node
    target = Path(work_dir) / VOCABULARY_FILE
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if node.get("corpus_file"):
            REGISTRIES.tokenizers.build(node, path="model.tokenizer").save_vocabulary(temporary)
        else:
            shutil.copyfile(node["vocab_file"], temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return _reading(node, target)


def _is_counted(node: Mapping[str, Any]) -> bool:
    return bool(node.get("corpus_file")) or Path(str(node.get("vocab_file"))).name == VOCABULARY_FILE


def _reading(node: Mapping[str, Any], file: Path) -> dict[str, Any]:
    return {**{key: value for key, value in node.items() if key not in _COUNTING}, "vocab_file": str(file)}
